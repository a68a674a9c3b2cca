#include "delivery.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;

constexpr auto complaint_every = 60s;
// Of a queue, in eighths: where publishers are held back, where they go on, and where a slow client counts as quick again.
constexpr std::size_t hold_back_at = 6, go_on_at = 5, quick_at = 4, eighths_of_all = 8;

// Answers that a client may be owed behind a promise that is not kept yet, for a disk or another broker is slow.
constexpr std::size_t owed_bytes_max = std::size_t{4} << 20;

bool owes_much(const Client& client) { return client.awaits_answer() && client.backlog->answer_bytes > owed_bytes_max; }

std::string_view topic_of(const Parcel& parcel) {
  if (parcel.kept) return parcel.kept->topic;
  const auto& message = *parcel.frames;
  for (std::size_t i = 2; i + 1 < message.size() && !message[i].empty(); i += 2)
    if (message[i] == "TOPIC") return message[i + 1];
  return {};
}

template <class F>
std::size_t remove(Backlog& backlog, std::deque<Parcel>& parcels, F is_over) {
  return std::erase_if(parcels, [&](const Parcel& parcel) {
    if (!is_over(parcel)) return false;
    backlog.bytes -= parcel.bytes;
    return true;
  });
}

}  // namespace

Delivery::Load Delivery::load_of(const Client& client) const {
  Load load{0, 0};
  if (client.connection != 0) {
    const auto waiting = outlet_.waiting(client.connection);
    load = {waiting.messages + waiting.answers, waiting.bytes};
  }
  if (client.backlog) {
    load.messages += client.parcels();
    load.bytes += client.backlog->bytes;
  }
  return load;
}

bool Delivery::is_above(const Load& load, std::size_t eighths) const {
  // One large message alone is no reason to wait.
  return load.messages > 1 && (load.messages * eighths_of_all >= limits_.queue_messages * eighths ||
                               load.bytes * eighths_of_all >= limits_.queue_bytes * eighths);
}

bool Delivery::deliver(Client& to, const SharedFrames& message, std::size_t bytes, ConnectionId publisher, bool is_asked, Time now) {
  auto load = load_of(to);
  if (load.messages >= limits_.queue_messages || (load.messages > 0 && load.bytes + bytes > limits_.queue_bytes)) {
    dropped(to, load, now);
    return false;
  }
  offer(to, Parcel{message, bytes}, is_asked, now);
  ++counters_.delivered;
  load = {load.messages + 1, load.bytes + bytes};
  if (to.is_slow && !is_above(load, quick_at)) to.is_slow = false;
  if (is_above(load, hold_back_at)) hold_back(publisher, to, now);
  return true;
}

void Delivery::offer(Client& to, Parcel parcel, bool is_asked, Time now) {
  ++to.out;
  if (is_asked && !to.is_held()) {
    send(to, std::move(parcel), now);
    return;
  }
  auto& backlog = to.more();
  backlog.bytes += parcel.bytes;
  (is_asked ? backlog.parcels : backlog.unasked).push_back(std::move(parcel));
}

std::uint64_t Delivery::send(Client& to, Parcel parcel, Time now) {
  const auto number = outlet_.send(to.connection, std::move(parcel.frames));
  to.last_sent = now;
  if (parcel.kept && number != 0) {
    auto& backlog = to.more();
    backlog.unconfirmed.emplace_back(number, std::move(parcel.kept));
    if (!std::exchange(backlog.is_confirming, true)) outlet_.confirm(to.connection);
  }
  return number;
}

void Delivery::send_answer(Client& to, SharedFrames frames, Time now) {
  const auto unread = outlet_.waiting(to.connection).answers;
  outlet_.answer(to.connection, std::move(frames));
  to.last_sent = now;
  // It asks and asks and reads no answers.
  if (unread >= limits_.queue_messages) mute(to);
}

void Delivery::mute(Client& client) {
  if (std::exchange(client.is_muted, true)) return;
  if (client.holds == 0) outlet_.pause(client.connection);
}

void Delivery::answer(Client& to, Frames frames, bool has_id, Time now) {
  if (to.connection == 0) return;
  auto shared = std::make_shared<const Frames>(std::move(frames));
  if (!to.awaits_answer()) return send_answer(to, std::move(shared), now);
  to.backlog->answer_bytes += sizeof(Backlog::Answer);
  for (const auto& frame : *shared) to.backlog->answer_bytes += sizeof frame + frame.size();
  to.backlog->answers.push_back({0, std::move(shared), has_id});
  if (owes_much(to)) mute(to);
}

std::uint64_t Delivery::promise_answer(Client& to) {
  auto& backlog = to.more();
  if (backlog.answers.empty()) backlog.answer_bytes = 0;
  backlog.answers.push_back({++tickets_, nullptr});
  halt(to);
  return tickets_;
}

void Delivery::keep_promise(ConnectionId to, std::uint64_t ticket, Frames frames, Time now) {
  auto* const client = clients_.at(to);
  if (!client || !client->backlog) return;
  auto& answers = client->backlog->answers;
  const auto place = std::find_if(answers.begin(), answers.end(), [ticket](const auto& answer) { return answer.ticket == ticket; });
  if (place == answers.end()) return;
  place->frames = std::make_shared<const Frames>(std::move(frames));
  std::size_t sent = 0;
  std::deque<Backlog::Answer> not_waited_for;
  for (; !answers.empty() && answers.front().frames; answers.pop_front()) {
    if (!answers.front().has_id) {
      not_waited_for.push_back(std::move(answers.front()));
      continue;
    }
    send_answer(*client, std::move(answers.front().frames), now);
    ++sent;
  }
  if (answers.empty())
    for (auto& answer : not_waited_for) send_answer(*client, std::move(answer.frames), now);
  else
    answers.insert(answers.end(), std::make_move_iterator(not_waited_for.begin()), std::make_move_iterator(not_waited_for.end()));
  // Those behind the first were to commands that subscribe, perhaps, and have been answered only now.
  if (sent > 1 && limits_.grace > 0ms) client->hold_until = now + limits_.grace;
  flush(*client, now);
  client->trim();
}

void Delivery::halt(Client& client) {
  if (client.is_halted || client.connection == 0 || outlet_.waiting(client.connection).messages == 0) return;
  client.is_halted = true;
  outlet_.hold(client.connection, true);
}

void Delivery::flush(Client& client, Time now) {
  if (client.is_held()) return;
  if (std::exchange(client.is_halted, false)) outlet_.hold(client.connection, false);
  if (!client.backlog) return;
  auto parcels = std::exchange(client.backlog->parcels, {});
  for (const auto& parcel : parcels) client.backlog->bytes -= parcel.bytes;
  for (auto& parcel : parcels) send(client, std::move(parcel), now);
  client.trim();
}

void Delivery::heartbeat(Client& client, Time now) {
  client.last_sent = now;
  // What waits for the client already will say as much when it gets there.
  const auto waiting = outlet_.waiting(client.connection);
  if (waiting.messages + waiting.answers == 0) outlet_.answer(client.connection, noop_);
}

void Delivery::confirmed(Client& client, std::uint64_t number, const std::function<void(const KeptPlace&)>& taken) {
  if (!client.backlog) return;
  auto& unconfirmed = client.backlog->unconfirmed;
  std::vector<std::shared_ptr<const KeptPlace>> done;
  while (!unconfirmed.empty() && unconfirmed.front().first <= number) {
    done.push_back(std::move(unconfirmed.front().second));
    unconfirmed.pop_front();
  }
  client.backlog->is_confirming = !unconfirmed.empty();
  if (client.backlog->is_confirming) outlet_.confirm(client.connection);
  client.trim();
  // Last, for the next ones are offered meanwhile.
  for (const auto& place : done) taken(*place);
}

void Delivery::hold_back(ConnectionId publisher, Client& full, Time now) {
  if (publisher == 0 || full.connection == 0 || full.connection == publisher || full.is_slow || limits_.patience == 0ms) return;
  auto* const from = clients_.at(publisher);
  if (!from) return;
  auto& publishers = full.more().publishers;
  if (std::find(publishers.begin(), publishers.end(), publisher) != publishers.end()) return;
  if (publishers.empty()) full.patient_until = now + limits_.patience;
  publishers.push_back(publisher);
  ++counters_.held_back;
  if (from->holds++ == 0 && !from->is_muted) outlet_.pause(publisher);
}

void Delivery::release_publishers(Client& client) {
  client.patient_until = {};
  if (!client.backlog) return;
  for (const auto publisher : std::exchange(client.backlog->publishers, {})) {
    auto* const from = clients_.at(publisher);
    if (from && from->holds > 0 && --from->holds == 0 && !from->is_muted) outlet_.resume(publisher);
  }
  client.trim();
}

bool Delivery::look_at_queue(Client& client, Time now) {
  if (client.connection == 0) {
    release_publishers(client);
    return false;
  }
  const auto load = load_of(client);
  if (client.is_muted && outlet_.waiting(client.connection).answers * 2 < limits_.queue_messages && !owes_much(client)) {
    client.is_muted = false;
    if (client.holds == 0) outlet_.resume(client.connection);
  }
  if (client.is_slow && !is_above(load, quick_at)) client.is_slow = false;
  const bool is_waited_for = client.backlog && !client.backlog->publishers.empty();
  if (is_waited_for && (!is_above(load, go_on_at) || now >= client.patient_until)) {
    if (is_above(load, go_on_at)) {
      client.is_slow = true;
      std::uint64_t count = 0;
      if (is_due(client.complained().slowness, now, count))
        log_.warning(
            "client \"{}\" from {} does not read what it subscribed to, nobody waits for it any more: waiting messages={} bytes={}",
            printable(client.peer.routing_id), client.peer.address, load.messages, load.bytes);
    }
    release_publishers(client);
  }
  return client.is_muted || (client.backlog && !client.backlog->publishers.empty());
}

void Delivery::set_aside(Client& client) {
  if (!client.backlog) return;
  auto& parcels = client.backlog->parcels;
  auto& unasked = client.backlog->unasked;
  for (auto& parcel : parcels) unasked.push_back(std::move(parcel));
  parcels.clear();
}

void Delivery::take_back(Client& client, std::string_view topic) {
  if (!client.backlog) return;
  auto& backlog = *client.backlog;
  const auto first = std::stable_partition(backlog.unasked.begin(), backlog.unasked.end(),
                                           [topic](const Parcel& parcel) { return topic_of(parcel) != topic; });
  std::move(first, backlog.unasked.end(), std::back_inserter(backlog.parcels));
  backlog.unasked.erase(first, backlog.unasked.end());
}

std::size_t Delivery::drop_unasked(Client& client) {
  if (!client.backlog) return 0;
  auto& backlog = *client.backlog;
  const auto lost = remove(backlog, backlog.unasked, [](const Parcel& parcel) { return !parcel.kept; });
  remove(backlog, backlog.unasked, [](const Parcel&) { return true; });
  client.trim();
  return lost;
}

void Delivery::forget_queue(Client& client, std::string_view topic) {
  if (!client.backlog) return;
  auto& backlog = *client.backlog;
  std::erase_if(backlog.unconfirmed, [topic](const auto& sent) { return sent.second->topic == topic; });
  const auto is_of_queue = [topic](const Parcel& parcel) { return parcel.kept && parcel.kept->topic == topic; };
  remove(backlog, backlog.parcels, is_of_queue);
  remove(backlog, backlog.unasked, is_of_queue);
  client.trim();
}

void Delivery::forget_connection(Client& client) {
  client.holds = 0;
  if (std::exchange(client.is_halted, false)) outlet_.hold(client.connection, false);
  client.is_muted = client.is_slow = false;
  release_publishers(client);
  if (!client.backlog) return;
  auto& backlog = *client.backlog;
  backlog.answers.clear();
  backlog.unconfirmed.clear();
  backlog.is_confirming = false;
  const auto is_kept = [](const Parcel& parcel) { return parcel.kept != nullptr; };
  remove(backlog, backlog.parcels, is_kept);
  remove(backlog, backlog.unasked, is_kept);
  client.trim();
}

bool Delivery::is_due(Complaint& complaint, Time now, std::uint64_t& count, std::uint64_t added) {
  complaint.untold += added;
  if (complaint.told != Time{} && now - complaint.told < complaint_every) return false;
  complaint.told = now;
  count = std::exchange(complaint.untold, 0);
  return true;
}

void Delivery::dropped(Client& client, const Load& load, Time now) {
  ++counters_.queue_full;
  ++client.dropped;
  std::uint64_t count = 0;
  if (!is_due(client.complained().drops, now, count)) return;
  log_.warning("client \"{}\" {}: its queue is full, messages for it are dropped: dropped={} waiting messages={} bytes={}",
               printable(client.peer.routing_id), client.connection == 0 ? "is away" : "from " + client.peer.address, count, load.messages,
               load.bytes);
}

}  // namespace gorgone::mcollective
