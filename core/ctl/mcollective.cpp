#include "core/ctl/mcollective.hpp"

#include <gorgone/journal.hpp>

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/ctl/http_api.hpp"
#include "core/ctl/mcollective_access.hpp"
#include "modules/mcollective/certificates/signed_text.hpp"

namespace gorgone::ctl {
namespace {

struct Wish {
  ApiWish api;
  std::string match;
  bool as_json = false;
};

struct Column {
  const char* title;
  std::function<std::string(const json::value& row)> text;
};

std::string text_at(const json::value& row, const char* name) { return text_of(member(row, name)).value_or(""); }

std::string encoded(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += std::isalnum(byte) != 0 ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

// All rows of one GET, their lists joined under `name`.
Result<json::value> fetch(const Wish& wish, const std::string& what, const char* name) {
  const auto api = find_api(wish.api);
  if (!api) return api.error();
  const auto answer = ask(*api, fmt::format("/api/mcollective/{}?log_wait=10000000&match={}", what, encoded(wish.match)), std::nullopt);
  if (!answer) return answer.error();
  const auto* rows = member(answer->body, "data");
  if (!rows || !rows->is_array())
    return Error{
        text_of(member(answer->body, "message")).value_or("the daemon has no module mcollective, expected it in its configuration")};
  json::array all;
  json::value single;
  bool is_whole = false;
  for (const auto& item : rows->get_array()) {
    const auto code = integer_of(member(item, "code")).value_or(0);
    const auto data = parse_json(text_of(member(item, "data")).value_or("{}"));
    if (!data) continue;
    if (code == code::failed) return Error{text_of(member(*data, "message")).value_or("the broker has refused it")};
    is_whole = is_whole || code == code::finished;
    const auto* found = member(*data, name);
    if (found && found->is_array())
      all.insert(all.end(), found->get_array().begin(), found->get_array().end());
    else if (found)
      single = *found;
  }
  if (!is_whole) return Error{"the daemon has not answered within 10 s"};
  if (!single.is_null()) return single;
  return json::value(std::move(all));
}

void print_table(const json::array& rows, const std::vector<Column>& columns) {
  std::vector<std::vector<std::string>> cells(1);
  for (const auto& column : columns) cells[0].emplace_back(column.title);
  for (const auto& row : rows) {
    auto& line = cells.emplace_back();
    for (const auto& column : columns) line.push_back(column.text(row));
  }
  std::vector<std::size_t> widths(columns.size(), 0);
  for (const auto& line : cells)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  for (const auto& line : cells) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) text += fmt::format("{:<{}}  ", line[i], widths[i]);
    text.erase(text.find_last_not_of(' ') + 1);
    fmt::print("{}\n", text);
  }
}

Column plain(const char* title, const char* name) {
  return {title, [name](const json::value& row) { return text_at(row, name); }};
}

Column rounded(const char* title, const char* name) {
  return {title, [name](const json::value& row) {
            const auto number = number_of(member(row, name));
            return number ? fmt::format("{:.0f}", *number) : "";
          }};
}

std::string state_of(const json::value& client) {
  if (!truth_of(member(client, "session"), true)) return "no CONNECT";
  if (!truth_of(member(client, "connected"), true)) return "away";
  return truth_of(member(client, "slow"), false) ? "slow" : "up";
}

// Its name, or where it has none as much of it as tells it from others.
std::string key_of(const json::value& client) {
  constexpr std::size_t shown = 10;
  const auto name = text_of(member(client, "key_name")).value_or("");
  if (!name.empty()) return name;
  const auto key = text_of(member(client, "key")).value_or("");
  return key.size() > shown ? key.substr(0, shown) + "…" : key;
}

// "messages.dropped.queue_full  12", a line for each number or text.
void print_tree(const json::value& value, const std::string& path) {
  if (const auto* object = value.if_object()) {
    for (const auto& [key, inner] : *object) print_tree(inner, path.empty() ? std::string(key) : path + "." + std::string(key));
  } else if (const auto* array = value.if_array()) {
    for (const auto& inner : *array) print_tree(inner, path);
  } else if (const auto seconds = integer_of(&value); seconds && *seconds > 0 && path.ends_with("since")) {
    fmt::print("{:<40} {}\n", path, mcollective::time_text(*seconds));
  } else {
    fmt::print("{:<40} {}\n", path, text_of(&value).value_or("-"));
  }
}

using Print = void (*)(const json::value&);

void print_clients(const json::value& rows) {
  print_table(rows.get_array(), {plain("IDENTITY", "identity"),
                                 plain("ADDRESS", "address"),
                                 {"STATE", state_of},
                                 {"KEY", key_of},
                                 plain("VERSION", "version"),
                                 rounded("AGE_S", "age_s"),
                                 rounded("HEARD_S", "last_heard_s"),
                                 plain("TOPICS", "topics"),
                                 plain("QUEUE", "queue_messages"),
                                 plain("DROPPED", "dropped")});
}

void print_topics(const json::value& rows) {
  print_table(rows.get_array(), {plain("TOPIC", "topic"), plain("SUBSCRIBERS", "subscribers"), plain("PERSISTENT", "persistent")});
}

// Of rows about an entry of `persistent` its pattern.
std::string topic_of(const json::value& queue) {
  for (const auto* name : {"topic", "pattern", "stream"})
    if (const auto text = text_at(queue, name); !text.empty()) return text;
  return "(all)";
}

void print_queues(const json::value& rows) {
  print_table(rows.get_array(), {{"TOPIC", topic_of},
                                 plain("OWNER", "owner"),
                                 plain("STREAM", "stream"),
                                 plain("STATE", "state"),
                                 plain("PLACE", "place"),
                                 plain("MESSAGES", "messages"),
                                 plain("BYTES", "bytes"),
                                 rounded("OLDEST_S", "oldest"),
                                 plain("TAKEN", "taken"),
                                 plain("EXPIRED", "expired"),
                                 plain("REFUSED", "refused"),
                                 plain("LOST", "lost")});
}

void print_status(const json::value& status) { print_tree(status, {}); }

Result<void> show(const Wish& wish, const std::string& what, Print print) {
  const auto found = fetch(wish, what, what.c_str());
  if (!found) return found.error();
  if (wish.as_json || (what != "status" && !found->is_array()))
    fmt::print("{}\n", to_text(*found));
  else
    print(*found);
  return {};
}

}  // namespace

void add_mcollective(CLI::App& program, Result<void>& outcome) {
  auto* const group = program.add_subcommand("mcollective", "The broker for MCollective: its clients, topics, queues and keys");
  group->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Print print) {
    const auto wish = std::make_shared<Wish>();
    auto* const command = group->add_subcommand(name, help);
    if (std::string(name) != "status" && std::string(name) != "queues")
      command->add_option("match", wish->match, "Only those whose name holds this text");
    command->add_flag("--json", wish->as_json, "Print JSON on one line");
    add_api_options(*command, wish->api);
    command->callback([wish, name = std::string(name), print, &outcome] { outcome = show(*wish, name, print); });
  };
  add("status", "Clients, messages and what was dropped, by cause", print_status);
  add("clients", "Each client: address, key, age, topics and queue", print_clients);
  add("topics", "Each topic and how many subscribe to it", print_topics);
  add("queues", "The queues of persistent topics", print_queues);
  add_mcollective_access(*group, outcome);
}

}  // namespace gorgone::ctl
