#include "node.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>

namespace gorgone::proxy {
namespace {

std::int64_t now_s() {
  using namespace std::chrono;
  return duration_cast<seconds>(steady_clock::now().time_since_epoch()).count();
}

// Nodes answer each message at once. One that has not for so long may have been cut off unnoticed (a stranger who takes a routing id
// leaves its owner with a connection that leads nowhere), so it is pinged.
constexpr std::int64_t answer_awaited_s = 5;

std::int64_t wall_s() { return static_cast<std::int64_t>(std::time(nullptr)); }

constexpr std::int64_t clock_error_s_max = 86400;

// "action 'X' is unknown" names X.
std::string unknown_action_of(const json::value& data) {
  const auto text = text_of(member(data, "message")).value_or("");
  const auto begin = text.find('\''), end = text.rfind('\'');
  return begin < end ? text.substr(begin + 1, end - begin - 1) : std::string();
}

NewRow row_of(const json::value& remote) {
  NewRow row;
  row.token = text_of(member(remote, "token")).value_or("");
  row.code = static_cast<int>(integer_of(member(remote, "code")).value_or(0));
  row.etime = integer_of(member(remote, "etime")).value_or(0);
  row.instant = truth_of(member(remote, "instant"), false);
  const auto* data = member(remote, "data");
  row.data = data ? (data->is_string() ? std::string(data->get_string()) : to_text(*data)) : "{}";
  return row;
}

}  // namespace

Node::Node(Agent& agent, NodeSpec spec, const NodeLimits& limits, Told told, OpenLink open_link)
    : agent_(agent),
      spec_(std::move(spec)),
      limits_(limits),
      told_(std::move(told)),
      open_link_(std::move(open_link)),
      queue_(limits.queue),
      pings_(limits.ping),
      timer_(agent.loop()) {
  changed_at_ = wall_s();
  open();
  arm();
}

Node::~Node() = default;

void Node::open() {
  auto link = open_link_(spec_, *this);
  if (!link) {
    last_error_ = link.error().message;
    agent_.log().error("node '{}' cannot be reached: {}", printable(spec_.id), link.error().message);
    return;
  }
  link_ = std::move(*link);
}

void Node::change(NodeSpec spec) {
  const bool was_up = is_up();
  link_.reset();
  spec_ = std::move(spec);
  if (was_up) link_down(Error{"its registration changed"});
  open();
}

Result<void> Node::accept(Message message) {
  if (!link_) return Error{"node '" + spec_.id + "' cannot be reached: " + last_error_, "unreachable"};
  auto queued = queue_.push(std::move(message), now_s());
  if (!queued) return queued;
  flush();
  arm();
  return {};
}

void Node::flush() {
  if (!is_up()) return;
  while (const auto* message = queue_.next()) {
    if (!link_->send(*message)) return;
    const auto token = message->token;
    queue_.sent();
    if (!link_->answers_requests()) (void)queue_.answered(token);
  }
}

void Node::watch_answers() {
  auto oldest = queue_.oldest_in_flight();
  if (oldest == awaited_) return;
  awaited_ = std::move(oldest);
  awaited_since_ = now_s();
}

// Answers come in order, so a pong to a later ping says that the message or its answer was lost: the node was killed with it in its
// buffers and came back with its sessions. Once for each message: a node may have nothing to say to it.
void Node::resend_if_lost() {
  if (awaited_.empty() || awaited_ == resent_ || ping_sent_ <= awaited_since_ || now_s() < awaited_since_ + answer_awaited_s) return;
  resent_ = awaited_;
  link_->reset("it answers pings, but not the message before them; it is sent again");
}

void Node::link_up() {
  changed_at_ = wall_s();
  last_error_.clear();
  pings_.link_up(now_s());
  // Commands first: a peer that loses its session after every few messages still gets on with them.
  flush();
  if (!fetch_) start_fetch();
  on_clock();
}

void Node::link_down(const Error& why) {
  changed_at_ = wall_s();
  last_error_ = why.message;
  pings_.link_down();
  queue_.link_lost();
  if (fetch_) finish_fetch(Error{"the link to node '" + spec_.id + "' is down: " + why.message});
  arm();
}

void Node::link_received(Message message) {
  message.origin = Origin{Origin::Kind::node, spec_.id};
  if (message.action == "PONG") {
    if (pings_.pong(message.token, now_s(), wall_s())) resend_if_lost();
    if (const auto data = message.data.json())
      if (const auto* inner = member(**data, "data"))
        if (const auto* nodes = member(*inner, "data"); nodes && nodes->is_object()) subnodes_ = *nodes;
    told_(spec_.id, message);
    if (!message.token.empty()) queue_.answered(message.token);  // a PING of somebody else
    arm();
    return;
  }
  if (message.action == "REGISTERNODES" || message.action == "UNREGISTERNODES") return told_(spec_.id, message);
  if (message.action == "SYNCLOGS") return fetch_log({}, {});
  on_answer(message);
  flush();
  arm();
}

void Node::on_answer(const Message& answer) {
  const auto parsed = answer.data.json();
  const auto* data = parsed ? member(**parsed, "data") : nullptr;
  if (fetch_ && !answer.token.empty() && answer.token == fetch_->token) return on_log(data);
  const bool is_unknown = data && text_of(member(*data, "error")) == "unknown_action";
  const auto message = is_unknown && answer.token.empty() ? queue_.unknown_action(unknown_action_of(*data)) : queue_.answered(answer.token);
  if (!message) {
    agent_.log().debug("node '{}': {} that nobody waits for token={}", spec_.id, printable(answer.action), printable(answer.token));
    return;
  }
  if (!parsed) return fail(*message, "node '" + spec_.id + "' sent an answer that is no JSON");
  // A plain ACK says that the node has taken the message, and of an unknown action the node writes the row itself; anything else
  // is news for whoever waits for the token.
  const auto outcome = static_cast<int>(integer_of(member(**parsed, "code")).value_or(0));
  if (is_unknown || (answer.action == "ACK" && outcome == code::begun)) return;
  agent_.journal().write(NewRow{message->token, outcome, data ? to_text(*data) : "null"});
}

void Node::fetch_log(const std::string& subnode, std::function<void(Result<void>)> done) {
  if (!is_up()) {
    if (done) done(Error{"the link to node '" + spec_.id + "' is down" + (last_error_.empty() ? "" : ": " + last_error_)});
    return;
  }
  // What is under way may have been read before the row that is wished for was written: the next request is shared.
  auto& waiters = wishes_[subnode];
  if (done) waiters.push_back(std::move(done));
  if (!fetch_) start_fetch();
}

// One GETLOG is under way at a time. With a subnode as target the node fetches that one's log before it answers with its own.
void Node::start_fetch() {
  fetch_.emplace();
  fetch_->number = ++fetches_;
  fetch_->deadline = now_s() + limits_.fetch_answer_s;
  if (!wishes_.empty()) {
    auto wish = wishes_.extract(wishes_.begin());
    fetch_->subnode = wish.key();
    fetch_->waiters = std::move(wish.mapped());
  }
  next_fetch_ = now_s() + limits_.fetch_every_s;
  if (fetched_until_) return ask_log();
  agent_.journal().fetched_until(spec_.id, [this, number = fetches_, alive = std::weak_ptr<bool>(alive_)](const Result<double>& ctime) {
    if (alive.expired() || !fetch_ || fetch_->number != number) return;
    fetched_until_ = ctime ? std::min(*ctime, static_cast<double>(wall_s())) : 0;
    ask_log();
  });
}

void Node::ask_log() {
  fetch_->token = new_token();
  json::object filter{{"ctime", *fetched_until_}};
  const Message message{"GETLOG", fetch_->token, fetch_->subnode, Payload(json::value(std::move(filter))), {}};
  const auto sent = link_ ? link_->send(message) : Result<void>(Error{"there is no link"});
  if (!sent) finish_fetch(sent.error());
}

void Node::on_log(const json::value* data) {
  const auto* result = data ? member(*data, "result") : nullptr;
  if (!result || !result->is_array())
    return finish_fetch(Error{"node '" + spec_.id + "' sent no log" + (data ? ": " + printable(to_text(*data)) : "")});
  // A clock that is wrong on the node must not hide what it writes when the clock is right again.
  const double latest = static_cast<double>(wall_s() + clock_error_s_max);
  std::vector<std::pair<double, const json::value*>> order;
  for (const auto& row : result->get_array()) order.emplace_back(number_of(member(row, "ctime")).value_or(0), &row);
  // Deployed daemons send rows in the order of their ids as strings.
  std::stable_sort(order.begin(), order.end(), [](const auto& left, const auto& right) {
    if (left.first != right.first) return left.first < right.first;
    return integer_of(member(*left.second, "id")).value_or(0) < integer_of(member(*right.second, "id")).value_or(0);
  });
  if (order.empty()) return finish_fetch({});
  std::vector<NewRow> rows;
  rows.reserve(order.size());
  const double before = *fetched_until_;
  double newest = before;
  for (const auto& [ctime, row] : order) {
    rows.push_back(row_of(*row));
    if (ctime <= latest) newest = std::max(newest, ctime);
  }
  // At once, so that another request, should the link break now, does not bring the same rows.
  fetched_until_ = newest;
  auto stored = [this, before, number = fetch_->number, alive = std::weak_ptr<bool>(alive_)](const Result<void>& outcome) {
    if (alive.expired()) return;
    if (!outcome) fetched_until_ = before;
    if (fetch_ && fetch_->number == number) finish_fetch(outcome);
  };
  agent_.journal().store_fetched(spec_.id, newest, std::move(rows), std::move(stored));
}

void Node::finish_fetch(const Result<void>& outcome) {
  if (!fetch_) return;
  if (!outcome) agent_.log().debug("log of node '{}' not fetched: {}", spec_.id, outcome.error().message);
  auto waiters = std::move(fetch_->waiters);
  fetch_.reset();
  if (!wishes_.empty()) {
    if (is_up())
      start_fetch();
    else
      for (auto& [subnode, more] : std::exchange(wishes_, {}))
        waiters.insert(waiters.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  for (auto& waiter : waiters) waiter(outcome);
  arm();
}

void Node::send_ping() {
  const auto token = new_token();
  if (!link_->send(Message{"PING", token, {}, Payload(), {}})) return pings_.not_sent(now_s());
  ping_sent_ = now_s();
  pings_.sent(token, ping_sent_, wall_s());
}

void Node::on_clock() {
  const auto now = now_s();
  if (!awaited_.empty() && now >= awaited_since_ + answer_awaited_s && ping_sent_ < awaited_since_ + answer_awaited_s) pings_.hasten(now);
  const auto due = is_up() ? pings_.on_clock(now, wall_s()) : PingWatch::Due::nothing;
  if (due == PingWatch::Due::ping) send_ping();
  if (due == PingWatch::Due::reset) link_->reset(fmt::format("no answer to {} pings", limits_.ping.lost_max));
  if (fetch_ && now >= fetch_->deadline)
    finish_fetch(Error{fmt::format("node '{}' did not send its log within {} s", spec_.id, limits_.fetch_answer_s)});
  if (is_up() && !fetch_ && now >= next_fetch_) start_fetch();
  for (const auto& message : queue_.expired(now))
    fail(message, fmt::format("proxy - node '{}' could not be reached within {} s", spec_.id, limits_.queue.ttl_s));
  flush();
  arm();
}

void Node::arm() {
  watch_answers();
  std::optional<std::int64_t> next = pings_.deadline();
  auto sooner = [&next](std::int64_t time) { next = next ? std::min(*next, time) : time; };
  if (fetch_) sooner(fetch_->deadline);
  if (is_up() && !fetch_) sooner(next_fetch_);
  if (!awaited_.empty() && awaited_since_ + answer_awaited_s > now_s()) sooner(awaited_since_ + answer_awaited_s);
  if (const auto expiry = queue_.next_expiry()) sooner(*expiry);
  if (!next) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::seconds(*next)));
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired()) on_clock();
  });
}

void Node::abandon(const std::string& why) {
  for (const auto& message : queue_.clear()) fail(message, why);
  link_.reset();
  finish_fetch(Error{why});
  arm();
}

void Node::fail(const Message& message, const std::string& why) {
  agent_.log().warning("{} for node '{}' failed: {} token={}", printable(message.action), spec_.id, why, printable(message.token));
  agent_.journal().write(NewRow{message.token, code::failed, to_text(json::value(json::object{{"message", why}}))});
}

json::object Node::constatus() const {
  json::object out{{"type", spec_.type}, {"nodes", subnodes_}};
  pings_.describe(out);
  out["link"] = is_up() ? "up" : "down";
  out["link_since"] = changed_at_;
  out["queue"] = queue_.waiting() + queue_.in_flight();
  out["last_error"] = last_error_;
  return out;
}

}  // namespace gorgone::proxy
