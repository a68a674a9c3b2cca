#include "node.hpp"

#include "bulk.hpp"
#include "clock.hpp"
#include "wss_server.hpp"

#include <fmt/format.h>

#include <gorgone/wss_text.hpp>

#include <algorithm>
#include <array>
#include <chrono>

namespace gorgone::proxy {
namespace {

// Nodes answer each message at once. One that has not for so long may have been cut off unnoticed (a stranger who takes a routing id
// leaves its owner with a connection that leads nowhere), so it is pinged.
constexpr std::int64_t answer_awaited_s = 5;
// And before that, so that one that hangs is told soon.
constexpr std::array<std::int64_t, 2> pinged_after_s{3, answer_awaited_s};
// A pong names them all: of a relay with more nodes it is no small thing, and is not asked for every few seconds.
constexpr std::size_t named_in_pong_max = 32;
// How long messages wait for the first pong, which says how they are to be sent. One that is dialled says so of each of them, too; with one
// that dials it is first_pong_s, and it is asked again meanwhile, for deployed ones leave a question lying until the next one comes.
constexpr std::int64_t features_awaited_s = 2;
constexpr std::int64_t full_pause_s = 1;
constexpr std::size_t questions_max = 64;
// A link that is down for less may just be made anew.
constexpr std::int64_t away_after_s = 5;
// A question is not kept for a node that is away.
constexpr std::int64_t question_ttl_s = 10;
// Nor is bulk, which its sender repeats.
constexpr std::int64_t bulk_ttl_s = 60;
// Deployed nodes close their WebSocket on a longer text, and would again whenever it was sent again.
constexpr std::size_t deployed_text_max = 262144;
constexpr std::size_t wrapping_bytes = 256;

Message ping_of(const std::string& token) { return Message{"PING", token, {}, Payload(fmt::format(R"({{"features":{}}})", own_features))}; }

}  // namespace

Node::Node(Agent& agent, NodeSpec spec, const NodeLimits& limits, Open open, Told told, BulkOwner& bulk)
    : agent_(agent),
      spec_(std::move(spec)),
      limits_(limits),
      open_(std::move(open)),
      told_(std::move(told)),
      bulk_(bulk),
      queue_(limits.queue),
      pings_(limits.ping),
      log_(
          agent, spec_.id, limits.log, [this](const Message& question) { return send_question(question); }, [this] { return flow(); }),
      timer_(agent.loop()) {
  changed_at_ = wall_s();
  away_since_ = now_s();
  this->open();
  arm();
}

Node::~Node() { join_silence(false); }

void Node::open() {
  auto link = open_(spec_, *this);
  if (!link) {
    last_error_ = Error{link.error().message, down::other};
    agent_.log().error("node '{}' cannot be reached: {}", printable(spec_.id), link.error().message);
    return;
  }
  link_ = std::move(*link);
}

void Node::change(NodeSpec spec) {
  const bool was_up = is_up();
  link_.reset();
  refused_.clear();
  spec_ = std::move(spec);
  if (was_up) link_down(Error{"its registration changed, or it has connected anew", down::lost});
  open();
  tell_way();
}

Result<void> Node::accept(Message message, bool is_stored) {
  // What is in the outbox already has been accepted.
  const bool is_in_outbox = is_stored && !message.delivery.empty();
  if (!link_ && !is_in_outbox) return Error{"node '" + spec_.id + "' cannot be reached: " + last_error_.message, "unreachable"};
  const auto lane = is_bulk(message.action) ? NodeQueue::Lane::bulk : NodeQueue::Lane::ordinary;
  const bool is_loose_bulk = lane == NodeQueue::Lane::bulk && message.delivery.empty();
  if (is_loose_bulk && !is_up()) return Error{"node '" + spec_.id + "' is away: " + why_away().message, "unreachable"};
  auto wait = message.ttl_s > 0 ? message.ttl_s : limits_.queue.ttl_s;
  if (message.delivery.empty()) wait = std::min(wait, is_loose_bulk ? bulk_ttl_s : question_ttl_s);
  auto queued = queue_.push(std::move(message), now_s() + wait, is_stored, lane);
  if (!queued) return queued;
  flush();
  arm();
  return {};
}

void Node::stored(const std::string& delivery, bool is_kept) {
  queue_.stored(delivery, is_kept);
  flush();
  arm();
}

bool Node::sends_once() const { return !is_one_of_ours() && limits_.redelivery == Redelivery::at_most_once; }

void Node::flush() {
  queue_.resume(now_s());
  if (!is_up() || !is_known_ || now_s() < paused_until_) return;
  while (const auto* entry = queue_.next()) {
    if (const auto why = oversize_of(entry->message); !why.empty()) {
      // That is the bound of the daemon before; the pong of this one tells its own.
      if (!is_frame_max_fresh_ && !WssServer::serves(spec_.type)) break;
      fail(queue_.take_next(), why, "too_large");
      continue;
    }
    if (sends_once() && !entry->message.delivery.empty()) {
      leave_outbox();
      break;
    }
    if (send_next()) continue;
    // The link takes no more; it tells when it does, or it is tried again.
    paused_until_ = now_s() + full_pause_s;
    break;
  }
  // The pong behind them says that they have arrived.
  if (queue_.silent() > 0) pings_.hasten(now_s());
}

std::string Node::oversize_of(const Message& message) const {
  if (!WssServer::serves(spec_.type)) {
    // In base64, and padded; wrapped it has a little more before it. Raw bytes come in pieces that are far smaller.
    const auto size = (message.data.size() + message.token.size() + message.target.size() + wrapping_bytes) / 3 * 4;
    if (frame_max_ == 0 || message.data.bytes() || size <= frame_max_) return {};
    return fmt::format("proxy - the message has {} bytes on its way, of which node '{}' takes {} at most (gorgonecore.{} there)", size,
                       spec_.id, frame_max_, link_->answers_requests() ? "max_message_size" : "max_answer_size");
  }
  if (is_one_of_ours() || message.data.size() < deployed_text_max / 4) return {};
  const auto size = wss::write_request(message).size();
  if (size <= deployed_text_max) return {};
  return fmt::format("proxy - the message has {} bytes, of which the WebSocket of a deployed node such as '{}' takes {} at most", size,
                     spec_.id, deployed_text_max);
}

void Node::link_has_room() {
  paused_until_ = 0;
  flush();
  arm();
}

bool Node::send_next() {
  const auto& entry = *queue_.next();
  const auto& message = entry.message;
  const auto form = form_of(message);
  const bool wraps = form == NodeQueue::Form::wrapped;
  const auto sent = wraps ? link_->send(wrap_delivery(message, std::max<std::int64_t>(1, entry.until - now_s()))) : link_->send(message);
  if (sent) queue_.sent(wraps ? message.delivery : message.token, form);
  return sent.has_value();
}

NodeQueue::Form Node::form_of(const Message& message) const {
  if (is_one_of_ours() && !message.delivery.empty()) return NodeQueue::Form::wrapped;
  // Pieces of files are answered by ours on every link.
  const bool is_answered = link_->answers_requests() || (is_one_of_ours() && is_loose_bulk(message));
  return is_answered ? NodeQueue::Form::plain : NodeQueue::Form::silent;
}

// Out of the outbox before it is sent: whatever happens then, it is not sent twice.
void Node::leave_outbox() {
  const auto delivery = queue_.hold_next();
  agent_.journal().forget_outgoing(delivery, [this, delivery, alive = std::weak_ptr<bool>(alive_)](const Result<void>& outcome) {
    if (alive.expired()) return;
    if (outcome)
      queue_.forgotten(delivery);
    else
      queue_.stored(delivery, true);  // it is tried again
    flush();
    arm();
  });
}

void Node::watch_answers() {
  const auto oldest = queue_.oldest_in_flight();
  if (oldest == awaited_) return;
  awaited_ = oldest;
  awaited_since_ = now_s();
}

// Answers come in order, so a pong to a later ping says that the message or its answer was lost: the node was killed with it in its
// buffers and came back with its sessions. Once for each message: a node may have nothing to say to it.
void Node::resend_if_lost() {
  watch_answers();  // what this pong has acknowledged is not awaited any more
  if (awaited_ == 0 || awaited_ == resent_ || ping_sent_ <= awaited_since_ || now_s() < awaited_since_ + answer_awaited_s) return;
  // A pong that was late itself comes from a node that goes on after a pause: it writes the message down before it answers to it.
  if (now_s() > ping_sent_ + 1 && std::exchange(postponed_, awaited_) != awaited_) {
    awaited_since_ = now_s();
    return;
  }
  resent_ = awaited_;
  link_->reset("it answers pings, but not the message before them; it is sent again");
}

void Node::link_up() {
  const auto now = now_s();
  changed_at_ = wall_s();
  away_since_ = 0;
  heard_ = now;
  if (std::exchange(is_away_, false) && tell_away_) tell_away_(false);
  last_error_ = Error{"", ""};
  refused_.clear();
  pings_.link_up(now);
  if (!is_known_) {
    known_at_ = now + (link_->answers_requests() ? features_awaited_s : limits_.first_pong_s);
    asked_again_at_ = now + features_awaited_s;
  }
  // Commands first: a peer that loses its session after every few messages still gets on with them.
  flush();
  if (is_known_) log_.link_up(now);
  on_clock();
  tell_way();
}

void Node::await_first_pong(std::int64_t now) {
  if (now >= known_at_) {
    features_.clear();
    frame_max_ = 0;
    return become_known();
  }
  if (now < asked_again_at_) return;
  asked_again_at_ = now + features_awaited_s;
  (void)link_->send(ping_of(new_token()));
}

// What it can do says how its log is asked for: in portions, or all at once.
void Node::become_known() {
  if (std::exchange(is_known_, true) || !is_up()) return;
  log_.link_up(now_s());
  for (auto& [subnode, done] : std::exchange(early_, {})) log_.fetch(subnode, std::move(done), now_s());
}

void Node::tell_way() {
  if (was_ready_ == is_ready()) return;
  was_ready_ = is_ready();
  bulk_.way_changed(spec_.id);
}

void Node::link_down(const Error& why) {
  if (changed_at_ == 0 || !last_error_.message.empty()) {
    // Down already: only the reason is another.
    last_error_ = why;
    return;
  }
  changed_at_ = wall_s();
  away_since_ = now_s();
  last_error_ = why;
  pings_.link_down();
  questions_.clear();
  // Who answers next may be an older daemon, or a newer one; its pong tells. One that is dialled refuses what it does not know.
  if (link_) link_->set_takes_raw(false);
  is_frame_max_fresh_ = false;
  known_at_ = 0;
  if (!link_ || !link_->answers_requests()) is_known_ = false;
  for (const auto& message : queue_.take_sent_once())
    fail(message, "proxy - the link to node '" + spec_.id +
                      "' broke before it had answered: the message may have run or not, and is not sent again (proxy.redelivery)");
  queue_.link_lost();
  log_.link_down(why.message);
  for (const auto& [subnode, done] : std::exchange(early_, {})) done(Error{"the link to node '" + spec_.id + "' is down: " + why.message});
  tell_way();
  arm();
}

void Node::offer_refused(const Error& why) {
  if (!is_up()) refused_.add(why, now_s(), wall_s());
}

// What is known of the node itself; where it has not come at all, who was refused in its place may well be the node.
const Error& Node::why_away() const {
  const auto* refused = last_error_.code == down::awaited ? refused_.newest(now_s()) : nullptr;
  return refused ? *refused : last_error_;
}

void Node::fetch_log(const std::string& subnode, std::function<void(Result<void>)> done) {
  if (is_up() && !is_known_) {
    if (done) early_.emplace_back(subnode, std::move(done));
    return;
  }
  log_.fetch(subnode, std::move(done), now_s());
  arm();
}

Result<void> Node::send_question(const Message& question) {
  if (!link_) return Error{"there is no link"};
  const auto sent = link_->send(question);
  if (!sent || link_->answers_requests()) return sent;
  if (questions_.size() >= questions_max) questions_.pop_front();
  questions_.emplace_back(question.token, queue_.last_sequence());
  return sent;
}

void Node::ping() {
  pings_.hasten(now_s());
  arm();
}

void Node::send_ping() {
  const auto token = new_token();
  const auto before = flow();
  if (!link_->send(ping_of(token))) return pings_.not_sent(now_s());
  ping_sent_ = now_s();
  pinged_sequence_ = queue_.last_sequence();
  pings_.sent(token, ping_sent_, wall_s(), before);
}

void Node::on_clock() {
  const auto now = now_s();
  for (const auto pause : pinged_after_s)
    if (awaited_ != 0 && now >= awaited_since_ + pause && ping_sent_ < awaited_since_ + pause) pings_.hasten(now);
  if (is_pinged_in_silence() && now >= heard_ + limits_.silence->ping_after_s()) pings_.hasten(now);
  // Nor is the oldest message late meanwhile: its own bytes may be what moves, and the node writes it down before it answers.
  if (is_up() && pings_.is_awaited() && pings_.moves(now, flow())) heard_ = awaited_since_ = now;
  const auto due = is_up() ? pings_.on_clock(now, wall_s()) : PingWatch::Due::nothing;
  if (due == PingWatch::Due::ping) send_ping();
  if (due == PingWatch::Due::reset) link_->reset(fmt::format("no answer to {} pings", limits_.ping.lost_max));
  log_.on_clock(now);
  for (const auto& [message, may_have_come] : queue_.expired(now)) {
    const auto* what = may_have_come ? "had been sent the message and had not answered in the time that it had: it may have run or not"
                                     : "could not be reached in the time that the message had";
    const auto& why = why_away().message;
    fail(message, fmt::format("proxy - node '{}' {}{}", spec_.id, what, why.empty() ? "" : ": " + why));
  }
  if (is_up() && !is_known_) await_first_pong(now);
  if (away_since_ != 0 && !is_away_ && now >= away_since_ + away_after_s) {
    is_away_ = true;
    if (tell_away_) tell_away_(true);
  }
  tell_way();
  flush();
  arm();
}

void Node::arm() {
  watch_answers();
  const auto now = now_s();
  std::optional<std::int64_t> next = pings_.deadline();
  auto sooner = [&next](std::int64_t time) { next = next ? std::min(*next, time) : time; };
  if (const auto deadline = log_.deadline()) sooner(*deadline);
  for (const auto pause : pinged_after_s)
    if (awaited_ != 0 && awaited_since_ + pause > now) sooner(awaited_since_ + pause);
  if (const auto expiry = queue_.next_expiry()) sooner(*expiry);
  if (!is_known_ && known_at_ > now) sooner(std::min(known_at_, asked_again_at_));
  if (paused_until_ > now) sooner(paused_until_);
  if (const auto end = queue_.next_pause_end()) sooner(*end);
  if (away_since_ != 0 && !is_away_) sooner(away_since_ + away_after_s);
  join_silence(is_pinged_in_silence());
  if (const auto ping_at = heard_ + limits_.silence->ping_after_s(); has_joined_silence_ && ping_at > now) sooner(ping_at);
  if (!next) {
    timer_.cancel();
    is_armed_ = false;
    return;
  }
  const auto when = std::chrono::steady_clock::time_point(std::chrono::seconds(*next));
  if (when == timer_.expiry() && is_armed_) return;
  is_armed_ = true;
  timer_.expires_at(when);
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    is_armed_ = false;
    on_clock();
  });
}

void Node::join_silence(bool joins) {
  if (std::exchange(has_joined_silence_, joins) == joins) return;
  if (joins)
    limits_.silence->joined();
  else
    limits_.silence->left();
}

bool Node::is_pinged_in_silence() const {
  const bool is_pong_short = !link_ || !link_->answers_requests() || subnodes_.get_object().size() <= named_in_pong_max;
  return is_up() && is_one_of_ours() && is_pong_short;
}

bool Node::has_ponged_within(std::int64_t seconds) const { return pings_.has_ponged_within(seconds, now_s()); }

// Told only: its link is given up after the usual pings.
bool Node::is_mute() const {
  if (!is_up()) return false;
  const auto now = now_s();
  const auto unanswered = pings_.unanswered_since();
  return (unanswered && now >= *unanswered + Silence::answer_s) ||
         (is_pinged_in_silence() && now >= heard_ + limits_.silence->mute_after_s());
}

std::vector<Message> Node::hand_over(const std::function<bool(const Message&)>& fits) {
  // The node behind may be a deployed one: only who may have taken a message already knows it again.
  const bool sent_stay = limits_.redelivery == Redelivery::at_most_once;
  auto goes = [&](const Message& message, bool may_have_come) {
    return !message.target.empty() && !(may_have_come && sent_stay) && fits(message);
  };
  return queue_.take_waiting_if(goes, now_s());
}

void Node::abandon(const std::string& why, const std::function<bool(Message&)>& rescue) {
  for (auto& message : queue_.clear(now_s())) {
    if (!message.delivery.empty() && rescue(message)) continue;
    fail(message, why);
  }
  leave(why);
}

void Node::leave(const std::string& why) {
  for (const auto& message : queue_.clear(now_s()))
    if (message.delivery.empty()) fail(message, why);
  link_.reset();
  pings_.link_down();
  log_.link_down(why);
  for (const auto& [subnode, done] : std::exchange(early_, {})) done(Error{why});
  arm();
}

void Node::fail(const Message& message, const std::string& why, const char* code_of_bulk) {
  if (bulk_.owns(message.token)) return bulk_.bulk_answered(message.token, Error{why, code_of_bulk});
  if (is_content_piece(message.action)) {
    agent_.log().debug("{} for node '{}' dropped: {} token={}", message.action, spec_.id, why, printable(message.token));
    return;
  }
  agent_.log().warning("{} for node '{}' failed: {} token={}", printable(message.action), spec_.id, why, printable(message.token));
  json::object data{{"message", why}};
  // Whose try it is may be far away, and learns from it that another one will do.
  if (is_loose_bulk(message)) data["error"] = code_of_bulk;
  NewRow row{message.token, code::failed, to_text(json::value(std::move(data)))};
  if (message.delivery.empty())
    agent_.journal().write(std::move(row));
  else
    agent_.journal().give_up_outgoing(message.delivery, std::move(row));
}

json::object Node::constatus() const {
  json::object out{{"type", spec_.type}, {"nodes", subnodes_}};
  pings_.describe(out);
  out["link"] = is_up() ? "up" : "down";
  out["link_since"] = changed_at_;
  const auto silence = now_s() - heard_;
  const bool hangs = is_mute();
  const auto& why = why_away();
  out["why"] = hangs ? down::mute : is_up() ? "" : why.code.empty() ? down::other : why.code;
  out["queue"] = queue_.waiting() + queue_.in_flight();
  out["last_error"] = hangs ? fmt::format("nothing has come for {} s, though it was asked", silence) : why.message;
  if (auto refused = refused_.describe(now_s()); !refused.empty()) out["refused_offers"] = std::move(refused);
  json::array features;
  for (const auto& name : features_) features.emplace_back(name);
  out["features"] = std::move(features);
  return out;
}

}  // namespace gorgone::proxy
