#include "core/core_actions.hpp"

#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <memory>

#include "core/log_file.hpp"

namespace gorgone {
namespace {

using json::object;
using json::value;

constexpr std::int64_t log_wait_s_max = 3600;

void answer(const Reply& reply, const std::string& kind, const Message& message, int code, object data) {
  if (reply) reply(Answer{kind, message.token, code, Payload(value(std::move(data)))});
}

// An answer that is a history row, too, as of deployed daemons: whoever asks by the API or through other nodes finds it in the log of the
// token. What was delivered has its row from Deliveries, and what the API asks of this daemon alone is told in the body of its answer.
void answer_in_log(const CoreParts& parts, const Reply& reply, const std::string& kind, const Message& message, int code, object data) {
  const Payload payload(value(std::move(data)));
  const bool is_told_at_once = message.origin.kind == Origin::Kind::api && message.target.empty();
  if (message.delivery.empty() && !is_told_at_once) parts.journal.write(NewRow{message.token, code, payload.text()});
  if (reply) reply(Answer{kind, message.token, code, payload});
}

// Drawn anew at each start: a peer whose connection survived learns that what it had asked for is forgotten.
const std::string instance = new_token().substr(0, 16);

// Written by hand: it is the answer to most of what a daemon is asked.
void ping(const CoreParts& parts, const Message& message, const Reply& reply) {
  if (!reply) return;
  std::string text = R"({"action":"ping","message":"ping ok","id":)";
  append_json_string(text, parts.router.own_id());
  text += R"(,"hostname":)";
  append_json_string(text, parts.hostname);
  auto* gateway = parts.router.gateway();
  // A node that dials has no use for it, and for a fleet of them it would be long.
  const bool is_told = gateway && !parts.is_node(message.origin);
  text += R"(,"data":)" + (is_told ? to_text(value(gateway->constatus())) : std::string("{}"));
  text += R"(,"features":)";
  text += own_features;
  text += R"(,"max_message_size":)" +
          std::to_string(message.origin.kind == Origin::Kind::parent ? parts.max_answer_size : parts.max_message_size);
  text += R"(,"instance":")" + instance + R"(","journal":")" + parts.journal_id + "\"}";
  reply(Answer{"PONG", message.token, 0, Payload(std::move(text))});
}

void getlog(const CoreParts& parts, const Message& message, const Reply& reply) {
  const auto data = message.data.json();
  auto filter = data ? history_filter(**data) : Result<HistoryFilter>(data.error());
  if (!filter) return answer(reply, "ACK", message, 1, {{"message", filter.error().message}});
  if (filter->empty()) return answer(reply, "ACK", message, 1, {{"message", "need at least one filter"}});
  const auto wait = std::clamp<std::int64_t>(integer_of(member(**data, "wait")).value_or(0), 0, log_wait_s_max);
  auto tell = [reply, token = message.token, filter = *filter, answers = &parts.log_answers](Result<Rows> rows, LogAnswers::Place place) {
    if (!reply) return;
    answers->tell(filter, std::move(rows), std::move(place), [reply, token](Result<std::string> text) {
      if (text) return reply(Answer{"ACK", token, 0, Payload(std::move(*text))});
      object said{{"message", text.error().message}};
      if (!text.error().code.empty()) said["error"] = text.error().code;
      reply(Answer{"ACK", token, 1, Payload(value(std::move(said)))});
    });
  };
  auto wait_or_tell = [tell, filter = *filter, wait, waiters = &parts.log_waiters](Result<Rows> rows, LogAnswers::Place place) {
    if (wait == 0 || !rows || !rows->empty()) return tell(std::move(rows), std::move(place));
    waiters->wait(filter, std::chrono::seconds(wait), [tell](Result<Rows> later) { tell(std::move(later), {}); });
  };
  parts.log_answers.read(*filter, std::move(wait_or_tell));
}

void putlog(const CoreParts& parts, const Message& message, const Reply& reply) {
  const auto data = message.data.json();
  if (!data || !(*data)->is_object()) return answer(reply, "ACK", message, 1, {{"message", "cannot decode json: expected an object"}});
  const auto row_code = integer_of(member(**data, "code"));
  if (!row_code) return answer(reply, "ACK", message, 1, {{"message", "code: expected a number"}});
  NewRow row;
  row.token = text_of(member(**data, "token")).value_or(message.token);
  row.code = static_cast<int>(*row_code);
  row.etime = integer_of(member(**data, "etime")).value_or(0);
  row.instant = truth_of(member(**data, "instant"), false);
  const auto* content = member(**data, "data");
  row.data = content ? to_text(*content) : "null";
  parts.journal.write({std::move(row)}, [reply, token = message.token](const Result<void>& stored) {
    if (!reply) return;
    object said{{"message", stored ? "message inserted" : stored.error().message}};
    reply(Answer{"ACK", token, stored ? 0 : 1, Payload(value(std::move(said)))});
  });
}

void constatus(const CoreParts& parts, const Message& message, const Reply& reply) {
  auto* gateway = parts.router.gateway();
  if (!gateway) return answer_in_log(parts, reply, "CONSTATUS", message, 1, {{"action", "constatus"}, {"message", "cannot get value"}});
  answer_in_log(parts, reply, "CONSTATUS", message, 2, {{"action", "constatus"}, {"message", "ok"}, {"data", gateway->constatus()}});
}

void information(const CoreParts& parts, const Message& message, const Reply& reply) {
  object data{{"counters", parts.router.counters()}, {"modules", parts.modules.packages()}, {"api_endpoints", parts.router.endpoints()}};
  answer_in_log(parts, reply, "INFORMATION", message, 2, {{"action", "information"}, {"message", "ok"}, {"data", std::move(data)}});
}

void setcoreid(const CoreParts& parts, const Message& message, const Reply& reply) {
  if (parts.id_is_configured)
    return answer(reply, "ACK", message, 2, {{"action", "setcoreid"}, {"message", "setcoreid unchanged, use config value"}});
  const auto data = message.data.json();
  const auto id = data ? text_of(member(**data, "id")) : std::nullopt;
  if (!id || id->empty()) return answer(reply, "ACK", message, 1, {{"action", "setcoreid"}, {"message", "please set id for setcoreid"}});
  parts.router.set_own_id(*id);
  answer(reply, "ACK", message, 2, {{"action", "setcoreid"}, {"message", "setcoreid changed " + *id}});
}

// Sets the severity of the core and of every module: they share one log.
void bcastlogger(const CoreParts&, const Message& message, const Reply& reply) {
  const auto data = message.data.json();
  const auto* content = data ? member(**data, "content") : nullptr;
  const auto name = content ? text_of(member(*content, "severity")) : std::nullopt;
  const auto severity = name ? (*name == "default" ? std::optional(configured_severity()) : severity_of(*name)) : std::nullopt;
  if (!severity)
    return answer(reply, "ACK", message, 1,
                  {{"error", "invalid_parameter"},
                   {"message", "content.severity: got \"" + name.value_or("") +
                                   "\", expected debug, info, notice, warning, error, fatal or default"}});
  set_severity(*severity);
  if (reply) reply(Answer{"ACK", message.token, 0, Payload("null")});
}

std::string content_name(const Message& message) {
  const auto data = message.data.json();
  const auto* content = data ? member(**data, "content") : nullptr;
  return content ? text_of(member(*content, "name")).value_or("") : "";
}

asio::awaitable<void> load_module(CoreParts parts, Message message, Reply reply) {
  const Log log("core");
  const auto data = message.data.json();
  const auto* content = data ? member(**data, "content") : nullptr;
  const auto name = content_name(message);
  const std::string refused = "cannot load module '" + name + "'";
  std::vector<Problem> problems;
  std::vector<AgentConfig::ModuleEntry> entries;
  if (content && content->is_object()) {
    value list(json::array{});
    list.as_array().push_back(*content);
    // Whoever asks for it wants it, but for one who says the opposite.
    list.as_array()[0].as_object().emplace("enable", "true");
    entries = module_entries(ConfigValue::from_json(list, "LOADMODULE"), problems);
  }
  Result<void> outcome = Error{"data.content: expected an object with name and package"};
  if (!entries.empty())
    outcome = entries[0].enabled ? parts.modules.load(entries[0]) : Result<void>(Error{"data.content.enable: expected true"});
  else if (!problems.empty())
    outcome = Error{problems[0].message};
  if (outcome) outcome = co_await parts.modules.start(entries[0].name);
  if (!outcome) {
    log.error("{}: {}", printable(refused), outcome.error().message);
    answer(reply, "LOADMODULE", message, 1, {{"action", "loadmodule"}, {"message", refused}, {"reason", outcome.error().message}});
    co_return;
  }
  log.info("module '{}' loaded", name);
  answer(reply, "LOADMODULE", message, 2, {{"action", "loadmodule"}, {"message", "module '" + name + "' is loaded"}});
}

asio::awaitable<void> unload_module(CoreParts parts, Message message, Reply reply) {
  const bool kill = message.action == "KILL";
  const std::string kind = kill ? "ACK" : "UNLOADMODULE", action = kill ? "kill" : "unloadmodule";
  const auto name = content_name(message);
  const auto outcome = co_await parts.modules.unload(name);
  if (!outcome) {
    // Deployed peers know these words.
    const std::string unknown = kill ? "cannot find module" : "cannot find unload module";
    const auto& error = outcome.error();
    answer(reply, kind, message, 1, {{"action", action}, {"message", error.code == "unknown_module" ? unknown : error.message}});
    co_return;
  }
  answer(reply, kind, message, 2, {{"action", action}, {"message", "module '" + name + "' " + (kill ? "killed" : "unloaded")}});
}

void add_listeners(const CoreParts& parts, const Message& message, const Reply& reply) {
  const auto data = message.data.json();
  if (!data || !(*data)->is_array())
    return answer(reply, "ACK", message, 1,
                  {{"action", "addlistener"}, {"message", "expected a list of {event, token, target, log_pace, timeout}"}});
  const auto added = parts.listeners.add(**data);
  if (!added) return answer(reply, "ACK", message, 1, {{"action", "addlistener"}, {"message", added.error().message}});
  answer(reply, "ACK", message, 2, {{"action", "addlistener"}, {"message", "ok"}, {"data", **data}});
}

void getthumbprint(const CoreParts& parts, const Message& message, const Reply& reply) {
  answer_in_log(parts, reply, "GETTHUMBPRINT", message, 2,
                {{"action", "getthumbprint"}, {"message", "ok"}, {"data", object{{"thumbprint", parts.thumbprint}}}});
}

// The deployed daemon's key exchange between its processes; ours has none, and no peer may touch it.
void refuse_internal(const CoreParts&, const Message& message, const Reply& reply) {
  answer(reply, "ACK", message, 1,
         {{"error", "refused"}, {"message", "action '" + message.action + "' is internal and never crosses a link"}});
}

template <asio::awaitable<void> (*task)(CoreParts, Message, Reply)>
void run(const CoreParts& parts, const Message& message, const Reply& reply) {
  asio::co_spawn(parts.loop, task(parts, message, reply), [](const std::exception_ptr& error) {
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& failure) {
      Log("core").error("an action of the core ended: {}", failure.what());
    }
  });
}

struct CoreAction {
  Action action;
  void (*handle)(const CoreParts&, const Message&, const Reply&);
};

const std::vector<CoreAction>& table() {
  static const std::vector<CoreAction> all{
      {{"PING"}, ping},
      {{"GETLOG"}, getlog},
      {{"PUTLOG"}, putlog},
      {{"CONSTATUS", "GET", "/internal/constatus"}, constatus},
      {{"INFORMATION", "GET", "/internal/information"}, information},
      {{"GETTHUMBPRINT", "GET", "/internal/thumbprint"}, getthumbprint},
      {{"BCASTLOGGER", "POST", "/internal/logger"}, bcastlogger},
      {{"SETCOREID"}, setcoreid},
      {{"ADDLISTENER"}, add_listeners},
      {{"LOADMODULE"}, run<load_module>},
      {{"UNLOADMODULE"}, run<unload_module>},
      {{"KILL"}, run<unload_module>},
      {{"BCASTCOREKEY"}, refuse_internal},
      {{"SETMODULEKEY"}, refuse_internal},
  };
  return all;
}

}  // namespace

Result<HistoryFilter> history_filter(const json::value& data) {
  HistoryFilter filter;
  // Deployed peers send "" or null for a filter that is not set.
  auto given = [&](const char* name) -> const value* {
    const auto* found = member(data, name);
    return !found || found->is_null() || (found->is_string() && found->get_string().empty()) ? nullptr : found;
  };
  auto wrong = [](const char* name, const value& got) {
    return Error{std::string("filter ") + name + ": got " + printable(to_text(got)) + ", expected a number"};
  };
  if (const auto* id = given("id")) {
    filter.id_after = integer_of(id);
    if (!filter.id_after) return wrong("id", *id);
  }
  if (const auto* token = given("token")) filter.token = text_of(token).value_or("");
  if (const auto* ctime = given("ctime")) {
    filter.ctime_after = number_of(ctime);
    if (!filter.ctime_after) return wrong("ctime", *ctime);
  }
  if (const auto* etime = given("etime")) {
    const auto number = number_of(etime);
    if (!number) return wrong("etime", *etime);
    filter.etime_after = static_cast<std::int64_t>(*number);
  }
  if (const auto* code = given("code")) {
    const auto number = integer_of(code);
    if (!number) return wrong("code", *code);
    filter.code = static_cast<int>(*number);
  }
  if (const auto* portion = given("portion")) {
    const auto number = integer_of(portion);
    if (!number || *number < 1) return wrong("portion", *portion);
    filter.portion = static_cast<std::size_t>(*number);
  }
  if (const auto* limit = given("limit")) {
    const auto number = integer_of(limit);
    if (!number || *number < 1) return wrong("limit", *limit);
    filter.limit = static_cast<std::size_t>(*number);
  }
  filter.with_origins = truth_of(member(data, "origins"), false);
  return filter;
}

std::vector<Action> core_actions() {
  std::vector<Action> all;
  for (const auto& entry : table()) all.push_back(entry.action);
  return all;
}

void add_core_actions(CoreParts given) {
  auto shared = std::make_shared<const CoreParts>(given);
  for (const auto& entry : table())
    given.router.add_core_action(
        entry.action, [shared, handle = entry.handle](const Message& message, const Reply& reply) { handle(*shared, message, reply); });
}

}  // namespace gorgone
