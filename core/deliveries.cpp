#include "core/deliveries.hpp"

#include <gorgone/log.hpp>

#include <ctime>

namespace gorgone {
namespace {

constexpr std::size_t waiting_max = 10000;

void refuse(const Reply& reply, const std::string& delivery, const Error& why) {
  if (reply) reply(Answer{"ACK", delivery, 1, Payload(json::value(json::object{{"error", why.code}, {"message", why.message}}))});
}

}  // namespace

void Deliveries::take(const Message& wrapped, Reply reply) {
  auto message = unwrap_delivery(wrapped);
  if (!message) return refuse(reply, wrapped.token, message.error());
  if (router_.is_stopping()) return refuse(reply, wrapped.token, Error{"the daemon is stopping", "stopping"});
  if (is_resumed_) return accept(std::move(*message), std::move(reply));
  if (waiting_.size() >= waiting_max) return refuse(reply, wrapped.token, Error{"the daemon is starting", "starting"});
  waiting_.emplace_back(std::move(*message), std::move(reply));
}

void Deliveries::accept(Message message, Reply reply) {
  auto acknowledge = [reply, delivery = message.delivery](Answer answer) {
    answer.kind = "ACK";
    answer.token = delivery;
    if (reply) reply(std::move(answer));
  };
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
  journal_.incoming([this](Result<std::vector<StoredMessage>> list) {
    if (!list) Log("core").error("what was taken before the start cannot be read: {}", list.error().message);
    if (list && !list->empty())
      Log("core").info("{} messages that were taken before the start are run now, those whose time is over excepted", list->size());
    if (list)
      for (auto& stored : *list) {
        if (stored.until <= std::time(nullptr)) {
          give_up(stored);
          continue;
        }
        Message message{stored.action, stored.token, {}, Payload(std::move(stored.data))};
        message.delivery = std::move(stored.delivery);
        run(std::move(message));
      }
    is_resumed_ = true;
    for (auto& [message, reply] : std::exchange(waiting_, {})) accept(std::move(message), std::move(reply));
  });
}

}  // namespace gorgone
