#include "core/deliveries.hpp"

#include <gorgone/log.hpp>

#include <ctime>

namespace gorgone {
namespace {

constexpr std::size_t waiting_max = 10000;
constexpr std::size_t refused_max = 10000;
// Whoever was refused tries again after a second; what was given up meanwhile never comes.
constexpr auto refused_for = std::chrono::seconds(5);
constexpr auto read_every = std::chrono::seconds(1), late_every = std::chrono::seconds(10);

const Error unread{"whether it has run before cannot be read now", "starting"};

void refuse(const Reply& reply, const std::string& delivery, const Error& why) {
  if (reply) reply(Answer{"ACK", delivery, 1, Payload(json::value(json::object{{"error", why.code}, {"message", why.message}}))});
}

}  // namespace

Deliveries::Deliveries(boost::asio::io_context& loop, Journal& journal, Router& router, std::chrono::seconds held_for,
                       std::chrono::seconds grace)
    : journal_(journal), router_(router), held_for_(held_for), grace_(grace), timer_(loop), late_timer_(loop) {}

void Deliveries::take(const Message& wrapped, Reply reply) {
  auto message = unwrap_delivery(wrapped);
  if (!message) return refuse(reply, wrapped.token, message.error());
  if (router_.is_stopping()) return refuse(reply, wrapped.token, Error{"the daemon is stopping", "stopping"});
  if (must_wait(way_of(*message), wrapped.token))
    return refuse(reply, wrapped.token, Error{"a message before it is awaited, which was refused", "busy"});
  reply = watched(*message, std::move(reply));
  if (is_resumed_) return accept(std::move(*message), std::move(reply));
  if (is_unread_) return refuse(reply, wrapped.token, unread);
  if (waiting_.size() >= waiting_max) return refuse(reply, wrapped.token, Error{"the daemon is starting", "starting"});
  waiting_.emplace_back(std::move(*message), std::move(reply));
}

bool Deliveries::must_wait(const Way& way, const std::string& delivery) {
  const auto found = refused_.find(way);
  if (found == refused_.end()) return false;
  const bool is_over = found->second.delivery == delivery || std::chrono::steady_clock::now() > found->second.until;
  if (is_over) refused_.erase(found);
  return !is_over;
}

Reply Deliveries::watched(const Message& message, Reply reply) {
  return [this, way = way_of(message), delivery = message.delivery, reply = std::move(reply)](Answer answer) {
    const auto data = answer.code == code::failed ? answer.data.json() : Result<const json::value*>(Error{""});
    const auto why = data ? text_of(member(**data, "error")).value_or("") : std::string();
    if (is_refused_for_now(why)) {
      const auto now = std::chrono::steady_clock::now();
      if (refused_.size() >= refused_max) std::erase_if(refused_, [now](const auto& entry) { return now > entry.second.until; });
      if (refused_.size() < refused_max) refused_.try_emplace(way, Refused{delivery, now + refused_for});
    }
    if (reply) reply(std::move(answer));
  };
}

void Deliveries::accept(Message message, Reply reply) {
  auto acknowledge = [reply, delivery = message.delivery](Answer answer) {
    answer.kind = "ACK";
    answer.token = delivery;
    if (reply) reply(std::move(answer));
  };
  if (router_.may_come_back(message)) return refuse(reply, message.delivery, Error{"a module is being loaded anew", "starting"});
  // For another node: its place is the outbox. What nobody serves is refused as ever.
  if (!router_.is_here(message) || !router_.serves(message.action)) return router_.submit(std::move(message), std::move(acknowledge));
  StoredMessage stored{message.delivery, message.action,      message.token,
                       message.target,   message.data.text(), static_cast<std::int64_t>(std::time(nullptr)) + message.ttl_s};
  auto shared = std::make_shared<Message>(std::move(message));
  journal_.store_incoming(std::move(stored), [this, shared, acknowledge](const Result<bool>& is_new) {
    if (!is_new)
      return acknowledge(Answer{"", "", 1, Payload(json::value(json::object{{"error", "busy"}, {"message", is_new.error().message}}))});
    acknowledge(Answer{});
    if (*is_new) run(std::move(*shared));
  });
}

void Deliveries::run(Message message) {
  if (router_.is_stopping()) return;  // it has been taken: it runs at the next start
  // A module writes its rows itself, and the host notes when it has ended; the core's answers are all there is to know.
  Reply outcome = [this, token = message.token, delivery = message.delivery](const Answer& answer) {
    if (answer.code == code::begun) return;
    journal_.write(NewRow{token, answer.code, answer.data.text()});
  };
  const bool is_of_core = router_.is_of_core(message.action);
  const bool has_module = !is_of_core && router_.serves(message.action);  // else its row is written when submit() returns
  const auto delivery = message.delivery;
  router_.submit(std::move(message), is_of_core ? std::move(outcome) : Reply());
  if (!has_module) journal_.end_incoming(delivery);
}

void Deliveries::give_up(const StoredMessage& message) {
  const std::string why = "the time that the message had was over before the daemon started again: it has not run";
  Log("core").warning("{} given up: {} token={}", printable(message.action), why, printable(message.token));
  journal_.write(NewRow{message.token, code::failed, to_text(json::value(json::object{{"error", "expired"}, {"message", why}}))});
  journal_.end_incoming(message.delivery);
}

void Deliveries::resume() {
  held_until_ = std::chrono::steady_clock::now() + held_for_;
  read();
}

void Deliveries::read() {
  journal_.incoming([this](Result<std::vector<StoredMessage>> list) {
    const auto why = list ? std::string() : list.error().code;
    if (why == "unreadable" || (why == "busy" && is_unread_)) return read_again(list.error());
    is_unread_ = false;
    if (list)
      run_older(std::move(*list));
    else
      Log("core").error("what was taken before the start cannot be read: {}", list.error().message);
    let_in();
  });
}

void Deliveries::run_older(std::vector<StoredMessage> list) {
  if (!list.empty())
    Log("core").info("{} messages that were taken before the start are run now, those whose time is over excepted", list.size());
  late_until_ = std::chrono::steady_clock::now() + grace_;
  late_ = std::move(list);
  look_at_late();
  if (!late_.empty())
    Log("core").warning("the time of {} of them is over by the clock; they are given up in {} s, unless it is set back", late_.size(),
                        grace_.count());
}

void Deliveries::look_at_late() {
  for (auto& stored : std::exchange(late_, {})) {
    if (stored.until > std::time(nullptr)) {
      Message message{stored.action, stored.token, {}, Payload(std::move(stored.data))};
      message.delivery = std::move(stored.delivery);
      run(std::move(message));
    } else if (std::chrono::steady_clock::now() >= late_until_) {
      give_up(stored);
    } else {
      late_.push_back(std::move(stored));
    }
  }
  if (late_.empty()) return;
  late_timer_.expires_after(late_every);
  late_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && !router_.is_stopping()) look_at_late();
  });
}

// What comes may have been taken, and run, before the start: its sender keeps it.
void Deliveries::read_again(const Error& why) {
  if (!std::exchange(is_unread_, true))
    Log("core").warning(
        "what was taken before the start runs when it can be read; what nodes send meanwhile is refused for now, for {} s at most: {}",
        held_for_.count(), why.message);
  for (auto& [message, reply] : std::exchange(waiting_, {})) refuse(reply, message.delivery, unread);
  if (!is_resumed_ && std::chrono::steady_clock::now() >= held_until_) {
    Log("core").warning("what was taken before the start cannot be read for {} s: what nodes send is taken from now on all the same",
                        held_for_.count());
    let_in();
  }
  timer_.expires_after(read_every);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && !router_.is_stopping()) read();
  });
}

void Deliveries::let_in() {
  is_resumed_ = true;
  for (auto& [message, reply] : std::exchange(waiting_, {})) accept(std::move(message), std::move(reply));
}

}  // namespace gorgone
