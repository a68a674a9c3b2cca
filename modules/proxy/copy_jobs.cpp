#include "copy_jobs.hpp"

#include "clock.hpp"
#include "outbox.hpp"

#include <fmt/format.h>

namespace gorgone::proxy {
namespace {

// For each that may run, as many may be held up: they keep what they have begun to send in memory.
constexpr std::size_t held_up_max = 16;

}  // namespace

bool starts_copy(const Message& message) { return message.action == "REMOTECOPY" || message.action == "CONTENTPUSH"; }

bool is_after_copies(const Message& message) {
  if (message.data.head().find("after_copies") == std::string::npos) return false;
  const auto data = message.data.json();
  if (!data) return false;
  const auto* parameters = member(**data, "parameters");
  return truth_of(member(**data, "after_copies"), false) || (parameters && truth_of(member(*parameters, "after_copies"), false));
}

/// The outbox and the look at the source, whichever comes last.
struct CopyJobs::Acceptance {
  std::shared_ptr<Item> item;
  Reply reply;
  std::optional<Result<bool>> stored;
  std::optional<Result<void>> checked;
  bool is_passed_on = false;
};

CopyJobs::CopyJobs(Agent& agent, CopyWays& ways, Limits limits) : agent_(agent), ways_(ways), limits_(limits), timer_(agent.loop()) {}

void CopyJobs::accept(Message message, bool is_passed_on, Reply reply) {
  const auto target = message.target;
  if (const auto line = lines_.find(target); line != lines_.end() && line->second.items.size() >= limits_.waiting)
    return ways_.refuse_copy(message, reply,
                             Error{fmt::format("busy: {} copies and messages wait for the node already", limits_.waiting), "busy"},
                             is_passed_on);
  const bool is_copy = starts_copy(message);
  auto acceptance = std::make_shared<Acceptance>();
  if (message.action == "REMOTECOPY") {
    auto order = read_copy_order(message);
    if (!order) return ways_.refuse_copy(message, reply, Error{order.error().message, "request"}, is_passed_on);
    agent_.on_pool([this, order = std::move(*order), acceptance, alive = std::weak_ptr<bool>(alive_), &loop = agent_.loop()] {
      auto folder = check_source(order);
      Result<void> checked;
      if (!folder) checked = folder.error();
      asio::post(loop, [this, acceptance, checked, alive] {
        if (alive.expired()) return;
        acceptance->checked = checked;
        settle(acceptance);
      });
    });
  } else {
    acceptance->checked.emplace();
  }
  auto stored = stored_message(message, message.ttl_s);
  auto item = std::make_shared<Item>();
  item->until = now_s() + message.ttl_s;
  item->is_copy = is_copy;
  item->message = std::move(message);
  acceptance->item = item;
  acceptance->reply = std::move(reply);
  acceptance->is_passed_on = is_passed_on;
  lines_[target].items.push_back(std::move(item));
  // Before the look at the source, so that the outbox has all of a target in the order it came.
  agent_.journal().store_outgoing(std::move(stored), is_passed_on,
                                  [this, acceptance, alive = std::weak_ptr<bool>(alive_)](const Result<bool>& is_new) {
                                    if (alive.expired()) return;
                                    ways_.stored(acceptance->item->message.delivery, is_new);
                                    acceptance->stored = is_new;
                                    settle(acceptance);
                                  });
  tick();
}

void CopyJobs::settle(const std::shared_ptr<Acceptance>& acceptance) {
  if (!acceptance->stored || !acceptance->checked) return;
  const auto& item = acceptance->item;
  const auto target = item->message.target;
  const auto& is_new = *acceptance->stored;
  if (!is_new || !*is_new || !*acceptance->checked) {
    drop(target, item);
    if (!is_new) {
      ways_.refuse_copy(item->message, acceptance->reply, outbox_failure(is_new.error()), acceptance->is_passed_on);
    } else if (!*is_new) {
      if (acceptance->reply) acceptance->reply(Answer{"ACK", item->message.token, 0, Payload("null")});
    } else {
      const auto& why = acceptance->checked->error();
      agent_.journal().forget_outgoing(item->message.delivery);
      ways_.refuse_copy(item->message, acceptance->reply, Error{why.message, "source"}, acceptance->is_passed_on);
    }
    return pump(target);
  }
  item->is_stored = item->is_checked = true;
  if (acceptance->reply) acceptance->reply(Answer{"ACK", item->message.token, 0, Payload("null")});
  pump(target);
}

void CopyJobs::restore(Message message) {
  const auto target = message.target;
  auto item = std::make_shared<Item>();
  item->until = now_s() + message.ttl_s;
  item->is_copy = starts_copy(message);
  item->is_stored = item->is_checked = true;
  item->message = std::move(message);
  lines_[target].items.push_back(std::move(item));
  tick();
}

void CopyJobs::drop(const std::string& target, const std::shared_ptr<Item>& item) {
  const auto line = lines_.find(target);
  if (line != lines_.end()) line->second.items.remove(item);
}

void CopyJobs::tick() {
  if (is_ticking_ || is_stopped_ || lines_.empty()) return;
  is_ticking_ = true;
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    is_ticking_ = false;
    pump_all();
    tick();
  });
}

void CopyJobs::pump_all() {
  std::vector<std::string> targets;
  for (const auto& [target, line] : lines_) targets.push_back(target);
  for (const auto& target : targets) pump(target);
}

bool CopyJobs::give_up_if_late(Line& line, const std::shared_ptr<Item>& item) {
  const bool is_at_work = line.is_running && item == line.items.front();
  if (!item->is_stored || is_at_work || item->until > now_s()) return false;
  end_badly(item, item->is_copy ? "proxy - the node could not be reached, or the copy not finished, in the time that it had"
                                : "proxy - the copies before the message did not end in the time that it had");
  return true;
}

void CopyJobs::pump(const std::string& target) {
  if (is_stopped_) return;
  const auto found = lines_.find(target);
  if (found == lines_.end()) return;
  auto& line = found->second;
  std::erase_if(line.items, [&](const auto& item) { return give_up_if_late(line, item); });
  while (!line.items.empty() && !line.is_running) {
    const auto item = line.items.front();
    if (!item->is_stored || !item->is_checked) return;
    if (!item->is_copy) {
      line.items.pop_front();
      ways_.release(std::move(item->message), item->until - now_s());
      continue;
    }
    if (running_ >= limits_.running || held_up_ >= held_up_max * limits_.running || now_s() < line.paused_until) return;
    // A module that is stopping, or was unloaded, may come back.
    if (item->message.action == "CONTENTPUSH" && !has_content()) return;
    auto way = ways_.way_to(target);
    if (!way) return;
    line.is_running = item->is_counted = true;
    ++running_;
    agent_.spawn(run(target, item, std::move(*way)));
    return;
  }
  if (line.items.empty()) lines_.erase(found);
}

void CopyJobs::leave(const std::string& target, Item& item) {
  count(item, true);
  --running_;
  item.is_counted = false;
  if (const auto line = lines_.find(target); line != lines_.end()) line->second.is_running = false;
  // There is room for another, of this line or of others.
  pump_all_soon();
}

// One that is held up and goes on is counted again, even where they are then more than may run: it goes on by itself.
void CopyJobs::count(Item& item, bool is_counted) {
  if (item.is_counted == is_counted) return;
  item.is_counted = is_counted;
  ++(is_counted ? running_ : held_up_);
  --(is_counted ? held_up_ : running_);
  if (!is_counted) pump_all_soon();
}

// Not from inside the call: whoever calls is in the middle of something.
void CopyJobs::pump_all_soon() {
  asio::post(agent_.loop(), [this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) pump_all();
  });
}

void CopyJobs::answered(const std::string& token, const Result<void>& outcome) {
  const auto found = tries_.find(token);
  if (found != tries_.end()) found->second->answered(outcome);
}

void CopyJobs::way_changed(const std::string& node) {
  for (const auto& [token, copy] : tries_)
    if (copy->way().node == node) copy->interrupt(Error{"the link to node '" + node + "' was lost, or its daemon restarted", ""});
  pump_all_soon();
}

void CopyJobs::stop() {
  is_stopped_ = true;
  timer_.cancel();
  for (const auto& [token, copy] : tries_) copy->stop();
}

}  // namespace gorgone::proxy
