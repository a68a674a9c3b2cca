#include "copy_desk.hpp"

#include <algorithm>
#include <ctime>

namespace gorgone::proxy {
namespace {

constexpr std::size_t delivery_length = 32;

void give_delivery(Message& message) {
  if (message.delivery.empty()) message.delivery = new_token().substr(0, delivery_length);
}

}  // namespace

bool CopyDesk::take(Message& message, bool is_passed_on, Reply& reply) {
  if (!starts_copy(message) && !(jobs_.has_line(message.target) && is_after_copies(message))) return false;
  if (message.action == "CONTENTPUSH" && !has_content()) {
    refuse_copy(message, reply, Error{"the module content is not loaded here, which runs CONTENTPUSH", "no_content"}, is_passed_on);
    return true;
  }
  give_delivery(message);
  jobs_.accept(std::move(message), is_passed_on, std::move(reply));
  return true;
}

bool CopyDesk::take_own(Message& message, Reply& reply, std::int64_t ttl_s, bool may_come_again) {
  // Any other with a delivery id is written down already, and was held back where it came from.
  const bool waits = (may_come_again || message.delivery.empty()) && jobs_.has_line({}) && is_after_copies(message);
  if (!waits && message.action != "REMOTECOPY") return false;
  message.target.clear();
  if (message.ttl_s <= 0) message.ttl_s = ttl_s;
  give_delivery(message);
  jobs_.accept(std::move(message), may_come_again, std::move(reply));
  return true;
}

bool CopyDesk::restore(Message& message) {
  const bool own = is_own(message.target);
  if (own) message.target.clear();
  const bool waits = starts_copy(message) || (jobs_.has_line(message.target) && is_after_copies(message));
  if (!waits && !own) return false;
  auto copy = message;
  if (waits)
    jobs_.restore(std::move(copy));
  else
    release(std::move(copy), message.ttl_s);
  return true;
}

std::optional<CopyWay> CopyDesk::way_to(const std::string& target) {
  if (is_own(target)) return CopyWay{};
  const auto step = routes_.step_to(target);
  if (!step) return {};
  const auto* node = routes_.node_of(step->node);
  if (!node || !node->is_ready()) return {};
  const bool is_ours = node->has_feature("log_wait") && (step->target.empty() || routes_.target_has(target, "log_wait"));
  if (is_ours) return CopyWay{step->node, step->target, Pace::rows};
  return CopyWay{step->node, step->target, step->target.empty() ? Pace::answers : Pace::polled};
}

Result<void> CopyDesk::send_piece(const CopyWay& way, Message message) {
  if (way.node.empty()) {
    auto reply = [this, token = message.token](const Answer& answer) {
      const auto data = answer.data.json();
      const auto why = data ? text_of(member(**data, "message")).value_or("refused") : "refused";
      jobs_.answered(token, answer.code == code::begun ? Result<void>() : Result<void>(Error{why}));
    };
    agent_.submit(std::move(message), std::move(reply));
    return {};
  }
  auto* node = routes_.node_of(way.node);
  if (!node) return Error{"node '" + way.node + "' was unregistered", "unreachable"};
  return node->accept(std::move(message), true);
}

void CopyDesk::withdraw(const CopyWay& way, const std::string& token) {
  if (auto* node = routes_.node_of(way.node)) node->withdraw(token);
}

void CopyDesk::fetch_log(const std::string& target) {
  const auto step = routes_.step_to(target);
  auto* node = step ? routes_.node_of(step->node) : nullptr;
  if (node) node->fetch_log(step->target, {});
}

bool CopyDesk::runs_content(const std::string& target) { return !is_own(target) && has_content() && routes_.target_has(target, "content"); }

void CopyDesk::release(Message message, std::int64_t left_s) {
  if (is_own(message.target)) {
    // To ourselves, under an id of its own: whenever the daemon ends it is in the outbox or written down as come, and runs once.
    const auto delivery = message.delivery;
    Message own = message;
    own.delivery += "-own";
    auto taken = [this, delivery, message, left_s, alive = std::weak_ptr<bool>(alive_)](const Answer& answer) {
      if (alive.expired()) return;
      if (answer.code == code::begun) return agent_.journal().forget_outgoing(delivery);
      agent_.log().warning("{} for this node is not taken now, and tried again: {}", message.action, answer.data.text());
      routes_.keep(message, left_s);
    };
    agent_.submit(wrap_delivery(own, std::max<std::int64_t>(1, left_s)), std::move(taken));
    return;
  }
  const auto step = routes_.step_to(message.target);
  auto* node = step ? routes_.node_of(step->node) : nullptr;
  Message copy = message;
  copy.ttl_s = std::max<std::int64_t>(1, left_s);
  if (step) copy.target = step->target;
  if (!node || !node->accept(std::move(copy), true)) routes_.keep(std::move(message), left_s);
}

}  // namespace gorgone::proxy
