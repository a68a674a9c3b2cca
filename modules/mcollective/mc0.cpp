#include "mc0.hpp"

#include <gorgone/log.hpp>

#include <algorithm>

#include <fmt/format.h>

namespace gorgone::mcollective {
namespace {

constexpr std::size_t shown = 40;

std::string place_of(const Command& command) {
  return command.headers.empty() ? "behind the verb" : "behind the value of header " + printable(command.headers.back().first, shown);
}

}  // namespace

const std::string* Command::header(std::string_view key) const {
  for (const auto& [name, value] : headers)
    if (name == key) return &value;
  return nullptr;
}

Parsed parse_command(Frames frames) {
  Parsed parsed;
  auto& command = parsed.command;
  if (frames.size() < 2) {
    parsed.fault = fmt::format("a message of {} frames, expected an empty delimiter and a verb at least", frames.size());
    return parsed;
  }
  if (!frames[0].empty()) {
    parsed.fault = "the first frame is not empty, expected a delimiter";
    return parsed;
  }
  command.verb = std::move(frames[1]);
  std::size_t at = 2, bytes = 0;
  command.headers.reserve(std::min(headers_max, (frames.size() - at) / 2));
  for (; at < frames.size() && !frames[at].empty(); at += 2) {
    if (at + 1 == frames.size()) {
      parsed.fault = fmt::format("header {} has no value, expected pairs of key and value", printable(frames[at], shown));
      return parsed;
    }
    bytes += frames[at].size() + frames[at + 1].size();
    if (command.headers.size() == headers_max || bytes > header_bytes_max) {
      parsed.fault = fmt::format("too many headers {}, expected {} of {} bytes at most", place_of(command), headers_max, header_bytes_max);
      return parsed;
    }
    if (command.header(frames[at])) {
      parsed.fault = fmt::format("header {} comes twice, expected each key once", printable(frames[at], shown));
      return parsed;
    }
    command.headers.emplace_back(std::move(frames[at]), std::move(frames[at + 1]));
  }
  if (at < frames.size())
    command.body.assign(std::move_iterator(frames.begin() + static_cast<std::ptrdiff_t>(at) + 1), std::move_iterator(frames.end()));
  return parsed;
}

Frames ok(const std::string& id) { return {"", "OK", "ID", id}; }

Frames error(const std::string& text, const std::string* id) {
  Frames frames{"", "ERROR", "MESSAGE", text};
  if (id) {
    frames.emplace_back("ID");
    frames.push_back(*id);
  }
  return frames;
}

Frames noop() { return {"", "NOOP"}; }

Frames message_of(Command put) {
  Frames frames;
  frames.reserve(3 + 2 * put.headers.size() + put.body.size());
  frames.emplace_back();
  frames.emplace_back("MESSAGE");
  for (auto& [key, value] : put.headers) {
    if (key == "ID") continue;
    frames.push_back(std::move(key));
    frames.push_back(std::move(value));
  }
  frames.emplace_back();
  for (auto& part : put.body) frames.push_back(std::move(part));
  return frames;
}

std::size_t size_of(const Frames& frames) {
  std::size_t bytes = 0;
  for (const auto& frame : frames) bytes += frame.size();
  return bytes;
}

}  // namespace gorgone::mcollective
