#include "request.hpp"

#include <fmt/format.h>

#include <climits>

namespace gorgone::engine {
namespace {

void add_lines(Request& request, std::string_view command) {
  while (!command.empty()) {
    const auto end = std::min(command.find('\n'), command.size());
    auto line = command.substr(0, end);
    command.remove_prefix(std::min(end + 1, command.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    request.lines.push_back(std::string(line) + '\n');
    request.bytes += request.lines.back().size();
  }
}

}  // namespace

Result<Request> read_request(const json::value& data, const std::string& standard_file) {
  const auto* content = member(data, "content");
  if (content == nullptr || !content->is_object()) return Error{"expected an object with the member 'commands' as content"};
  const auto* commands = member(*content, "commands");
  if (commands == nullptr || !commands->is_array()) return Error{"expected array, found something else or nothing as 'commands'"};
  Request request;
  request.command_file = text_of(member(*content, "command_file")).value_or("");
  if (request.command_file.empty()) request.command_file = standard_file;
  // The system would open what stands before it, and the rows would show another name.
  if (request.command_file.find('\0') != std::string::npos) return Error{"a NUL character in 'command_file'"};
  for (const auto& entry : commands->get_array()) {
    auto text = text_of(&entry);
    const auto index = request.commands.size();
    if (!text || text->empty()) return Error{fmt::format("need command argument at array index '{}'", index)};
    if (text->find('\0') != std::string::npos) return Error{fmt::format("a NUL character in the command at array index '{}'", index)};
    add_lines(request, *text);
    request.commands.push_back(std::move(*text));
    request.ends.push_back(request.lines.size());
  }
  return request;
}

std::size_t batch_end(const std::vector<std::string>& lines, std::size_t first) {
  std::size_t bytes = 0;
  auto end = first;
  while (end < lines.size() && (end == first || bytes + lines[end].size() <= PIPE_BUF)) bytes += lines[end++].size();
  return end;
}

}  // namespace gorgone::engine
