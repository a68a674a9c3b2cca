#include "journal_queues.hpp"

#include <algorithm>
#include <ctime>
#include <limits>

namespace gorgone::mcollective {
namespace {

constexpr auto look_every = std::chrono::seconds(1);
constexpr std::int64_t renew_every_s_max = 3600;
constexpr auto complaint_every = std::chrono::seconds(60);

std::int64_t now_s() { return static_cast<std::int64_t>(std::time(nullptr)); }

}  // namespace

JournalQueues::JournalQueues(Agent& agent, std::vector<KeptLimits> limits)
    : agent_(agent), limits_(std::move(limits)), store_(agent, limits_), owners_(agent), ages_(agent.loop()) {}

asio::awaitable<Result<void>> JournalQueues::start(Events events) {
  events_ = std::move(events);
  auto known = co_await store_.start();
  if (known) known = co_await owners_.start(now_s());
  if (known) look_at_ages();
  co_return known;
}

void JournalQueues::look_at_ages() {
  const auto now = now_s();
  for (const auto& topic : store_.expire(now)) {
    const auto found = readers_.find(topic);
    if (found == readers_.end()) continue;
    auto& reader = found->second;
    auto& unconfirmed = reader.unconfirmed;
    const auto oldest = store_.first(topic);
    while (!unconfirmed.empty() && (oldest == 0 || unconfirmed.begin()->first < oldest)) {
      give_back(reader, unconfirmed.begin()->second);
      unconfirmed.erase(unconfirmed.begin());
    }
    const auto identity = reader.identity;
    pump(topic);
    go_on(identity);
  }
  if (now >= renew_at_s_) renew(now);
  const auto freed = owners_.expire([this, now](const std::string& topic) {
    const auto* limits = limits_of(limits_, topic);
    if (readers_.contains(topic)) return std::numeric_limits<std::int64_t>::min();
    return limits ? now - limits->age_max.count() : now;
  });
  if (events_.is_free)
    for (const auto& topic : freed) events_.is_free(topic);
  ages_.expires_after(look_every);
  ages_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired()) look_at_ages();
  });
}

// So that who is here when this process is killed was here lately by the record too, and how long we were down is known.
void JournalQueues::renew(std::int64_t now) {
  std::int64_t every = renew_every_s_max;
  for (const auto& limits : limits_) every = std::min<std::int64_t>(every, limits.age_max.count() / 4);
  renew_at_s_ = now + std::max<std::int64_t>(1, every);
  for (const auto& [topic, reader] : readers_)
    if (const auto* owner = owners_.owner(topic)) owners_.set(topic, std::string(*owner), now);
  if (!limits_.empty()) owners_.note_time(now);
}

void JournalQueues::put(const std::string& topic, SharedFrames message, std::function<void(Result<void>)> done) {
  Envelope envelope;
  envelope.time_s = now_s();
  envelope.frames = std::move(message);
  auto stored = [this, topic, done](Result<void> result) {
    if (result) pump(topic);
    done(std::move(result));
  };
  const auto number = store_.append(topic, envelope, std::move(stored));
  if (number) return;
  asio::post(agent_.loop(), [done = std::move(done), error = number.error()] { done(error); });
}

bool JournalQueues::attach(const std::string& topic, const std::string& identity, const IdentityKey&) {
  if (!is_persistent(topic)) return false;
  const auto* owner = owners_.owner(topic);
  if (owner && *owner != identity) return false;
  if (!owners_.set(topic, identity, now_s())) {
    too_many(topic, identity);
    return false;
  }
  end_reader(topic);
  auto& reader = readers_[topic];
  reader.id = ++readers_made_;
  reader.identity = identity;
  pump(topic);
  return true;
}

void JournalQueues::too_many(const std::string& topic, const std::string& identity) {
  ++owners_refused_;
  const auto now = std::chrono::steady_clock::now();
  if (now < complain_after_) return;
  complain_after_ = now + complaint_every;
  agent_.log().warning(
      "\"{}\" is given no queue of topic \"{}\": there are {} queues with an owner, expected at most {}, and {} of one identity; "
      "one is free when its owner unsubscribes or has been away for age_max_s; refused={}",
      printable(identity), printable(topic), owners_.size(), QueueOwners::owners_max, QueueOwners::of_one_max, owners_refused_);
}

void JournalQueues::detach(const std::string& topic, const std::string& identity) {
  const auto* owner = owners_.owner(topic);
  if (!owner || *owner != identity || !readers_.contains(topic)) return;
  end_reader(topic);
  owners_.set(topic, identity, now_s());
}

void JournalQueues::disown(const std::string& topic, const std::string& identity) {
  const auto* owner = owners_.owner(topic);
  if (!owner || *owner != identity) return;
  end_reader(topic);
  owners_.remove(topic);
}

void JournalQueues::taken(const std::string& topic, std::uint64_t number) {
  const auto found = readers_.find(topic);
  if (found == readers_.end()) return;
  auto& reader = found->second;
  const auto message = reader.unconfirmed.find(number);
  if (message == reader.unconfirmed.end()) return;
  give_back(reader, message->second);
  reader.unconfirmed.erase(message);
  ++reader.taken;
  ++taken_[limits_of(limits_, topic)];
  store_.drop(topic, number);
  const auto identity = reader.identity;
  pump(topic);
  go_on(identity);
}

void JournalQueues::take_bytes(Reader& reader, std::size_t bytes) {
  reader.bytes += bytes;
  budget_.add(reader.identity, bytes);
}

void JournalQueues::give_back(Reader& reader, std::size_t bytes) {
  reader.bytes -= bytes;
  budget_.remove(reader.identity, bytes);
}

void JournalQueues::go_on(const std::string& identity) {
  budget_.offer(identity, [this](const std::string& topic) { return pump(topic); });
}

void JournalQueues::end_reader(const std::string& topic) {
  const auto found = readers_.find(topic);
  if (found == readers_.end()) return;
  const auto identity = found->second.identity;
  budget_.forget(identity, topic);
  budget_.remove(identity, found->second.bytes);
  readers_.erase(found);
  go_on(identity);
}

JournalQueues::Reader* JournalQueues::reader(const std::string& topic, std::uint64_t id) {
  const auto found = readers_.find(topic);
  return found == readers_.end() || found->second.id != id ? nullptr : &found->second;
}

bool JournalQueues::pump(const std::string& topic) {
  const auto found = readers_.find(topic);
  if (found == readers_.end()) return false;
  auto& reader = found->second;
  // Reading half a window at once takes fewer looks into the file.
  if (reader.is_reading || reader.unconfirmed.size() > unconfirmed_max / 2 || reader.bytes > OfferBudget::of_queue_max / 2) return false;
  const auto next = store_.part(topic, reader.next, 1, 0).bytes;
  if (next == 0 || (reader.bytes > 0 && reader.bytes + next > OfferBudget::of_queue_max)) return false;
  const auto room = budget_.room(reader.identity, topic, next);
  if (room > 0) read(topic, reader, std::min(room, OfferBudget::of_queue_max - reader.bytes));
  return room == 0;
}

void JournalQueues::read(const std::string& topic, Reader& reader, std::size_t room) {
  reader.is_reading = true;
  const auto asked = store_.first(topic, reader.next);
  const auto part = store_.part(topic, asked, unconfirmed_max - reader.unconfirmed.size(), room);
  take_bytes(reader, part.bytes);
  auto found = [this, topic, asked, held = part.bytes, id = reader.id](Result<std::vector<KeptStore::Stored>> messages) {
    auto* const waiting = this->reader(topic, id);
    if (!waiting) return;
    const auto identity = waiting->identity;
    if (!messages) {
      agent_.log().error("the queue of topic \"{}\" cannot be read, tried again in a second: {}", printable(topic),
                         messages.error().message);
      auto again = std::make_shared<asio::steady_timer>(agent_.loop(), look_every);
      again->async_wait([this, topic, id, again, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code&) {
        if (alive.expired()) return;
        auto* const still = this->reader(topic, id);
        if (!still) return;
        still->is_reading = false;
        pump(topic);
      });
      give_back(*waiting, held);
      return go_on(identity);
    }
    waiting->is_reading = false;
    give_back(*waiting, held);
    if (messages->empty())
      store_.lose(topic, asked);
    else
      offer(topic, std::move(*messages));
    pump(topic);
    go_on(identity);
  };
  store_.read(topic, asked, part.messages, std::move(found));
}

void JournalQueues::offer(const std::string& topic, std::vector<KeptStore::Stored> messages) {
  const auto found = readers_.find(topic);
  const auto id = found->second.id;
  for (auto& message : messages) {
    auto* const reader = this->reader(topic, id);
    if (!reader) return;
    if (store_.first(topic, message.number) != message.number) continue;  // it has just become too old
    const auto bytes = sealed_bytes(message.envelope);
    reader->next = message.number + 1;
    reader->unconfirmed.emplace(message.number, bytes);
    take_bytes(*reader, bytes);
    const KeptMessage offered{message.number, std::move(message.envelope.frames)};
    events_.offer(topic, offered);
  }
}

json::array JournalQueues::describe() const {
  json::array all;
  const auto now = now_s();
  for (const auto& [topic, queue] : store_.queues()) {
    json::object about;
    about["topic"] = printable(topic);
    const auto* owner = owners_.owner(topic);
    if (owner) about["owner"] = printable(*owner);
    const auto reader = readers_.find(topic);
    about["here"] = reader != readers_.end();
    if (reader != readers_.end()) about["taken"] = reader->second.taken;
    about["messages"] = queue.entries.size();
    about["bytes"] = queue.bytes;
    about["oldest"] = queue.entries.empty() ? 0 : now - queue.entries.front().time_s;
    all.push_back(std::move(about));
  }
  for (const auto& limits : limits_) {
    const auto counters = store_.counters(limits);
    json::object about;
    about["pattern"] = limits.pattern;
    const auto taken = taken_.find(&limits);
    about["taken"] = taken == taken_.end() ? 0 : taken->second;
    about["expired"] = counters.expired;
    about["refused"] = counters.refused;
    about["lost"] = counters.lost;
    all.push_back(std::move(about));
  }
  return all;
}

}  // namespace gorgone::mcollective
