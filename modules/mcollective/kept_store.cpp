#include "kept_store.hpp"

#include <boost/asio/steady_timer.hpp>

#include <fmt/format.h>
#include <gorgone/await_callback.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "subjects.hpp"

namespace gorgone::mcollective {
namespace {

const std::string collection = "mcollective.queue";
constexpr std::size_t portion = 256, looked_at_once = 5000;

std::string key_of(const std::string& topic, std::uint64_t number) { return fmt::format("{} {:016x}", subject_of(topic), number); }

struct Key {
  std::string topic;
  std::uint64_t number = 0;
};

std::optional<Key> read_key(std::string_view text) {
  const auto space = text.find(' ');
  if (space == std::string_view::npos) return {};
  auto topic = topic_of(text.substr(0, space));
  Key key;
  const auto* end = text.data() + text.size();
  const auto number = std::from_chars(text.data() + space + 1, end, key.number, 16);
  if (!topic || number.ec != std::errc() || number.ptr != end) return {};
  key.topic = std::move(*topic);
  return key;
}

Error not_durable() { return Error{"the journal cannot be written now, the agent's log says why", "database"}; }

std::uint64_t microseconds_now() {
  using namespace std::chrono;
  return static_cast<std::uint64_t>(duration_cast<microseconds>(system_clock::now().time_since_epoch()).count());
}

constexpr std::int64_t told_every_s = 60;
constexpr auto settle_limit = std::chrono::seconds(5);
constexpr auto settle_step = std::chrono::milliseconds(5);

}  // namespace

asio::awaitable<Result<Kept>> kept_records(Journal& journal, const std::string& of, const KeptRange& range) {
  return await_callback<Result<Kept>>([&journal, of, range](auto done) { journal.kept(of, std::move(done), range); });
}

KeptStore::KeptStore(Agent& agent, const std::vector<KeptLimits>& limits) : agent_(agent), limits_(limits) {
  of_no_pattern_.age_max = unmatched_age_max;
}

const KeptLimits& KeptStore::limits(const std::string& topic) const {
  const auto* found = limits_of(limits_, topic);
  return found ? *found : of_no_pattern_;
}

const KeptStore::Queue* KeptStore::queue(const std::string& topic) const {
  const auto found = queues_.find(topic);
  return found == queues_.end() ? nullptr : &found->second;
}

asio::awaitable<Result<void>> KeptStore::start() {
  std::size_t messages = 0;
  KeptRange range;
  range.limit = portion;
  for (;;) {
    auto part = co_await kept_records(agent_.journal(), collection, range);
    if (!part) co_return Error{"the queues of persistent topics cannot be read from the journal: " + part.error().message, "database"};
    if (part->empty()) break;
    range.from = part->rbegin()->first + '\0';
    for (const auto& [text, data] : *part) {
      const auto key = read_key(text);
      const auto envelope = unseal(data);
      if (!key || !envelope) {
        agent_.log().error("record {} of the journal's {} cannot be read and is dropped: {}", printable(text), collection,
                           key ? envelope.error().message : "its key is none");
        agent_.journal().drop_kept(collection, text);
        continue;
      }
      Queue::Entry entry{key->number, envelope->time_s, data.size()};
      index(key->topic, entry);
      last_number_ = std::max(last_number_, key->number);
      ++messages;
    }
  }
  if (messages > 0) agent_.log().info("{} messages wait in the journal topics={}", messages, queues_.size());
  co_return Result<void>{};
}

void KeptStore::index(const std::string& topic, Queue::Entry entry) {
  const auto [place, is_new] = queues_.try_emplace(topic);
  auto& queue = place->second;
  queue.entries.push_back(entry);
  queue.bytes += entry.bytes;
  bytes_[&limits(topic)] += entry.bytes + (is_new ? queue_bytes : 0);
}

void KeptStore::forget(const std::string& topic, std::uint64_t number) {
  const auto found = queues_.find(topic);
  if (found == queues_.end()) return;
  auto& queue = found->second;
  const auto entry = std::ranges::lower_bound(queue.entries, number, {}, &Queue::Entry::number);
  if (entry == queue.entries.end() || entry->number != number) return;
  queue.bytes -= entry->bytes;
  bytes_[&limits(topic)] -= entry->bytes;
  queue.entries.erase(entry);
  if (queue.entries.empty()) erase(found);
}

KeptStore::Queues::iterator KeptStore::erase(Queues::iterator place) {
  bytes_[&limits(place->first)] -= queue_bytes;
  return queues_.erase(place);
}

Result<std::uint64_t> KeptStore::append(const std::string& topic, const Envelope& envelope, std::function<void(Result<void>)> done) {
  const auto& most = limits(topic);
  const auto bytes = sealed_bytes(envelope);
  const auto* known = queue(topic);
  if (known && known->entries.size() >= most.messages_max) {
    ++counters_[&most].refused;
    return Error{fmt::format("the queue of topic \"{}\" is full: {} messages wait, messages_max of \"{}\" is {}", printable(topic),
                             known->entries.size(), most.pattern, most.messages_max),
                 "full"};
  }
  if (bytes_[&most] + bytes + (known ? 0 : queue_bytes) > most.bytes_max) {
    ++counters_[&most].refused;
    return Error{fmt::format("the queue of topic \"{}\" is full: {} bytes wait, {} for each topic among them, bytes_max of \"{}\" is {}",
                             printable(topic), bytes_[&most], queue_bytes, most.pattern, most.bytes_max),
                 "full"};
  }
  if (!agent_.journal().is_durable()) {
    ++counters_[&most].refused;
    return not_durable();
  }
  last_number_ = std::max(last_number_ + 1, microseconds_now());
  const auto number = last_number_;
  Queue::Entry entry{number, envelope.time_s, bytes};
  index(topic, entry);
  auto stored = [this, topic, number, done = std::move(done), alive = std::weak_ptr<bool>(alive_)](Result<void> result) {
    if (alive.expired()) return;
    --unsettled_;
    if (result && !agent_.journal().is_durable()) {
      ++counters_[&limits(topic)].refused;
      drop(topic, number);
      result = not_durable();
    }
    if (!result) {
      ++unkept_;
      why_unkept_ = result.error().message;
      forget(topic, number);
    }
    if (done) done(std::move(result));
  };
  ++unsettled_;
  agent_.journal().keep(collection, key_of(topic, number), seal(envelope), std::move(stored));
  return number;
}

asio::awaitable<void> KeptStore::settle() {
  const auto before = unkept_;
  why_unkept_ = "the agent's database takes too long";
  asio::steady_timer pause(agent_.loop());
  for (const auto limit = std::chrono::steady_clock::now() + settle_limit; unsettled_ > 0 && std::chrono::steady_clock::now() < limit;) {
    pause.expires_after(settle_step);
    co_await pause.async_wait(asio::use_awaitable);
  }
  if (const auto lost = unkept_ - before + unsettled_; lost > 0)
    agent_.log().error("the broker stops: {} messages of persistent topics are not in the journal: {}", lost, why_unkept_);
}

void KeptStore::drop(const std::string& topic, std::uint64_t number) {
  forget(topic, number);
  agent_.journal().drop_kept(collection, key_of(topic, number));
}

bool KeptStore::lose(const std::string& topic, std::uint64_t number) {
  if (first(topic, number) != number) return false;
  ++counters_[&limits(topic)].lost;
  ++lost_untold_;
  drop(topic, number);
  const auto now = std::chrono::steady_clock::now();
  if (lost_told_ != std::chrono::steady_clock::time_point{} && now < lost_told_ + std::chrono::seconds(told_every_s)) return true;
  lost_told_ = now;
  agent_.log().error("a message of topic \"{}\" that was kept in the journal is not there any more and is lost: since the last time={}",
                     printable(topic), std::exchange(lost_untold_, 0));
  return true;
}

void KeptStore::read(const std::string& topic, std::uint64_t from, std::size_t limit,
                     std::function<void(Result<std::vector<Stored>>)> done) {
  KeptRange range;
  range.from = key_of(topic, from);
  range.until = subject_of(topic) + '!';  // the byte after the space
  range.limit = limit;
  auto unpack = [this, done = std::move(done), alive = std::weak_ptr<bool>(alive_)](Result<Kept> records) {
    if (alive.expired()) return;
    if (!records) return done(records.error());
    std::vector<Stored> all;
    for (const auto& [text, data] : *records) {
      const auto key = read_key(text);
      auto envelope = unseal(data);
      if (key && envelope) all.push_back({key->number, std::move(*envelope)});
    }
    done(std::move(all));
  };
  agent_.journal().kept(collection, std::move(unpack), std::move(range));
}

KeptStore::Counters KeptStore::counters(const KeptLimits& of) const {
  const auto found = counters_.find(&of);
  return found == counters_.end() ? Counters{} : found->second;
}

std::uint64_t KeptStore::first(const std::string& topic, std::uint64_t from) const {
  const auto* known = queue(topic);
  if (!known) return 0;
  const auto entry = std::ranges::lower_bound(known->entries, from, {}, &Queue::Entry::number);
  return entry == known->entries.end() ? 0 : entry->number;
}

KeptStore::Part KeptStore::part(const std::string& topic, std::uint64_t from, std::size_t messages_max, std::size_t bytes_max) const {
  Part part;
  const auto* known = queue(topic);
  if (!known) return part;
  auto entry = std::ranges::lower_bound(known->entries, from, {}, &Queue::Entry::number);
  for (; entry != known->entries.end() && part.messages < messages_max; ++entry) {
    if (part.messages > 0 && part.bytes + entry->bytes > bytes_max) break;
    ++part.messages;
    part.bytes += entry->bytes;
  }
  return part;
}

std::vector<std::string> KeptStore::expire(std::int64_t now_s) {
  std::vector<std::string> topics;
  auto next = queues_.upper_bound(looked_at_);
  for (std::size_t i = 0; i < looked_at_once && next != queues_.end(); ++i) {
    const auto place = next++;
    auto& [topic, queue] = *place;
    looked_at_ = topic;
    const auto age_max = limits(topic).age_max.count();
    std::size_t expired = 0;
    while (!queue.entries.empty() && queue.entries.front().time_s + age_max < now_s) {
      const auto entry = queue.entries.front();
      queue.entries.pop_front();
      queue.bytes -= entry.bytes;
      bytes_[&limits(topic)] -= entry.bytes;
      agent_.journal().drop_kept(collection, key_of(topic, entry.number));
      ++expired;
    }
    if (expired == 0) continue;
    counters_[&limits(topic)].expired += expired;
    topics.push_back(topic);
    untold_ += expired;
    // Whoever publishes on ever new topics must not fill the log.
    if (now_s - told_s_ >= told_every_s) {
      agent_.log().warning("{} messages of topic \"{}\"{} were not taken within age_max_s and are dropped: age_max_s={} left={}", untold_,
                           printable(topic), untold_ > expired ? " and of others" : "", age_max, queue.entries.size());
      told_s_ = now_s;
      untold_ = 0;
    }
    if (queue.entries.empty()) erase(place);
  }
  if (next == queues_.end()) looked_at_.clear();
  return topics;
}

}  // namespace gorgone::mcollective
