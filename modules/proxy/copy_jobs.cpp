#include "copy_jobs.hpp"

#include "outbox.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace gorgone::proxy {
namespace {

std::int64_t wall_s() { return static_cast<std::int64_t>(std::time(nullptr)); }

constexpr std::int64_t pause_s_max = 5, interrupted_pause_s = 2;
// A source that is written all the time, or a receiver that gets something else each time.
constexpr int wrong_contents_max = 5;

Result<CopyOrder> order_of(const Message& message) {
  const auto data = message.data.json();
  if (!data) return data.error();
  return read_copy_order(**data);
}

/// What the module content is told: the request, with the node.
Payload content_push(const Message& message, const std::string& target) {
  const auto data = message.data.json();
  json::object all = data && (*data)->is_object() ? (*data)->get_object() : json::object();
  json::object content;
  if (const auto* given = all.if_contains("content"); given && given->is_object()) content = given->get_object();
  if (message.action == "REMOTECOPY") {
    content.erase("type");
    content.erase("cache_dir");
    content["extra"] = "keep";
  }
  content["node"] = target;
  all["content"] = std::move(content);
  return Payload(json::value(std::move(all)));
}

}  // namespace

bool starts_copy(const Message& message) { return message.action == "REMOTECOPY" || message.action == "CONTENTPUSH"; }

bool is_after_copies(const Message& message) {
  if (message.data.text().find("after_copies") == std::string::npos) return false;
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
    auto order = order_of(message);
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
  item->until = stored.until;
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
      ways_.refuse_copy(item->message, acceptance->reply, Error{"the outbox: " + is_new.error().message, "journal"},
                        acceptance->is_passed_on);
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
  item->until = wall_s() + message.ttl_s;
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
  if (!item->is_stored || is_at_work || item->until > wall_s()) return false;
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
      ways_.release(std::move(item->message), item->until);
      continue;
    }
    if (running_ >= limits_.running || wall_s() < line.paused_until) return;
    // A module that is stopping, or was unloaded, may come back.
    if (item->message.action == "CONTENTPUSH" && !has_content()) return;
    auto way = ways_.way_to(target);
    if (!way) return;
    line.is_running = true;
    ++running_;
    agent_.spawn(run(target, item, std::move(*way)));
    return;
  }
  if (line.items.empty()) lines_.erase(found);
}

void CopyJobs::leave(const std::string& target) {
  --running_;
  if (const auto line = lines_.find(target); line != lines_.end()) line->second.is_running = false;
  // There is room for another, of this line or of others.
  asio::post(agent_.loop(), [this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) pump_all();
  });
}

asio::awaitable<void> CopyJobs::run(std::string target, std::shared_ptr<Item> item, CopyWay way) {
  // Whichever way this coroutine ends.
  auto leave_line = [this, target](const Item*) { leave(target); };
  const std::unique_ptr<const Item, decltype(leave_line)> slot(item.get(), leave_line);
  auto order = order_of(item->message);
  const bool is_push = item->message.action == "CONTENTPUSH";
  bool is_content = is_push;
  if (!is_push && order && ways_.runs_content(target) && has_content()) {
    auto look = [order = *order] { return check_source(order); };
    const auto is_folder = co_await agent_.blocking(std::move(look));
    is_content = is_folder && *is_folder;
  }
  if (is_stopped_) co_return;
  if (is_content) {
    const auto ran = co_await run_content(target, item);
    if (is_stopped_) co_return;
    if (!ran && is_push && has_content()) {
      end_badly(item, ran.error().message);
      drop(target, item);
    }
    if (ran && *ran) drop(target, item);
    // The daemon may be stopping, and this module is stopped next.
    if (const auto line = lines_.find(target); ran && !*ran && line != lines_.end())
      line->second.paused_until = wall_s() + interrupted_pause_s;
    if (!ran) is_content = false;
  }
  if (!is_content && !is_push) {
    if (order) {
      co_await run_archive(target, item, std::move(*order), std::move(way));
    } else {
      end_badly(item, order.error().message);
      drop(target, item);
    }
  }
}

asio::awaitable<void> CopyJobs::run_archive(const std::string& target, const std::shared_ptr<Item>& item, CopyOrder order, CopyWay way) {
  if (item->tries++ == 0) {
    json::object begun{{"message", "remote copy has started"}, {"source", order.source}, {"destination", order.destination}};
    for (const auto& name : order.unknown) {
      if (!begun.contains("warnings")) begun["warnings"].emplace_array();
      begun["warnings"].get_array().emplace_back("member '" + name + "' means nothing to a remote copy");
    }
    row(*item, code::begun, std::move(begun));
  }
  RemoteCopy copy(agent_, ways_, order, item->message.token, target, std::move(way), limits_.piece_bytes);
  // Out of the table whichever way this coroutine ends.
  auto forget = [this](RemoteCopy* ended_try) { tries_.erase(ended_try->token()); };
  const std::unique_ptr<RemoteCopy, decltype(forget)> registered(&copy, forget);
  tries_[copy.token()] = &copy;
  auto told = std::chrono::steady_clock::now();
  copy.on_progress = [&] {
    const auto now = std::chrono::steady_clock::now();
    if (now - told < std::chrono::seconds(1)) return;
    told = now;
    row(*item, code::going_on, {{"message", "remote copy is going on"}, {"bytes", copy.progress().done}, {"total", copy.progress().total}});
  };
  const auto outcome = co_await copy.run();
  if (is_stopped_) co_return;
  if (outcome.kind != RemoteCopy::Outcome::Kind::again) {
    ended(item, outcome, order, copy.progress().done);
    drop(target, item);
    co_return;
  }
  const bool is_wrong = outcome.why.code == "content" || outcome.why.code == "changed";
  if (is_wrong && ++item->wrong_contents >= wrong_contents_max) {
    end_badly(item, fmt::format("{} (tried {} times)", outcome.why.message, item->tries));
    drop(target, item);
    co_return;
  }
  // One that gets further each time may take longer than it may wait.
  if (copy.confirmed() > item->best) {
    item->best = copy.confirmed();
    item->until = std::max(item->until, wall_s() + 60);
  }
  agent_.log().warning("copy of '{}' to node '{}' starts anew: {} token={}", printable(order.source), printable(target),
                       outcome.why.message, printable(item->message.token));
  row(*item, code::going_on, {{"message", "remote copy starts anew: " + outcome.why.message}, {"try", item->tries + 1}});
  if (const auto line = lines_.find(target); line != lines_.end())
    line->second.paused_until = wall_s() + std::min<std::int64_t>(item->tries - 1, pause_s_max);
}

bool CopyJobs::has_content() const { return agent_.endpoint("POST", "/core/content/push").has_value(); }

// True where the push has ended; false where the module content went away first.
asio::awaitable<Result<bool>> CopyJobs::run_content(const std::string& target, const std::shared_ptr<Item>& item) {
  struct State {
    explicit State(asio::io_context& loop) : wake(loop) {}
    asio::steady_timer wake;
    bool has_ended = false, is_interrupted = false;
    std::optional<Error> refused;
  };
  const auto& token = item->message.token;
  // After a restart the end may be in the journal already.
  auto filter = HistoryFilter();
  filter.token = token;
  const auto rows = co_await agent_.journal().read(std::move(filter));
  const bool is_over = rows && std::any_of(rows->begin(), rows->end(), [](const HistoryRow& known) { return ends_token(known); });
  if (is_over) {
    agent_.journal().forget_outgoing(item->message.delivery);
    co_return true;
  }
  auto state = std::make_shared<State>(agent_.loop());
  const auto watch = agent_.journal().watch(token, [state](const HistoryRow& known) {
    if (ends_token(known)) state->has_ended = true;
    if (known.code == code::going_on && known.data.find(R"("stage":"interrupted")") != std::string::npos) state->is_interrupted = true;
    if (state->has_ended || state->is_interrupted) state->wake.cancel();
  });
  auto refused = [state](const Answer& answer) {
    if (answer.code != code::failed) return;
    state->refused = Error{"the module content refuses it: " + answer.data.text()};
    state->wake.cancel();
  };
  agent_.submit(Message{"CONTENTPUSH", token, {}, content_push(item->message, target), {}}, std::move(refused));
  while (!state->has_ended && !state->is_interrupted && !state->refused && !is_stopped_ && has_content()) {
    state->wake.expires_after(std::chrono::seconds(1));
    boost::system::error_code woken;
    co_await state->wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
    if (cancelled != asio::cancellation_type::none) is_stopped_ = true;
  }
  if (state->refused) co_return *state->refused;
  if (state->has_ended && !is_stopped_) agent_.journal().forget_outgoing(item->message.delivery);
  co_return state->has_ended;
}

void CopyJobs::ended(const std::shared_ptr<Item>& item, const RemoteCopy::Outcome& outcome, const CopyOrder& order, std::uint64_t bytes) {
  if (outcome.kind == RemoteCopy::Outcome::Kind::failed) return end_badly(item, outcome.why.message);
  json::object data{
      {"message", "remote copy finished successfully"}, {"source", order.source}, {"destination", order.destination}, {"bytes", bytes}};
  if (!outcome.warnings.empty()) data["warnings"] = outcome.warnings;
  agent_.log().info("copy of '{}' to node '{}' has ended well bytes={} token={}", printable(order.source), printable(item->message.target),
                    bytes, printable(item->message.token));
  // It leaves the outbox together with the row that ends it.
  agent_.journal().give_up_outgoing(item->message.delivery,
                                    NewRow{item->message.token, code::finished, to_text(json::value(std::move(data)))});
}

void CopyJobs::end_badly(const std::shared_ptr<Item>& item, const std::string& why) {
  agent_.log().error("{} to node '{}' failed: {} token={}", printable(item->message.action), printable(item->message.target),
                     printable(why, 500), printable(item->message.token));
  agent_.journal().give_up_outgoing(
      item->message.delivery, NewRow{item->message.token, code::failed, to_text(json::value(json::object{{"message", to_utf8(why)}}))});
}

void CopyJobs::row(const Item& item, int code, json::object data) {
  agent_.journal().write(NewRow{item.message.token, code, to_text(json::value(std::move(data)))});
}

void CopyJobs::answered(const std::string& token, const Result<void>& outcome) {
  const auto found = tries_.find(token);
  if (found != tries_.end()) found->second->answered(outcome);
}

void CopyJobs::way_changed(const std::string& node) {
  for (const auto& [token, copy] : tries_)
    if (copy->way().node == node) copy->interrupt(Error{"the link to node '" + node + "' was lost, or its daemon restarted", ""});
  // Not from inside the call: the node is in the middle of something.
  asio::post(agent_.loop(), [this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) pump_all();
  });
}

void CopyJobs::stop() {
  is_stopped_ = true;
  timer_.cancel();
  for (const auto& [token, copy] : tries_) copy->stop();
}

}  // namespace gorgone::proxy
