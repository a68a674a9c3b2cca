// PUTs on persistent topics: answered when they are stored.

#include <algorithm>
#include <chrono>
#include <utility>

#include "broker.hpp"

namespace gorgone::mcollective {
namespace {

// Of messages that are not stored yet, of one publisher and of all: beyond it he is not read until they are.
constexpr std::size_t keeping_max = std::size_t{4} << 20, all_keeping_max = std::size_t{32} << 20;

constexpr std::size_t complaints_max = 1000;
constexpr auto complaint_every = std::chrono::seconds(60);

}  // namespace

void Broker::put_kept(Client& client, std::string topic, SharedFrames message, std::size_t bytes, std::optional<std::string> id) {
  const auto connection = client.connection;
  const auto ticket = id ? delivery_.promise_answer(client) : 0;
  client.is_asking = false;
  auto done = [this, alive = std::weak_ptr<bool>(alive_), connection, ticket, topic, message, bytes,
               id = std::move(id)](const Result<void>& outcome) {
    if (alive.expired()) return;
    was_kept(connection, bytes);
    // Those who do not own the queue have it as they have any other message: an owner who takes nothing does not make them deaf.
    if (auto* const known = topics_.find(topic)) fan_out(*known, message, bytes, connection, false);
    const bool is_too_large = !outcome && outcome.error().code == "too_large";
    if (parts_.backbone && !is_too_large) parts_.backbone->publish(topic, message);
    if (outcome) {
      ++counters_.kept;
      if (id) answer_late(connection, ticket, ok(*id));
      return;
    }
    if (is_too_large) {
      note_too_large(clients_.at(connection), topic, outcome.error().message);
    } else {
      ++counters_.kept_refused;
      note_not_kept(topic, outcome.error());
    }
    if (id) return answer_late(connection, ticket, error("not kept: " + outcome.error().message, &*id));
    if (auto* const publisher = clients_.at(connection)) refuse(*publisher, "not kept: " + outcome.error().message, nullptr);
  };
  hold_while_kept(connection, bytes);
  parts_.kept.put(topic, message, std::move(done));
}

// Connectors PUT without an ID and do not look at what they are answered: nobody else would know.
void Broker::note_not_kept(const std::string& topic, const Error& why) {
  // Anybody can think of ever new topics; and a disk that is full is full for all of them.
  if (not_kept_.size() >= complaints_max && !not_kept_.contains(topic))
    std::erase_if(not_kept_, [this](const auto& known) { return now_ - known.second.told >= complaint_every; });
  const bool has_own = why.code == "full" && (not_kept_.size() < complaints_max || not_kept_.contains(topic));
  std::uint64_t count = 0;
  if (Delivery::is_due(not_kept_[has_own ? topic : std::string()], now_, count))
    log_.warning("what is PUT to topic \"{}\" is not kept: {}: refused since the last time={}{}", printable(topic), why.message, count,
                 has_own ? "" : ", topics of which nothing is told among them");
}

void Broker::hold_while_kept(ConnectionId publisher, std::size_t bytes) {
  auto& keeping = keeping_[publisher];
  keeping.bytes += bytes;
  keeping_bytes_ += bytes;
  if (keeping.is_held || (keeping.bytes <= keeping_max && keeping_bytes_ <= all_keeping_max)) return;
  auto& client = *clients_.at(publisher);
  keeping.is_held = true;
  ++counters_.held_back;
  if (client.holds++ == 0 && !client.is_muted) parts_.outlet.pause(publisher);
}

void Broker::was_kept(ConnectionId publisher, std::size_t bytes) {
  const auto found = keeping_.find(publisher);
  auto& keeping = found->second;
  keeping.bytes -= bytes;
  keeping_bytes_ -= bytes;
  if (keeping.is_held && keeping.bytes <= keeping_max / 2) {
    keeping.is_held = false;
    auto* const client = clients_.at(publisher);
    if (client && client->holds > 0 && --client->holds == 0 && !client->is_muted) parts_.outlet.resume(publisher);
  }
  if (keeping.bytes == 0) keeping_.erase(found);
}

void Broker::answer_late(ConnectionId to, std::uint64_t ticket, Frames frames) {
  delivery_.keep_promise(to, ticket, std::move(frames), now_);
  if (auto* const client = clients_.at(to)) schedule(*client);
}

}  // namespace gorgone::mcollective
