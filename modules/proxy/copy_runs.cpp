#include "clock.hpp"
#include "copy_jobs.hpp"

#include <fmt/format.h>

#include <algorithm>

// The one copy of a line that runs: as an archive or a file, or by the module content.

namespace gorgone::proxy {
namespace {

constexpr std::int64_t pause_s_max = 5, interrupted_pause_s = 2;
// A push whose node says nothing for so long, or that has no way to it, lets others run. A sender asks again after 8 s at most.
constexpr auto silence_max = std::chrono::seconds(20);
// A source that is written all the time, or a receiver that gets something else each time.
constexpr int wrong_contents_max = 5;

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

asio::awaitable<void> CopyJobs::run(std::string target, std::shared_ptr<Item> item, CopyWay way) {
  // Whichever way this coroutine ends.
  auto leave_line = [this, target](Item* ended_item) { leave(target, *ended_item); };
  const std::unique_ptr<Item, decltype(leave_line)> slot(item.get(), leave_line);
  auto order = read_copy_order(item->message);
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
    count(*item, true);
    if (is_stopped_) co_return;
    if (!ran && is_push && has_content()) {
      end_badly(item, ran.error().message);
      drop(target, item);
    }
    if (ran && *ran) drop(target, item);
    // The daemon may be stopping, and this module is stopped next.
    if (const auto line = lines_.find(target); ran && !*ran && line != lines_.end())
      line->second.paused_until = now_s() + interrupted_pause_s;
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
    item->until = std::max(item->until, now_s() + 60);
  }
  agent_.log().warning("copy of '{}' to node '{}' starts anew: {} token={}", printable(order.source), printable(target),
                       outcome.why.message, printable(item->message.token));
  row(*item, code::going_on, {{"message", "remote copy starts anew: " + outcome.why.message}, {"try", item->tries + 1}});
  if (const auto line = lines_.find(target); line != lines_.end())
    line->second.paused_until = now_s() + std::min<std::int64_t>(item->tries - 1, pause_s_max);
}

bool CopyJobs::has_content() const { return agent_.endpoint("POST", "/core/content/push").has_value(); }

// True where the push has ended; false where the module content went away first.
asio::awaitable<Result<bool>> CopyJobs::run_content(const std::string& target, const std::shared_ptr<Item>& item) {
  using Clock = std::chrono::steady_clock;
  struct State {
    explicit State(asio::io_context& loop) : wake(loop) {}
    asio::steady_timer wake;
    bool has_ended = false, is_interrupted = false, is_there = true;
    Clock::time_point heard_at = Clock::now();
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
    state->heard_at = Clock::now();
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
    if (is_stopped_) break;
    const bool is_there = ways_.way_to(target).has_value();
    if (is_there && !state->is_there) state->heard_at = Clock::now();
    state->is_there = is_there;
    count(*item, is_there && Clock::now() - state->heard_at < silence_max);
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

}  // namespace gorgone::proxy
