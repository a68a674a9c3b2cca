#include "status.hpp"

#include <ctime>
#include <utility>

namespace gorgone::mcollective {
namespace {

double seconds_since(Time then, Time now) { return std::chrono::duration<double>(now - then).count(); }

json::object transport_status(const Transport& transport) {
  const auto& counters = transport.counters();
  json::array endpoints;
  for (const auto& endpoint : transport.endpoints()) endpoints.emplace_back(endpoint);
  json::object all{
      {"accepted", counters.accepted},       {"refused", counters.refused},           {"failed_handshakes", counters.failed_handshakes},
      {"messages_in", counters.messages_in}, {"messages_out", counters.messages_out}, {"bytes_in", counters.bytes_in},
      {"bytes_out", counters.bytes_out}};
  all["endpoints"] = std::move(endpoints);
  return all;
}

class Portions {
 public:
  explicit Portions(const TellPortion& tell) : tell_(tell) {}
  ~Portions() { tell_(std::move(rows_)); }
  Portions(const Portions&) = delete;
  void add(json::object row) {
    if (rows_.size() == portion_max) tell_(std::exchange(rows_, {}));
    rows_.emplace_back(std::move(row));
  }

 private:
  const TellPortion& tell_;
  json::array rows_;
};

}  // namespace

json::object status_of(const Service& service) {
  const auto& broker = *service.broker();
  const auto& counters = broker.counters();
  json::object dropped{{"queue_full", counters.queue_full}, {"session_over", counters.session_over},   {"unheard", counters.unheard},
                       {"not_kept", counters.kept_refused}, {"backbone_away", counters.backbone_away}, {"too_large", counters.too_large}};
  json::object messages{{"put", counters.put},
                        {"delivered", counters.delivered},
                        {"kept", counters.kept},
                        {"kept_taken", counters.kept_taken},
                        {"from_backbone", counters.from_backbone},
                        {"publishers_held_back", counters.held_back}};
  messages["dropped"] = std::move(dropped);
  json::object refused{{"not_allowed", counters.not_allowed}, {"malformed", counters.malformed}, {"commands", counters.refused}};
  json::object clients{{"sessions", broker.clients().sessions()},
                       {"connections", broker.clients().connections()},
                       {"expired", counters.expired},
                       {"handovers", counters.handovers},
                       {"moved", counters.moved}};
  json::object status{{"since", service.started_s()}, {"public_key", service.public_key()}};
  status["clients"] = std::move(clients);
  status["topics"] = json::object{{"topics", broker.topics().size()}, {"subscriptions", broker.topics().subscriptions()}};
  status["messages"] = std::move(messages);
  status["refused"] = std::move(refused);
  status["transport"] = transport_status(*service.transport());
  if (service.backbone()) status["backbone"] = service.backbone()->describe();
  return status;
}

std::vector<json::array> in_parts(json::array rows) {
  std::vector<json::array> parts(1);
  for (auto& row : rows) {
    if (parts.back().size() == portion_max) parts.emplace_back();
    parts.back().push_back(std::move(row));
  }
  return parts;
}

std::vector<json::object> in_parts(json::object lists) {
  std::vector<json::object> parts(1);
  std::size_t count = 0;
  for (auto& [name, value] : lists) {
    auto* const list = value.if_array();
    if (!list) {
      parts.back()[name] = std::move(value);
      continue;
    }
    parts.back()[name] = json::array();
    for (auto& row : *list) {
      if (count == portion_max) {
        parts.emplace_back()[name] = json::array();
        count = 0;
      }
      parts.back()[name].get_array().push_back(std::move(row));
      ++count;
    }
  }
  return parts;
}

void tell_clients(const Service& service, std::string_view match, const TellPortion& tell) {
  const auto now = Clock::now();
  Portions portions(tell);
  for (const auto& client : service.broker()->clients().all()) {
    if (client->peer.routing_id.find(match) == std::string::npos) continue;
    Transport::Waiting queue;
    if (client->connection != 0) queue = service.transport()->waiting(client->connection);
    queue.messages += queue.answers;
    if (client->backlog) {
      queue.messages += client->parcels();
      queue.bytes += client->backlog->bytes;
    }
    portions.add({{"identity", to_utf8(identity_of(client->peer.routing_id))},
                  {"routing_id", to_utf8(client->peer.routing_id)},
                  {"key", client->peer.key},
                  {"key_name", client->grant.name},
                  {"allowed_by", client->grant.source},
                  {"version", to_utf8(client->version)},
                  {"address", client->peer.address},
                  {"connected", client->connection != 0},
                  {"session", client->has_session},
                  {"ttl_ms", client->ttl.count()},
                  {"age_s", seconds_since(client->since, now)},
                  {"last_heard_s", seconds_since(client->last_heard, now)},
                  {"topics", client->subscriptions.size()},
                  {"messages_in", client->in},
                  {"messages_out", client->out},
                  {"dropped", client->dropped},
                  {"slow", client->is_slow},
                  {"queue_messages", queue.messages},
                  {"queue_bytes", queue.bytes}});
  }
}

void tell_topics(const Service& service, std::string_view match, const TellPortion& tell) {
  Portions portions(tell);
  service.broker()->topics().for_each([&](const Topic& topic) {
    if (topic.name.find(match) == std::string_view::npos) return;
    portions.add({{"topic", to_utf8(topic.name)}, {"subscribers", topic.subscribers.size()}, {"persistent", topic.is_persistent}});
  });
}

}  // namespace gorgone::mcollective
