#include "stream_queues.hpp"

#include <algorithm>
#include <ctime>

namespace gorgone::mcollective {
namespace {

constexpr auto look_every = std::chrono::seconds(1);
constexpr auto ensure_again_after = std::chrono::seconds(2);
constexpr auto complaint_every = std::chrono::seconds(60);
constexpr std::int64_t use_every_s = 10, renew_every_s_max = 3600;

std::int64_t now_s() { return static_cast<std::int64_t>(std::time(nullptr)); }

}  // namespace

StreamQueues::StreamQueues(Agent& agent, NatsConnection& connection, std::vector<KeptLimits> limits, const std::string& prefix,
                           int replicas)
    : agent_(agent),
      connection_(connection),
      limits_(std::move(limits)),
      names_(prefix, limits_, replicas),
      streams_(connection),
      store_(agent, limits_),
      writer_(agent, connection, store_, names_, [this](const std::string& topic) { stored(topic); }),
      reader_(agent, connection, names_, events_),
      ages_(agent.loop()),
      again_(agent.loop()) {}

asio::awaitable<Result<void>> StreamQueues::start(Events events) {
  events_ = std::move(events);
  auto known = co_await store_.start();
  if (!known) co_return known;
  tell_unmatched();
  look();
  if (limits_.empty()) co_return known;
  connection_.on_change([this, alive = std::weak_ptr<bool>(alive_)](bool is_up) {
    if (!alive.expired()) changed(is_up);
  });
  if (connection_.is_up()) changed(true);
  co_return known;
}

void StreamQueues::tell_unmatched() {
  std::size_t messages = 0, topics = 0;
  std::string one;
  for (const auto& [topic, queue] : store_.queues()) {
    if (is_persistent(topic)) continue;
    messages += queue.entries.size();
    if (topics++ == 0) one = topic;
  }
  if (topics > 0)
    agent_.log().warning(
        "{} messages of {} topics, \"{}\" among them, wait in the journal and belong to no stream: no entry of `persistent` matches their "
        "topics, expected one; without it they are dropped when they are {} days old",
        messages, topics, printable(one), std::chrono::duration_cast<std::chrono::days>(KeptStore::unmatched_age_max).count());
}

void StreamQueues::changed(bool is_up) {
  // Streams that were there once are used at once; that they still are is looked at beside it.
  set_ready(is_up && were_made_);
  if (is_up) ensure(0, connection_.status().connects);
}

void StreamQueues::set_ready(bool is_ready) {
  if (is_ready_ == is_ready) return;
  is_ready_ = is_ready;
  writer_.set_ready(is_ready);
  reader_.set_ready(is_ready);
  if (is_ready) ask_use();
}

// It says too whether a stream is still the one that was read: somebody may have removed it, or lost it with a disk.
void StreamQueues::ask_use() {
  ask_use_at_s_ = now_s() + use_every_s;
  for (const auto& limits : limits_) {
    const auto name = names_.stream(limits);
    auto told = [this, name, read_until = reader_.read_until(name),
                 alive = std::weak_ptr<bool>(alive_)](const Result<JetStream::Use>& use) {
      if (alive.expired() || !is_ready_) return;
      if (use) {
        uses_[name] = *use;
        return reader_.stream_is(name, *use, read_until);
      }
      ask_use_at_s_ = 0;
      if (use.error().code != "no_stream") return;
      agent_.log().warning("stream {} is not there any more and is made anew", name);
      set_ready(false);
      ensure(0, connection_.status().connects);
    };
    streams_.use(name, std::move(told));
  }
}

void StreamQueues::ensure(std::size_t place, std::uint64_t connects) {
  auto all = names_.configurations();
  if (place >= all.size()) {
    if (!last_error_.empty()) agent_.log().info("the streams of persistent topics can be used");
    last_error_.clear();
    were_made_ = true;
    return is_ready_ ? ask_use() : set_ready(true);
  }
  const std::string name(all[place].at("name").get_string());
  auto made = [this, place, connects, name, alive = std::weak_ptr<bool>(alive_)](const Result<void>& result) {
    // A connection that was made since begins anew.
    if (alive.expired() || !connection_.is_up() || connection_.status().connects != connects) return;
    if (result) return ensure(place + 1, connects);
    if (last_error_ != result.error().message)
      agent_.log().warning("stream {} cannot be made, persistent topics wait in the journal: {}", name, result.error().message);
    last_error_ = result.error().message;
    again_.expires_after(ensure_again_after);
    again_.async_wait([this, place, connects, alive](const boost::system::error_code& error) {
      if (!error && !alive.expired() && connection_.is_up() && connection_.status().connects == connects) ensure(place, connects);
    });
  };
  streams_.ensure(std::move(all[place]), std::move(made));
}

void StreamQueues::look() {
  const auto now = now_s();
  store_.expire(now);
  if (is_ready_ && now >= renew_at_s_) {
    std::int64_t age_max = renew_every_s_max * 4;
    for (const auto& limits : limits_) age_max = std::min<std::int64_t>(age_max, limits.age_max.count());
    renew_at_s_ = now + std::max<std::int64_t>(1, age_max / 4);
    reader_.renew();
  }
  if (is_ready_ && now >= ask_use_at_s_) ask_use();
  ages_.expires_after(look_every);
  ages_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired()) look();
  });
}

void StreamQueues::put(const std::string& topic, SharedFrames message, std::function<void(Result<void>)> done) {
  writer_.put(topic, std::move(message), std::move(done));
}

bool StreamQueues::attach(const std::string& topic, const std::string& identity, const IdentityKey& key) {
  if (!is_persistent(topic)) return false;
  if (names_.can_name(topic)) return reader_.attach(topic, identity, key);
  const auto now = std::chrono::steady_clock::now();
  if (now < complain_after_) return false;
  complain_after_ = now + complaint_every;
  agent_.log().warning(
      "\"{}\" is given no queue of topic \"{}\": it has {} bytes and is too long to be kept, expected one whose NATS subject has at most "
      "{} "
      "(topic_length_max)",
      printable(identity), printable(topic, 80), topic.size(), subject_bytes_max);
  return false;
}

void StreamQueues::stored(const std::string& topic) {
  NatsOutgoing told{names_.news(topic), {}, "m"};
  connection_.send(std::move(told));
  reader_.news(topic);  // the servers do not send us our own
}

json::array StreamQueues::describe() const {
  json::array all;
  const auto now = now_s();
  for (const auto& limits : limits_) {
    const auto name = names_.stream(limits);
    const auto counters = store_.counters(limits);
    json::object about;
    about["pattern"] = limits.pattern;
    about["stream"] = name;
    about["state"] = is_ready_ ? "up" : "away";
    if (!last_error_.empty()) about["last_error"] = printable(last_error_, 300);
    if (const auto use = uses_.find(name); use != uses_.end()) {
      about["messages"] = use->second.messages;
      about["bytes"] = use->second.bytes;
    }
    about["taken"] = reader_.taken_of(name);
    about["expired"] = counters.expired;
    about["refused"] = counters.refused;
    all.push_back(std::move(about));
  }
  for (const auto& [topic, state] : reader_.topics()) {
    json::object about;
    about["topic"] = printable(topic);
    about["owner"] = printable(state.identity);
    about["here"] = true;
    about["claimed"] = state.is_claimed;
    about["offered"] = state.unconfirmed.size();
    about["taken"] = state.taken;
    all.push_back(std::move(about));
  }
  for (const auto& [topic, queue] : store_.queues()) {
    json::object about;
    about["topic"] = printable(topic);
    about["place"] = "journal";
    if (!is_persistent(topic)) about["state"] = "no entry of persistent matches";
    about["messages"] = queue.entries.size();
    about["bytes"] = queue.bytes;
    about["oldest"] = queue.entries.empty() ? 0 : now - queue.entries.front().time_s;
    all.push_back(std::move(about));
  }
  json::object about;
  about["refused"] = writer_.refused();
  about["lost"] = writer_.lost();
  about["waiting"] = writer_.waiting();
  about["not_yet_deleted"] = reader_.undeleted();
  all.push_back(std::move(about));
  return all;
}

}  // namespace gorgone::mcollective
