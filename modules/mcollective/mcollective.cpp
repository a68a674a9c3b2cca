// mcollective: a broker for MCollective's ZeroMQ connector. The module: its options, its actions and its life.

#include <gorgone/module.hpp>

#include <utility>

#include "access.hpp"
#include "backbone.hpp"
#include "broker_options.hpp"
#include "service.hpp"
#include "status.hpp"

namespace gorgone::mcollective {
namespace {

class MCollective final : public Module {
 public:
  MCollective(Agent& agent, const Settings& settings) : agent_(agent), service_(agent, settings) {}

  asio::awaitable<Result<void>> start() override {
    auto started = co_await service_.start();
    is_running_ = started.has_value();
    // What has been opened already must not go on.
    if (!is_running_) co_await service_.stop();
    co_return started;
  }

  asio::awaitable<void> handle(Message message) override {
    if (!is_running_) {
      fail(message.token, "the broker does not run");
      co_return;
    }
    const auto data = message.data.json();
    if (!data) {
      fail(message.token, data.error().message);
      co_return;
    }
    const auto match = text_of(member_of(**data, "parameters", "match")).value_or("");
    if (message.action == "MCSTATUS") {
      finish(message.token, {{"status", status_of(service_)}});
    } else if (message.action == "MCCLIENTS") {
      tell_clients(service_, match, portions(message.token, "clients"));
      finish(message.token, {});
    } else if (message.action == "MCTOPICS") {
      tell_topics(service_, match, portions(message.token, "topics"));
      finish(message.token, {});
    } else if (message.action == "MCACCESS") {
      finish(message.token, {{"access", service_.access()->describe()}});
    } else if (message.action == "MCQUEUES") {
      finish(message.token, {{"queues", service_.kept()->describe()}});
    } else if (message.action == "MCCERTIFICATE") {
      take_certificate(message.token, **data);
    } else {
      trust(message.token, **data);
    }
  }

  asio::awaitable<void> stop() override {
    is_running_ = false;
    co_await service_.stop();
  }

 private:
  static const json::value* member_of(const json::value& value, const char* outer, const char* inner) {
    const auto* found = member(value, outer);
    return found ? member(*found, inner) : nullptr;
  }

  void write(const std::string& token, int code, json::object data) {
    agent_.journal().write(NewRow{token, code, to_text(json::value(std::move(data))), true});
  }
  void finish(const std::string& token, json::object data) {
    data["message"] = "ok";
    write(token, code::finished, std::move(data));
  }
  void fail(const std::string& token, const std::string& why) { write(token, code::failed, {{"message", why}}); }
  TellPortion portions(const std::string& token, const char* name) {
    return [this, token, name](json::array rows) {
      json::object data;
      data[name] = std::move(rows);
      write(token, code::going_on, std::move(data));
    };
  }

  void take_certificate(const std::string& token, const json::value& data) {
    const auto text = text_of(member_of(data, "content", "certificate"));
    if (!text) return fail(token, "content.certificate is missing, expected the text of a certificate");
    const auto taken = service_.access()->take_certificate(*text);
    if (!taken) return fail(token, taken.error().message);
    finish(token, {});
  }

  void trust(const std::string& token, const json::value& data) {
    const auto identity = text_of(member_of(data, "content", "identity"));
    if (!identity) return fail(token, "content.identity is missing, expected the identity whose key is to be forgotten");
    const auto forgotten = service_.access()->forget_pin(*identity);
    if (!forgotten) return fail(token, forgotten.error().message);
    finish(token, {});
  }

  Agent& agent_;
  Service service_;
  bool is_running_ = false;
};

std::vector<Problem> check_all(const Settings& settings) {
  auto problems = check_broker(settings);
  for (auto& problem : check_access(settings, settings.boolean("curve"))) problems.push_back(std::move(problem));
  for (auto& problem : check_kept(settings)) problems.push_back(std::move(problem));
  for (auto& problem : check_backbone(settings)) problems.push_back(std::move(problem));
  return problems;
}

ModuleInfo info() {
  ModuleInfo info;
  info.name = "mcollective";
  info.help =
      "A broker for fleets that run MCollective with the ZeroMQ connector; the connectors stay as they are. Checks the keys of clients, "
      "keeps sessions and subscriptions across restarts, keeps messages of chosen topics until they are taken, and is joined to other "
      "brokers by NATS where that is configured. The user's page is docs/mcollective.md.";
  info.schema = broker_schema();
  for (auto part : {access_schema(), kept_schema(), backbone_schema()})
    for (auto& option : part) info.schema.push_back(std::move(option));
  info.check = check_all;
  info.actions = {{"MCSTATUS", "GET", "/mcollective/status"}, {"MCCLIENTS", "GET", "/mcollective/clients"},
                  {"MCTOPICS", "GET", "/mcollective/topics"}, {"MCACCESS", "GET", "/mcollective/access"},
                  {"MCQUEUES", "GET", "/mcollective/queues"}, {"MCCERTIFICATE", "POST", "/mcollective/certificate"},
                  {"MCTRUST", "POST", "/mcollective/trust"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<MCollective>(agent, settings); };
  info.serves_clients = true;
  return info;
}

}  // namespace
}  // namespace gorgone::mcollective

GORGONE_MODULE(gorgone::mcollective::info)
