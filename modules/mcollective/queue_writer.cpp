#include "queue_writer.hpp"

#include <fmt/format.h>

#include <ctime>
#include <random>

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t portion = 64, portion_bytes = std::size_t{1} << 20;
const std::string all_topics;  // the identity of the budget
constexpr auto again_after = 1000ms, look_for_room_after = 3000ms, complaint_every = 60000ms;
// "NATS/1.0", "Nats-Msg-Id: " and the ends of lines: the servers count them with the payload.
constexpr std::size_t header_room = 64;

std::size_t outside_bytes(const Envelope& envelope) { return sealed_bytes(envelope) + header_room + envelope.id.size(); }

std::string random_name() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

}  // namespace

QueueWriter::QueueWriter(Agent& agent, NatsConnection& connection, KeptStore& store, const StreamNames& names,
                         std::function<void(const std::string&)> stored)
    : agent_(agent),
      connection_(connection),
      streams_(connection),
      store_(store),
      names_(names),
      stored_(std::move(stored)),
      instance_(random_name()) {}

void QueueWriter::set_ready(bool is_ready) {
  is_ready_ = is_ready;
  if (!is_ready) return;
  std::vector<std::string> topics;
  for (const auto& [topic, queue] : store_.queues())
    if (names_.limits(topic)) topics.push_back(topic);  // the others have no stream
  for (const auto& [topic, state] : topics_)
    if (!state.waiting.empty()) topics.push_back(topic);
  for (const auto& topic : topics) pump(topic);
}

void QueueWriter::stop() {
  is_ready_ = false;
  alive_.reset();
  for (auto& [topic, state] : topics_) {
    std::size_t refused = 0;
    std::string why;
    for (const auto& pending : std::exchange(state.waiting, {})) {
      waiting_bytes_ -= pending.bytes;
      if (const auto number = store_.append(topic, pending.envelope, {}); !number) {
        ++refused;
        why = number.error().message;
      }
    }
    if (refused == 0) continue;
    lost_ += refused;
    agent_.log().error("the broker stops: {} messages of topic \"{}\" that the NATS servers have not confirmed are lost: {}", refused,
                       printable(topic), why);
  }
}

std::size_t QueueWriter::waiting() const {
  std::size_t count = 0;
  for (const auto& [topic, state] : topics_) count += state.waiting.size();
  return count;
}

void QueueWriter::put(const std::string& topic, SharedFrames message, std::function<void(Result<void>)> done) {
  Envelope envelope{static_cast<std::int64_t>(std::time(nullptr)), fmt::format("{}-{}", instance_, ++ids_), std::move(message)};
  const auto bytes = sealed_bytes(envelope);
  std::optional<Error> refusal;
  if (const auto outside = outside_bytes(envelope); outside > connection_.payload_max())
    refusal = Error{fmt::format("the message is {} bytes, max_payload of the NATS servers is {}", outside, connection_.payload_max()),
                    "too_large"};
  else if (!names_.can_name(topic))
    refusal =
        Error{fmt::format("the topic is too long to be kept, expected a subject of {} bytes at most", subject_bytes_max), "too_large"};
  // In the journal already are those that came before.
  const bool is_direct = is_ready_ && store_.first(topic) == 0;
  if (!refusal && !is_direct) return spool(topic, envelope, std::move(done));
  if (!refusal && (waiting_bytes_ + bytes > waiting_bytes_max || topics_[topic].waiting.size() >= waiting_max))
    refusal = Error{fmt::format("busy: too much waits for the backbone to store it, topic \"{}\"", printable(topic)), "full"};
  if (refusal) {
    ++refused_;
    asio::post(agent_.loop(), [done = std::move(done), error = *refusal] { done(error); });
    return;
  }
  waiting_bytes_ += bytes;
  topics_[topic].waiting.push_back({std::move(envelope), bytes, std::move(done)});
  pump(topic);
}

void QueueWriter::spool(const std::string& topic, const Envelope& envelope, std::function<void(Result<void>)> done) {
  auto stored = [this, topic, done](Result<void> result) {
    done(std::move(result));
    pump(topic);
  };
  const auto number = store_.append(topic, envelope, std::move(stored));
  if (number) return;
  asio::post(agent_.loop(), [done = std::move(done), error = number.error()] { done(error); });
}

bool QueueWriter::pump(const std::string& topic) {
  if (!is_ready_) return false;
  auto& state = topics_[topic];
  if (state.is_busy) return false;
  if (!state.waiting.empty()) {
    send(topic, state);
    return false;
  }
  // What the journal dropped for its age since it was read is not sent.
  while (!state.moving.empty() && store_.first(topic, state.moving.front().number) != state.moving.front().number) pop_moving(state);
  if (!state.moving.empty()) {
    move(topic, state);
    return false;
  }
  if (store_.first(topic) != 0) return read(topic, state);
  topics_.erase(topic);
  return false;
}

void QueueWriter::pop_moving(Topic& state) {
  budget_.remove(all_topics, sealed_bytes(state.moving.front().envelope));
  state.moving.pop_front();
}

void QueueWriter::let_others_go_on() {
  budget_.offer(all_topics, [this](const std::string& topic) { return pump(topic); });
}

void QueueWriter::send(const std::string& topic, Topic& state) {
  state.is_busy = true;
  const auto& envelope = state.waiting.front().envelope;
  streams_.store(names_.subject(topic), envelope.id, seal(envelope), {},
                 [this, topic, alive = std::weak_ptr<bool>(alive_)](Result<std::uint64_t> result) {
                   if (!alive.expired()) sent(topic, result);
                 });
}

void QueueWriter::sent(const std::string& topic, const Result<std::uint64_t>& result) {
  auto& state = topics_[topic];
  state.is_busy = false;
  if (!result && result.error().code == "away") {
    // Whether it arrived is not known: it goes again under the same id, by way of the journal as all that come after it.
    auto waiting = std::exchange(state.waiting, {});
    for (auto& pending : waiting) {
      waiting_bytes_ -= pending.bytes;
      spool(topic, pending.envelope, std::move(pending.done));
    }
    return pause(topic, again_after);
  }
  auto pending = std::move(state.waiting.front());
  state.waiting.pop_front();
  waiting_bytes_ -= pending.bytes;
  if (result) {
    stored_(topic);
  } else {
    ++refused_;
  }
  pump(topic);
  if (result) return pending.done({});
  const auto& error = result.error();
  const auto* const limits = names_.limits(topic);
  if (error.code == "full" && limits)
    return pending.done(Error{fmt::format("the queue of topic \"{}\" is full: {}; messages_max of \"{}\" is {}, bytes_max {}",
                                          printable(topic), error.message, limits->pattern, limits->messages_max, limits->bytes_max),
                              error.code});
  pending.done(Error{fmt::format("the NATS servers do not store topic \"{}\": {}", printable(topic), error.message), error.code});
}

bool QueueWriter::read(const std::string& topic, Topic& state) {
  const auto asked = store_.first(topic);
  const auto room = budget_.room(all_topics, topic, store_.part(topic, asked, 1, 0).bytes);
  if (room == 0) return true;
  state.is_busy = true;
  const auto part = store_.part(topic, asked, portion, std::min(room, portion_bytes));
  budget_.add(all_topics, part.bytes);
  store_.read(topic, asked, part.messages, [this, topic, asked, held = part.bytes](Result<std::vector<KeptStore::Stored>> messages) {
    auto& reading = topics_[topic];
    reading.is_busy = false;
    budget_.remove(all_topics, held);
    if (!messages) {
      agent_.log().error("the queue of topic \"{}\" cannot be read from the journal: {}", printable(topic), messages.error().message);
      pause(topic, again_after);
      return let_others_go_on();
    }
    if (messages->empty() && store_.lose(topic, asked)) ++lost_;
    for (auto& message : *messages) {
      budget_.add(all_topics, sealed_bytes(message.envelope));
      reading.moving.push_back(std::move(message));
    }
    pump(topic);
    let_others_go_on();
  });
  return false;
}

void QueueWriter::move(const std::string& topic, Topic& state) {
  auto envelope = state.moving.front().envelope;
  // Kept by a broker without a backbone, it has none of its own.
  if (envelope.id.empty()) envelope.id = fmt::format("{}-{:x}", agent_.hostname(), state.moving.front().number);
  // Kept before there was a backbone, or when its servers took more. They would close the connection on it, again and again.
  if (const auto outside = outside_bytes(envelope); outside > connection_.payload_max()) {
    lose(topic, state, fmt::format("it is {} bytes, max_payload of the NATS servers is {}", outside, connection_.payload_max()));
    pump(topic);
    return let_others_go_on();
  }
  state.is_busy = true;
  streams_.store(names_.subject(topic), envelope.id, seal(envelope), {},
                 [this, topic, alive = std::weak_ptr<bool>(alive_)](Result<std::uint64_t> result) {
                   if (!alive.expired()) moved(topic, result);
                 });
}

void QueueWriter::moved(const std::string& topic, const Result<std::uint64_t>& result) {
  auto& state = topics_[topic];
  state.is_busy = false;
  // It was promised: whatever the servers say, it waits until it is too old, but for what they will never take.
  if (!result && result.error().code != "too_large") {
    const auto& error = result.error();
    if (is_ready_) complain(topic, error.message);
    // It would keep out others whose streams do take them.
    if (budget_.is_waited_for(all_topics))
      while (!state.moving.empty()) pop_moving(state);
    pause(topic, error.code == "full" ? look_for_room_after : again_after);
    return let_others_go_on();
  }
  if (result) {
    store_.drop(topic, state.moving.front().number);
    pop_moving(state);
    stored_(topic);
  } else {
    lose(topic, state, result.error().message);
  }
  pump(topic);
  let_others_go_on();
}

void QueueWriter::lose(const std::string& topic, Topic& state, const std::string& why) {
  ++lost_;
  agent_.log().error("a message of topic \"{}\" that waited in the journal is lost, the NATS servers will never take it: {}",
                     printable(topic), why);
  store_.drop(topic, state.moving.front().number);
  pop_moving(state);
}

void QueueWriter::complain(const std::string& topic, const std::string& why) {
  const auto now = std::chrono::steady_clock::now();
  if (now < complain_after_) return;
  complain_after_ = now + complaint_every;
  agent_.log().warning("messages of topic \"{}\" wait in the journal, the NATS servers do not take them now: {}", printable(topic), why);
}

void QueueWriter::pause(const std::string& topic, std::chrono::milliseconds time) {
  topics_[topic].is_busy = true;
  auto timer = std::make_shared<asio::steady_timer>(agent_.loop(), time);
  timer->async_wait([this, topic, timer, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code&) {
    if (alive.expired()) return;
    topics_[topic].is_busy = false;
    if (is_ready_)
      pump(topic);
    else if (topics_[topic].waiting.empty() && topics_[topic].moving.empty())
      topics_.erase(topic);
  });
}

}  // namespace gorgone::mcollective
