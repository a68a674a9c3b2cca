// mcollective: a broker for MCollective's ZeroMQ connector. The module: its options, its actions and its life.

#include <gorgone/module.hpp>

#include <utility>

#include "access.hpp"
#include "backbone.hpp"
#include "broker_options.hpp"
#include "patient_service.hpp"
#include "status.hpp"

namespace gorgone::mcollective {
namespace {

class MCollective final : public Module {
 public:
  MCollective(Agent& agent, const Settings& settings) : agent_(agent), service_(agent, settings) {}

  asio::awaitable<Result<void>> start() override { return service_.start(); }

  asio::awaitable<void> handle(Message message) override {
    auto* const running = service_.running();
    if (!running) {
      fail(message.token, "the broker does not run: " + service_.why_not());
      co_return;
    }
    auto& service = *running;
    const auto data = message.data.json();
    if (!data) {
      fail(message.token, data.error().message);
      co_return;
    }
    const auto match = text_of(member_of(**data, "parameters", "match")).value_or("");
    if (message.action == "MCSTATUS") {
      finish(message.token, {{"status", status_of(service)}});
    } else if (message.action == "MCCLIENTS") {
      tell_clients(service, match, portions(message.token, "clients"));
      finish(message.token, {});
    } else if (message.action == "MCTOPICS") {
      tell_topics(service, match, portions(message.token, "topics"));
      finish(message.token, {});
    } else if (message.action == "MCACCESS") {
      tell_parts(message.token, "access", in_parts(service.access()->describe()));
    } else if (message.action == "MCQUEUES") {
      tell_parts(message.token, "queues", in_parts(service.kept()->describe()));
    } else if (message.action == "MCCERTIFICATE") {
      take_certificate(*service.access(), message.token, **data);
    } else {
      trust(*service.access(), message.token, **data);
    }
  }

  asio::awaitable<void> stop() override { return service_.stop(); }

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

  /// A row for each part; the last one ends the token.
  template <class Parts>
  void tell_parts(const std::string& token, const char* name, Parts parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      json::object data;
      data[name] = std::move(parts[i]);
      if (i + 1 < parts.size())
        write(token, code::going_on, std::move(data));
      else
        finish(token, std::move(data));
    }
  }

  void take_certificate(Access& access, const std::string& token, const json::value& data) {
    const auto text = text_of(member_of(data, "content", "certificate"));
    if (!text) return fail(token, "content.certificate is missing, expected the text of a certificate");
    const auto taken = access.take_certificate(*text);
    if (!taken) return fail(token, taken.error().message);
    finish(token, {});
  }

  void trust(Access& access, const std::string& token, const json::value& data) {
    const auto identity = text_of(member_of(data, "content", "identity"));
    if (!identity) return fail(token, "content.identity is missing, expected the identity whose key is to be forgotten");
    const auto forgotten = access.forget_pin(*identity);
    if (!forgotten) return fail(token, forgotten.error().message);
    finish(token, {});
  }

  Agent& agent_;
  PatientService service_;
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
