#include <fmt/format.h>
#include <fmt/ranges.h>
#include <core/config/document.hpp>
#include <core/config/scalars.hpp>

namespace gorgone {

namespace {

std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string quoted(std::string_view text) { return text.empty() ? std::string() : fmt::format("`{}`", cell(text)); }

// The expectation of the error messages, with the unit where they leave it out.
std::string value_of(const Option& option) {
  const std::string what = expected(option);
  const bool has_unit = option.unit.empty() || what.find(option.unit) != std::string::npos;
  return cell(has_unit ? what : fmt::format("{} ({})", what, option.unit));
}

std::string standard_of(const Option& option) {
  if (option.is_required) return "**required**";
  return option.is_secret ? std::string() : quoted(option.standard);
}

}  // namespace

std::string document_schema(const std::string& title, const std::string& help, const Schema& schema, const std::vector<Action>& actions) {
  std::string page = fmt::format("# {}\n\n{}\n", title, help);
  std::vector<std::string> rows, ignored;
  for (const Option& option : schema) {
    if (option.is_ignored) {
      ignored.push_back(quoted(option.key));
    } else {
      rows.push_back(fmt::format("| {} | {} | {} | {} |\n", quoted(option.key), value_of(option), standard_of(option), cell(option.help)));
    }
  }
  page += "\n## Options\n\n";
  page +=
      rows.empty() ? "None.\n" : fmt::format("| option | value | default | meaning |\n| --- | --- | --- | --- |\n{}", fmt::join(rows, ""));
  if (!ignored.empty()) page += fmt::format("\nTaken from deployed configurations, without effect: {}.\n", fmt::join(ignored, ", "));
  page += "\n## Actions\n\n";
  if (actions.empty()) return page + "None.\n";
  page += "| action | HTTP API |\n| --- | --- |\n";
  for (const Action& action : actions) {
    const std::string door = action.path.empty() ? "not offered" : fmt::format("`{} /api{}`", action.method, cell(action.path));
    page += fmt::format("| {} | {} |\n", quoted(action.name), door);
  }
  return page;
}

}  // namespace gorgone
