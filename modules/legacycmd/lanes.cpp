#include "lanes.hpp"

#include <sys/stat.h>

#include <fmt/format.h>

#include <set>

namespace gorgone::legacycmd {
namespace {

constexpr std::size_t unanswered_max = 256;
constexpr auto busy_pause = std::chrono::milliseconds(200), node_pause = std::chrono::milliseconds(200);
// The nodes are registered a little after the database is read, or after the start.
constexpr auto node_awaited = std::chrono::seconds(60);
constexpr auto settled_within = std::chrono::seconds(2);
constexpr std::int64_t own_ttl_s = 3600;

// It will be taken later.
bool is_passing(const std::string& error) { return is_refused_for_now(error) || error == "journal" || error == "no_proxy"; }

// What the proxy may have to hold back, or to run itself, although it is for this node.
bool concerns_copies(const Message& message) {
  if (message.action == "REMOTECOPY") return true;
  const auto data = message.data.json();
  return data && truth_of(member(**data, "after_copies"), false);
}

Error error_of(const Answer& answer) {
  const auto data = answer.data.json();
  if (!data) return Error{"an answer that is no JSON"};
  return Error{text_of(member(**data, "message")).value_or("refused"), text_of(member(**data, "error")).value_or("")};
}

}  // namespace

struct Lanes::Lane {
  explicit Lane(asio::io_context& loop) : changed(loop) {}
  struct Refused {
    PartPtr part;
    Message message;
  };
  std::string target;
  std::deque<Job> jobs;
  std::size_t bytes = 0, unanswered = 0;
  Signal changed;
  std::uint64_t given = 0;
  std::map<std::uint64_t, Refused> refused;  // for now, by the order in which they were given away
  std::optional<Signal::Clock::time_point> unknown_since;
  bool is_busy = false;          // told
  bool waits_for_proxy = false;  // told
};

struct Lanes::Part {
  Part(Lanes& of, const std::shared_ptr<Lane>& in, Job with) : lanes(of), lane(in), job(std::move(with)) {}
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  ~Part() {
    const auto own_lane = lane.lock();
    if (own_lane && !alive.expired()) {
      lanes.bytes_ -= job.unit.bytes();
      own_lane->bytes -= job.unit.bytes();
    }
    if (is_over && open == 0 && job.done) job.done(outcome);
  }
  Lanes& lanes;
  std::weak_ptr<bool> alive = lanes.alive_;
  std::weak_ptr<Lane> lane;  // which may hold it
  Job job;
  Result<void> outcome;
  // Else it was cut off by the module's end, and is taken up again at the next start.
  bool is_over = false;            // all its messages are sent
  std::set<std::string> unheeded;  // tokens of what may fail
  std::size_t open = 0;            // of its messages, those that are neither accepted nor refused for good
};

/// A message that was given away. One whose answer will never come, for the proxy was unloaded, comes again.
struct Lanes::Call {
  Call(Lanes& of, std::shared_ptr<Lane> with, PartPtr and_part, std::uint64_t as, Message sent)
      : lanes(of), lane(std::move(with)), part(std::move(and_part)), number(as), message(std::move(sent)) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    if (!is_answered) answer(Error{"its answer never came", "busy"});
  }
  void answer(std::optional<Error> why);

  Lanes& lanes;
  std::weak_ptr<bool> alive = lanes.alive_;
  std::shared_ptr<Lane> lane;
  PartPtr part;
  std::uint64_t number;
  Message message;
  bool is_answered = false;
};

void Lanes::Call::answer(std::optional<Error> why) {
  is_answered = true;
  // With the last of its messages the job ends here, whenever the caller lets go of this.
  auto own_part = std::move(part);
  if (alive.expired()) return;
  --lanes.unanswered_;
  --lane->unanswered;
  lane->changed.notify();
  if (why && is_passing(why->code)) {
    lane->refused.emplace(number, Lane::Refused{std::move(own_part), std::move(message)});
    return;
  }
  --own_part->open;
  if (why)
    lanes.refuse(*own_part, *why);
  else if (!own_part->unheeded.contains(message.token))
    lanes.follow(*own_part, message);
}

void Lanes::add(Job job) {
  const auto target = lane_of(job.unit.line);
  const auto size = job.unit.bytes();
  bytes_ += size;
  auto& lane = lanes_[target];
  const bool is_new = !lane;
  if (is_new) lane = std::make_shared<Lane>(agent_.loop());
  lane->target = target;
  lane->bytes += size;
  lane->jobs.push_back(std::move(job));
  if (is_new)
    agent_.spawn(run(lane));
  else
    lane->changed.notify();
}

std::map<std::string, std::size_t> Lanes::bytes_of_lanes() const {
  std::map<std::string, std::size_t> all;
  for (const auto& [target, lane] : lanes_) all[target] = lane->bytes;
  return all;
}

asio::awaitable<void> Lanes::run(std::shared_ptr<Lane> lane) {
  while (!lane->jobs.empty() || lane->unanswered > 0 || !lane->refused.empty()) {
    co_await clear_way(lane);
    if (!lane->jobs.empty()) {
      auto part = std::make_shared<Part>(*this, lane, std::move(lane->jobs.front()));
      lane->jobs.pop_front();
      co_await serve(lane, std::move(part));
    } else if (lane->unanswered > 0) {
      co_await lane->changed.wait();
    }
  }
  lanes_.erase(lane->target);
}

asio::awaitable<void> Lanes::serve(std::shared_ptr<Lane> lane, PartPtr part) {
  const auto& unit = part->job.unit;
  auto orders = co_await orders_of(part->job);
  if (!orders) {
    refuse(*part, orders.error());
    part->is_over = true;
    co_return;
  }
  // Whoever answers last ends the job; until all is sent nobody does.
  part->is_over = false;
  bool is_complete = true;
  for (std::size_t index = 0; index < orders->size(); ++index) {
    auto& order = (*orders)[index];
    if (order.needs_all_before && !is_complete) continue;
    if (!order.source.empty()) {
      const bool is_there_now = co_await is_there(order.source);
      if (!is_there_now) {
        if (order.may_be_missing) continue;
        is_complete = false;
        refuse(*part, Error{fmt::format("{}: there is no {}", unit.line.command, order.source)});
        continue;
      }
    }
    Message message;
    message.action = std::move(order.action);
    message.token = new_token();
    message.target = lane->target;
    message.data = Payload(to_text(json::value(std::move(order.data))));
    message.delivery = fmt::format("{}{:04x}", part->job.id, index);
    if (order.may_fail) part->unheeded.insert(message.token);
    if (is_own(lane->target) && concerns_copies(message)) co_await wait_for_node(lane);
    ++part->open;
    co_await send(lane, part, std::move(message));
  }
  part->is_over = true;
}

asio::awaitable<Result<std::vector<Order>>> Lanes::orders_of(const Job& job) {
  const auto& unit = job.unit;
  const auto& line = unit.line;
  if (line.command.empty())
    co_return Error{
        fmt::format("a line that makes no sense: expected COMMAND:POLLER[:PARAMETER] with a command of Centreon and a number, "
                    "got \"{}\"",
                    printable(unit.text.substr(0, unit.text.find(':'))))};
  Poller poller;
  if (needs_poller(line)) {
    auto known = co_await pollers_.find(line.target, line.command == "EXTERNALCMD", job.arrived);
    if (!known) co_return Error{fmt::format("{}: unknown poller '{}'", line.command, line.target), "unknown_poller"};
    if (!known->is_active) co_return Error{fmt::format("{}: poller '{}' is not activated", line.command, line.target), "unknown_poller"};
    poller = std::move(*known);
  }
  co_return legacycmd::orders_of(line, poller, paths_, pollers_.illegal_characters());
}

asio::awaitable<bool> Lanes::is_there(std::string path) {
  auto look = [path = std::move(path)] {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0;
  };
  co_return co_await agent_.blocking(std::move(look));
}

asio::awaitable<void> Lanes::wait_for_node(std::shared_ptr<Lane> lane) {
  asio::steady_timer timer(agent_.loop());
  for (;;) {
    const auto* gateway = agent_.gateway();
    const auto now = Signal::Clock::now();
    if (gateway != nullptr && (is_own(lane->target) || gateway->knows(lane->target))) {
      lane->unknown_since.reset();
      lane->waits_for_proxy = false;
      co_return;
    }
    if (gateway == nullptr && !is_own(lane->target)) {
      // The router would write a row for each attempt. Only a proxy that is there can fail to know the node.
      if (!std::exchange(lane->waits_for_proxy, true))
        agent_.log().warning("there is no proxy: the lines of node '{}' wait", printable(lane->target));
      lane->unknown_since.reset();
      timer.expires_after(node_pause);
      co_await timer.async_wait(asio::use_awaitable);
      continue;
    }
    // Once for all that waits in the lane; what comes behind is refused at once.
    if (!lane->unknown_since) {
      lane->unknown_since = now;
      agent_.log().info("the proxy does not know node '{}' yet: its lines wait, at most {} s", printable(lane->target),
                        node_awaited.count());
    }
    if (now >= *lane->unknown_since + node_awaited) co_return;
    timer.expires_after(node_pause);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

// Until the next message may go. Those that were refused go first, in their order and one by one: none passes another that is refused
// again, and nothing new passes them.
asio::awaitable<void> Lanes::clear_way(std::shared_ptr<Lane> lane) {
  asio::steady_timer timer(agent_.loop());
  std::uint64_t tried = 0;
  for (;;) {
    // Nobody wakes it when the module stops: it is cancelled.
    while (is_stopping_ || lane->unanswered >= (lane->refused.empty() ? unanswered_max : 1)) co_await lane->changed.wait();
    if (lane->refused.empty()) break;
    if (!lane->is_busy) agent_.log().notice("node '{}' takes no more for now: its lines wait in the spool", printable(lane->target));
    lane->is_busy = true;
    const auto number = lane->refused.begin()->first;
    if (tried == 0 || tried == number) {
      timer.expires_after(busy_pause);
      co_await timer.async_wait(asio::use_awaitable);
    }
    if (!is_own(lane->target)) co_await wait_for_node(lane);
    if (is_stopping_) continue;
    tried = number;
    auto refused = lane->refused.extract(number);
    give(lane, std::move(refused.mapped().part), number, std::move(refused.mapped().message));
  }
  lane->is_busy = false;
}

asio::awaitable<void> Lanes::send(std::shared_ptr<Lane> lane, PartPtr part, Message message) {
  do {
    co_await clear_way(lane);
    // Each time: the proxy may be another one by now, or gone.
    if (!is_own(lane->target)) co_await wait_for_node(lane);
  } while (is_stopping_ || !lane->refused.empty());
  give(lane, std::move(part), ++lane->given, std::move(message));
}

void Lanes::give(const std::shared_ptr<Lane>& lane, PartPtr part, std::uint64_t number, Message message) {
  ++lane->unanswered;
  ++unanswered_;
  auto call = std::make_shared<Call>(*this, lane, std::move(part), number, message);
  Reply reply = [call = std::move(call)](const Answer& answer) {
    if (!call->is_answered) call->answer(answer.code == 0 ? std::nullopt : std::optional(error_of(answer)));
  };
  submit(message, std::move(reply));
}

void Lanes::submit(const Message& message, Reply reply) {
  if (!is_own(message.target)) return agent_.submit(message, std::move(reply));
  auto* gateway = agent_.gateway();
  if (gateway != nullptr && concerns_copies(message)) {
    Message held = message;
    if (gateway->hold_once(held, reply)) return;
  }
  // The way of what comes from other nodes: it is written down and runs once.
  agent_.submit(wrap_delivery(message, own_ttl_s), std::move(reply));
}

asio::awaitable<void> Lanes::settle() {
  is_stopping_ = true;
  const auto until = Signal::Clock::now() + settled_within;
  asio::steady_timer timer(agent_.loop());
  while (unanswered_ > 0 && Signal::Clock::now() < until) {
    timer.expires_after(std::chrono::milliseconds(5));
    co_await timer.async_wait(asio::use_awaitable);
  }
}

void Lanes::follow(const Part& part, const Message& message) {
  const auto& job = part.job;
  Sent sent{job.source, job.unit.line.command, message.target};
  sent.ends_twice = message.action == "REMOTECOPY";
  // These run Centreon's worker, whose password a deployed remote passes on a command line.
  sent.hides_output = message.action == "ADDIMPORTTASKWITHPARENT" || message.action == "STARTWORKER";
  follower_.follow(message.token, std::move(sent));
}

void Lanes::refuse(Part& part, const Error& why) {
  const auto& job = part.job;
  if (part.outcome) part.outcome = why;
  const auto token = job.token.empty() ? new_token() : job.token;
  agent_.log().error("{}: {} token={}", job.source, printable(why.message, 500), token);
  if (!job.token.empty()) return;
  // The proxy and the router write the rows of what they refuse themselves, under tokens that nobody asks for here.
  json::object data{{"message", why.message}, {"source", job.source}};
  if (!job.unit.line.command.empty()) {
    data["command"] = job.unit.line.command;
    data["target"] = job.unit.line.target;
  }
  agent_.journal().write(NewRow{token, code::failed, to_text(json::value(std::move(data)))});
}

}  // namespace gorgone::legacycmd
