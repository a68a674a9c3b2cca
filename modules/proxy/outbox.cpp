#include "outbox.hpp"

#include <gorgone/await_callback.hpp>

#include <algorithm>
#include <chrono>

#include "clock.hpp"

namespace gorgone::proxy {
namespace {

constexpr auto look_every = std::chrono::seconds(10);
constexpr auto read_every = std::chrono::seconds(1);

}  // namespace

StoredMessage stored_message(const Message& message, std::int64_t ttl_s) {
  return {message.delivery, message.action, message.token, message.target, message.data.text(), wall_s() + ttl_s};
}

Error outbox_failure(const Error& why) { return Error{"the outbox: " + why.message, why.code == "busy" ? "busy" : "journal"}; }

Homeless::Homeless(Agent& agent, Place place, std::int64_t held_s, std::int64_t grace_s)
    : agent_(agent),
      place_(std::move(place)),
      held_s_(held_s),
      grace_s_(grace_s),
      held_until_(now_s() + held_s),
      timer_(agent.loop()),
      read_timer_(agent.loop()) {}

asio::awaitable<void> Homeless::load() {
  auto start = [this](auto done) { read([done] { done(Result<void>()); }); };
  co_await await_callback<Result<void>>(std::move(start));
  if (!is_unread_) co_return;
  agent_.log().warning("the outbox cannot be read now: what is accepted meanwhile goes behind what it holds, or after {} s without it",
                       held_s_);
}

void Homeless::read(std::function<void()> done) {
  agent_.journal().outgoing([this, done = std::move(done), alive = std::weak_ptr<bool>(alive_)](Read list) {
    if (!alive.expired()) on_read(std::move(list));
    if (done) done();
  });
}

void Homeless::on_read(Read list) {
  if (!list && list.error().code == "unreadable") {
    is_late_ = true;
    if (!holds_back()) let_go();
    read_timer_.expires_after(read_every);
    read_timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
      if (!error && !alive.expired()) read({});
    });
    return;
  }
  is_unread_ = false;
  if (!list) agent_.log().error("the outbox cannot be read: {}", list.error().message);
  const auto before = waiting_.size();
  if (list)
    for (auto& stored : *list) {
      if (stored_.contains(stored.delivery)) continue;
      Message message{stored.action, stored.token, stored.target, Payload(std::move(stored.data))};
      message.delivery = stored.delivery;
      const auto left_s = stored.until - wall_s();
      if (left_s > 0)
        add(std::move(message), left_s);
      else
        late_.push_back({std::move(message), stored.until});
    }
  if (!late_.empty()) {
    agent_.log().warning("the time of {} messages of the outbox is over by the clock; they are given up in {} s, unless it is set back",
                         late_.size(), grace_s_);
    late_until_ = now_s() + grace_s_;
    if (waiting_.empty()) tick();
  }
  if (waiting_.size() > before) agent_.log().info("{} messages of the outbox wait for their nodes", waiting_.size() - before);
  stored_.clear();
  // At the start no node is there yet.
  if (is_late_ || !held_.empty()) let_go();
}

bool Homeless::holds_back() const { return is_unread_ && now_s() < held_until_; }

void Homeless::hold(Message message) {
  const auto left_s = message.ttl_s;
  held_.push_back(Waiting{std::move(message), now_s() + left_s});
  if (!holds_back()) let_go();
}

void Homeless::let_go() {
  const bool was_idle = waiting_.empty();
  waiting_.splice(waiting_.end(), held_);
  if (waiting_.empty()) return;
  if (was_idle) tick();
  settle();
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
    look_at_late();
    settle();  // a queue that was full may have room
    std::erase_if(waiting_, [this](const Waiting& entry) {
      if (entry.until > now_s()) return false;
      give_up(entry.message,
              "proxy - target " + printable(entry.message.target) + " was unknown, or its queue full, for as long as the message had");
      return true;
    });
    if (!waiting_.empty() || !late_.empty()) tick();
  });
}

void Homeless::look_at_late() {
  std::erase_if(late_, [this](Late& entry) {
    const auto left_s = entry.until - wall_s();
    if (left_s > 0)
      waiting_.push_back(Waiting{std::move(entry.message), now_s() + left_s});
    else if (now_s() >= late_until_)
      give_up(entry.message, "proxy - the time that the message had was over before the daemon started again");
    else
      return false;
    return true;
  });
}

void Homeless::give_up(const Message& message, const std::string& why) {
  agent_.log().warning("{} given up: {} token={}", printable(message.action), why, printable(message.token));
  agent_.journal().give_up_outgoing(message.delivery,
                                    NewRow{message.token, code::failed, to_text(json::value(json::object{{"message", why}}))});
}

}  // namespace gorgone::proxy
