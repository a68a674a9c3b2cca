#include "outbox.hpp"

#include <algorithm>
#include <chrono>

#include "clock.hpp"

namespace gorgone::proxy {
namespace {

constexpr auto look_every = std::chrono::seconds(10);

}  // namespace

StoredMessage stored_message(const Message& message, std::int64_t ttl_s) {
  return {message.delivery, message.action, message.token, message.target, message.data.text(), wall_s() + ttl_s};
}

Error outbox_failure(const Error& why) { return Error{"the outbox: " + why.message, why.code == "busy" ? "busy" : "journal"}; }

Homeless::Homeless(Agent& agent, Place place) : agent_(agent), place_(std::move(place)), timer_(agent.loop()) {}

asio::awaitable<void> Homeless::load() {
  auto result = std::make_shared<Result<std::vector<StoredMessage>>>(std::vector<StoredMessage>{});
  auto start = [this, result](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    agent_.journal().outgoing([result, shared](Result<std::vector<StoredMessage>> list) {
      *result = std::move(list);
      std::move (*shared)();
    });
  };
  const auto& token = asio::use_awaitable;
  co_await asio::async_initiate<decltype(asio::use_awaitable) const&, void()>(std::move(start), token);
  if (!*result) {
    agent_.log().error("the outbox cannot be read: {}", result->error().message);
    co_return;
  }
  for (auto& stored : **result) {
    Message message{stored.action, stored.token, stored.target, Payload(std::move(stored.data))};
    message.delivery = stored.delivery;
    add(std::move(message), stored.until - wall_s());
  }
  if (!waiting_.empty()) agent_.log().info("{} messages of the outbox wait for their nodes", waiting_.size());
}

void Homeless::add(Message message, std::int64_t left_s) {
  waiting_.push_back(Waiting{std::move(message), now_s() + left_s});
  if (waiting_.size() == 1) tick();
}

void Homeless::settle() {
  std::set<std::string> stuck;  // targets; what is behind such a message stays behind it
  // Those that are here now: what cannot be placed after all may come back behind them.
  auto entry = waiting_.begin();
  for (auto left = waiting_.size(); left > 0; --left) {
    entry->message.ttl_s = std::max<std::int64_t>(1, entry->until - now_s());
    const bool is_placed = !stuck.contains(entry->message.target) && place_(entry->message);
    if (!is_placed) stuck.insert(entry->message.target);
    entry = is_placed ? waiting_.erase(entry) : std::next(entry);
  }
}

void Homeless::tick() {
  timer_.expires_after(look_every);
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    settle();  // a queue that was full may have room
    std::erase_if(waiting_, [this](const Waiting& entry) {
      if (entry.until > now_s()) return false;
      const std::string why =
          "proxy - target " + printable(entry.message.target) + " was unknown, or its queue full, for as long as the message had";
      agent_.log().warning("{} given up: {} token={}", printable(entry.message.action), why, printable(entry.message.token));
      agent_.journal().give_up_outgoing(entry.message.delivery,
                                        NewRow{entry.message.token, code::failed, to_text(json::value(json::object{{"message", why}}))});
      return true;
    });
    if (!waiting_.empty()) tick();
  });
}

}  // namespace gorgone::proxy
