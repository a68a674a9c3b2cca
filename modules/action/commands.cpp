#include "commands.hpp"

#include "words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gorgone::action {
namespace {

constexpr double timeout_max_s = 7 * 86400;

std::chrono::milliseconds timeout_of(const json::value* value, std::chrono::seconds standard) {
  auto seconds = number_of(value);
  if (!seconds || !(*seconds > 0)) return standard;
  return std::chrono::milliseconds(std::llround(std::min(*seconds, timeout_max_s) * 1000));
}

/// `where` is " at array index '0'", or empty.
Result<Command> read_command(const json::value& entry, const CommandRules& rules, const std::string& where) {
  auto text = text_of(member(entry, "command"));
  if (!text || text->empty()) return Error{"need command argument" + where};
  // The system would run what stands before it, the expressions would look at all of it.
  if (text->find('\0') != std::string::npos) return Error{fmt::format("a NUL character in the command{}", where)};
  if (!rules.whitelist.allows(*text)) return Error{fmt::format("command not allowed (whitelist){} : {}", where, *text)};

  Command command;
  command.text = std::move(*text);
  command.timeout = timeout_of(member(entry, "timeout"), rules.timeout);
  command.goes_on_after_error = truth_of(member(entry, "continue_on_error"), true);
  if (const auto* metadata = member(entry, "metadata")) command.metadata = *metadata;
  if (!truth_of(member(entry, "no_shell_interpretation"), false)) {
    command.argv = {"/bin/sh", "-c", command.text};
    return command;
  }
  auto words = split_words(command.text);
  if (!words) return Error{fmt::format("cannot cut the command into words{}: {}", where, words.error().message)};
  if (words->empty()) return Error{"need command argument" + where};
  command.argv = std::move(*words);
  return command;
}

}  // namespace

Result<std::vector<Command>> read_commands(const json::value& data, const CommandRules& rules) {
  const auto* content = member(data, "content");
  if (content == nullptr || !content->is_array()) return Error{fmt::format("expected array, found '{}'", kind_of(content))};
  std::vector<Command> commands;
  for (const auto& entry : content->get_array()) {
    auto command = read_command(entry, rules, fmt::format(" at array index '{}'", commands.size()));
    if (!command) return command.error();
    commands.push_back(std::move(*command));
  }
  return commands;
}

Result<Command> read_engine_command(const json::value& data, const CommandRules& rules) {
  const auto* content = member(data, "content");
  if (content == nullptr || !content->is_object()) return Error{fmt::format("expected hash, found '{}'", kind_of(content))};
  return read_command(*content, rules, "");
}

std::string kind_of(const json::value* value) {
  if (value == nullptr) return "";
  switch (value->kind()) {
    case json::kind::null:
      return "";
    case json::kind::object:
      return "HASH";
    case json::kind::array:
      return "ARRAY";
    case json::kind::string:
      return "string";
    case json::kind::bool_:
      return "boolean";
    default:
      return "number";
  }
}

}  // namespace gorgone::action
