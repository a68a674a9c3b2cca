#include "line.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace gorgone::legacycmd {
namespace {

constexpr std::array<std::string_view, 14> commands{
    "EXTERNALCMD", "SENDCFGFILE", "SENDEXPORTFILE", "SYNCTRAP",     "ENGINERESTART",        "ENGINERELOAD",        "RESTART",
    "RELOAD",      "START",       "STOP",           "RELOADBROKER", "RESTARTCENTREONTRAPD", "RELOADCENTREONTRAPD", "STARTWORKER",
};
// With its escapes a bulk fits the message of a deployed node that dials by a WebSocket: 262144 bytes.
constexpr std::size_t bulk_bytes_max = 200000;
constexpr char mark = '-';

bool is_id(std::string_view text) {
  return !text.empty() && text.size() <= 20 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// A marked line has lost its first letter, which the rest of the command still tells.
std::string unmarked(std::string_view text) {
  const auto rest = text.substr(1, text.find(':') - 1);
  for (const auto command : commands)
    if (command.substr(1) == rest) return std::string(1, command.front()) + std::string(text.substr(1));
  return {};
}

}  // namespace

bool is_known_command(std::string_view command) {
  return !command.empty() && std::find(commands.begin(), commands.end(), command) != commands.end();
}

std::optional<Line> parse_line(std::string_view text) {
  if (text.ends_with('\r')) text.remove_suffix(1);
  const auto colon = std::min(text.find(':'), text.size());
  Line line;
  line.command = text.substr(0, colon);
  if (!is_known_command(line.command)) return {};
  auto rest = text.substr(std::min(colon + 1, text.size()));
  const auto second = std::min(rest.find(':'), rest.size());
  line.target = rest.substr(0, second);
  line.param = rest.substr(std::min(second + 1, rest.size()));
  // It runs on the central, whatever stands there.
  if (line.command == "STARTWORKER") return line;
  if (!is_id(line.target)) return {};
  if (line.command == "EXTERNALCMD" && line.param.empty()) return {};
  return line;
}

std::set<std::uint64_t> marked_lines(std::string_view text, std::uint64_t place) {
  std::set<std::uint64_t> places;
  for (std::size_t at = 0; at < text.size(); at = std::min(text.find('\n', at), text.size() - 1) + 1)
    if (text[at] == mark) places.insert(place + at);
  return places;
}

std::vector<Unit> plan(std::string_view text, std::uint64_t place, const BulkRules& rules, const std::set<std::uint64_t>& skipped) {
  std::vector<Unit> units;
  std::map<std::string, Unit> bulks;
  auto close = [&](std::map<std::string, Unit>::iterator bulk) {
    units.push_back(std::move(bulk->second));
    bulks.erase(bulk);
  };
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto one = text.substr(0, end);
    const auto where = place;
    const auto length = std::min(end + 1, text.size());
    text.remove_prefix(length);
    place += length;
    if (one.empty() || one == "\r" || skipped.contains(where)) continue;
    const bool is_marked = one.front() == mark;
    std::string restored;
    if (is_marked) one = restored = unmarked(one);
    auto line = parse_line(one);
    if (!line) {
      if (is_marked) continue;
      Unit nonsense;
      nonsense.text = one;
      nonsense.places.push_back(where);
      units.push_back(std::move(nonsense));
      continue;
    }
    auto bulk = bulks.find(line->target);
    if (line->command != "EXTERNALCMD") {
      if (bulk != bulks.end() && rules.is_sequential) close(bulk);
      Unit unit;
      unit.line = std::move(*line);
      unit.places.push_back(where);
      unit.is_done = is_marked;
      units.push_back(std::move(unit));
      continue;
    }
    if (bulk != bulks.end() && bulk->second.line.param.size() + 1 + line->param.size() > bulk_bytes_max) {
      close(bulk);
      bulk = bulks.end();
    }
    if (bulk == bulks.end()) {
      bulk = bulks.emplace(line->target, Unit{}).first;
      bulk->second.line = std::move(*line);
    } else {
      bulk->second.line.param += '\n';
      bulk->second.line.param += line->param;
    }
    bulk->second.places.push_back(where);
    bulk->second.is_done = bulk->second.is_done || is_marked;
    if (bulk->second.places.size() >= rules.lines) close(bulk);
  }
  while (!bulks.empty()) {
    // The one that began first.
    close(std::min_element(bulks.begin(), bulks.end(),
                           [](const auto& left, const auto& right) { return left.second.places.front() < right.second.places.front(); }));
  }
  return units;
}

}  // namespace gorgone::legacycmd
