#include "node_queue.hpp"

#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace gorgone::proxy {
namespace {

// The pauses of a target that is refused again and again double, up to one that is shorter than the time for which our agents
// keep what came behind a refused message from coming before it (core/deliveries.cpp).
constexpr std::int64_t pause_min_s = 1, pause_max_s = 4;

}  // namespace

Result<void> NodeQueue::push(Message message, std::int64_t until, bool is_stored, Lane lane) {
  const std::size_t size = message.data.size() + message.token.size() + message.action.size();
  Key key{lane, message.target};
  if (const auto known = ways_.find(key); known != ways_.end()) {
    const auto& held = known->second.held;
    const auto whom = message.target.empty() ? "the node" : "node '" + printable(message.target) + "'";
    if (held.count >= limits_.messages) return Error{fmt::format("busy: {} messages wait for {} already", held.count, whom), "busy"};
    if (held.count > 0 && held.bytes + size > limits_.bytes)
      return Error{fmt::format("busy: {} bytes wait for {} already", held.bytes, whom), "busy"};
  }
  auto& way = ways_.try_emplace(key, Way{key}).first->second;
  ++count_;
  ++way.held.count;
  way.held.bytes += size;
  untils_.insert(until);
  Entry entry{std::move(message), until, size, &way, lane};
  entry.rank = ++rank_;
  way.waiting.push_back(std::move(entry));
  if (!is_stored) remember_not_stored(way.waiting.back());
  line_up(way);
  return {};
}

// After each change of a way.
void NodeQueue::line_up(Way& way) {
  auto& turns = turns_[index(way.key.first)];
  const bool is_empty = way.waiting.empty() && way.in_flight == 0;
  const bool takes = way.state == State::open || (way.state == State::due && way.in_flight == 0);
  const bool may_go = takes && !way.waiting.empty() && way.waiting.front().is_stored;
  if (may_go && way.turn == 0) turns.emplace(way.turn = ++turn_, &way);
  if (!may_go && way.turn != 0) turns.erase(std::exchange(way.turn, 0));
  if (!is_empty) return;
  if (way.state == State::paused) forget_pause(way);
  ways_.erase(Key(way.key));
}

void NodeQueue::pause(Way& way, std::int64_t now) {
  way.pause_s = std::clamp(2 * way.pause_s, pause_min_s, pause_max_s);
  way.state = State::paused;
  pauses_.emplace(now + way.pause_s, &way);
}

void NodeQueue::forget_pause(const Way& way) {
  std::erase_if(pauses_, [&way](const auto& entry) { return entry.second == &way; });
}

void NodeQueue::resume(std::int64_t now) {
  while (!pauses_.empty() && pauses_.begin()->first <= now) {
    auto& way = *pauses_.begin()->second;
    pauses_.erase(pauses_.begin());
    way.state = State::due;
    line_up(way);
  }
}

void NodeQueue::remember_not_stored(Entry& entry) {
  entry.is_stored = false;
  not_stored_.emplace(entry.message.delivery, std::pair(entry.way, entry.rank));
}

NodeQueue::Entry* NodeQueue::not_stored(const std::string& delivery) {
  const auto [first, last] = not_stored_.equal_range(delivery);
  if (first == last) return nullptr;
  const auto oldest =
      std::min_element(first, last, [](const auto& left, const auto& right) { return left.second.second < right.second.second; });
  const auto [way, rank] = oldest->second;
  return &*std::lower_bound(way->waiting.begin(), way->waiting.end(), rank,
                            [](const Entry& entry, std::uint64_t than) { return entry.rank < than; });
}

void NodeQueue::now_stored(Entry& entry) {
  const auto [first, last] = not_stored_.equal_range(entry.message.delivery);
  not_stored_.erase(std::find_if(first, last, [&entry](const auto& one) { return one.second.second == entry.rank; }));
  entry.is_stored = true;
}

std::optional<Message> NodeQueue::stored(const std::string& delivery, bool is_kept) {
  auto* entry = not_stored(delivery);
  if (!entry) return {};
  auto& way = *entry->way;
  now_stored(*entry);
  std::optional<Message> refused;
  if (!is_kept) {
    const auto place = std::find_if(way.waiting.begin(), way.waiting.end(), [entry](const Entry& other) { return &other == entry; });
    refused = cut(way.waiting, place).message;
  }
  line_up(way);
  return refused;
}

NodeQueue::Way* NodeQueue::next_way() const {
  for (const auto lane : {Lane::ordinary, Lane::bulk}) {
    const auto& turns = turns_[index(lane)];
    const auto& flying = flying_[index(lane)];
    if (turns.empty() || flying.count >= limits_.in_flight) continue;
    const auto bytes_max = lane == Lane::bulk ? bulk_window_.bytes() : limits_.in_flight_bytes;
    auto* way = turns.begin()->second;
    if (flying.count == 0 || flying.bytes + way->waiting.front().size <= bytes_max) return way;
  }
  return nullptr;
}

const NodeQueue::Entry* NodeQueue::next() const {
  const auto* way = next_way();
  return way ? &way->waiting.front() : nullptr;
}

void NodeQueue::sent(std::string as, Form form, Clock::time_point at) {
  auto& way = *next_way();
  auto& entry = way.waiting.front();
  entry.sent_as = std::move(as);
  entry.form = form;
  entry.sent_at = at;
  entry.sequence = ++sequence_;
  entry.is_in_flight = true;
  if (form == Form::silent) ++silent_;
  auto& flying = flying_[index(entry.lane)];
  ++flying.count;
  flying.bytes += entry.size;
  ++way.in_flight;
  if (way.state == State::due) way.state = State::tried;
  in_flight_.push_back(std::move(entry));
  way.waiting.pop_front();
  // The others first.
  turns_[index(way.key.first)].erase(std::exchange(way.turn, 0));
  line_up(way);
}

Message NodeQueue::take_next() {
  auto& way = *next_way();
  auto entry = cut(way.waiting, way.waiting.begin());
  line_up(way);
  return std::move(entry.message);
}

std::string NodeQueue::hold_next() {
  auto& way = *next_way();
  auto& entry = way.waiting.front();
  remember_not_stored(entry);
  line_up(way);
  return entry.message.delivery;
}

void NodeQueue::forgotten(const std::string& delivery) {
  auto* entry = not_stored(delivery);
  if (!entry) return;
  now_stored(*entry);
  entry->message.delivery.clear();
  entry->is_once = true;
  line_up(*entry->way);
}

void NodeQueue::left_flight(Entry& entry) {
  entry.is_in_flight = false;
  auto& flying = flying_[index(entry.lane)];
  --flying.count;
  flying.bytes -= entry.size;
  if (entry.form == Form::silent) --silent_;
  --entry.way->in_flight;
  if (entry.way->state == State::tried) entry.way->state = State::due;
}

// line_up() of its way is to follow.
NodeQueue::Entry NodeQueue::cut(std::deque<Entry>& list, Place place) {
  if (!place->is_stored) now_stored(*place);
  auto entry = std::move(*place);
  list.erase(place);
  --count_;
  --entry.way->held.count;
  entry.way->held.bytes -= entry.size;
  if (entry.is_in_flight) {
    left_flight(entry);
    entry.may_have_come = true;
  }
  untils_.erase(untils_.find(entry.until));
  return entry;
}

// The node has answered something else than that it cannot take it now.
Message NodeQueue::taken(Place place) {
  auto& way = *place->way;
  if (way.state == State::tried) {
    way.state = State::open;
    way.pause_s = 0;
  }
  auto entry = cut(in_flight_, place);
  line_up(way);
  return std::move(entry.message);
}

std::optional<Message> NodeQueue::take_in_flight_if(const std::function<bool(const Entry&)>& fits) {
  const auto place = std::find_if(in_flight_.begin(), in_flight_.end(), fits);
  if (place == in_flight_.end()) return {};
  return taken(place);
}

std::optional<Message> NodeQueue::answered(const std::string& token, Clock::time_point at) {
  const auto place = std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Entry& entry) { return entry.sent_as == token; });
  if (place == in_flight_.end()) return {};
  if (place->lane == Lane::bulk) bulk_window_.answered(place->size, at - place->sent_at);
  return taken(place);
}

std::optional<Message> NodeQueue::unknown_action(const std::string& action) {
  return take_in_flight_if([&](const Entry& entry) { return entry.message.action == action; });
}

std::vector<Message> NodeQueue::take_all_in_flight_if(const std::function<bool(const Entry&)>& fits) {
  std::vector<Message> gone;
  while (auto message = take_in_flight_if(fits)) gone.push_back(std::move(*message));
  return gone;
}

std::vector<Message> NodeQueue::silent_until(std::uint64_t sequence) {
  return take_all_in_flight_if([sequence](const Entry& entry) { return entry.form == Form::silent && entry.sequence <= sequence; });
}

void NodeQueue::put_back(const std::string& token, std::int64_t now) {
  const auto place = std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Entry& entry) { return entry.sent_as == token; });
  if (place == in_flight_.end()) return;
  auto& way = *place->way;
  // Those that were sent with the first one that was refused come back after it.
  if (way.state == State::open || way.state == State::tried) pause(way, now);
  left_flight(*place);
  insert_by_rank(std::move(*place));
  in_flight_.erase(place);
  line_up(way);
}

// Whatever was sent, put back and sent again before: a target's messages always wait in the order in which they were pushed.
void NodeQueue::insert_by_rank(Entry entry) {
  auto& list = entry.way->waiting;
  const auto before = std::find_if(list.begin(), list.end(), [&](const Entry& other) { return other.rank > entry.rank; });
  list.insert(before, std::move(entry));
}

void NodeQueue::put_back_if(const std::function<bool(const Entry&)>& fits) {
  const auto first = std::stable_partition(in_flight_.begin(), in_flight_.end(), [&](const Entry& entry) { return !fits(entry); });
  std::vector<Entry> back(std::make_move_iterator(first), std::make_move_iterator(in_flight_.end()));
  in_flight_.erase(first, in_flight_.end());
  std::vector<Way*> ways;
  for (auto& entry : back) {
    left_flight(entry);
    ways.push_back(entry.way);
  }
  for (auto entry = back.rbegin(); entry != back.rend(); ++entry) insert_by_rank(std::move(*entry));
  for (auto* way : ways) line_up(*way);
}

void NodeQueue::link_lost() {
  bulk_window_.reset();
  for (auto& entry : in_flight_) entry.may_have_come = true;
  put_back_if([](const Entry&) { return true; });
}

void NodeQueue::put_back_wrapped(bool may_have_come) {
  for (auto& entry : in_flight_)
    if (entry.form == Form::wrapped && may_have_come) entry.may_have_come = true;
  put_back_if([](const Entry& entry) { return entry.form == Form::wrapped; });
}

std::vector<Message> NodeQueue::take_sent_once() {
  return take_all_in_flight_if([](const Entry& entry) { return entry.is_once; });
}

std::vector<NodeQueue::Entry> NodeQueue::cut_if(const std::function<bool(const Entry&)>& fits, Lane from) {
  std::vector<Entry> gone;
  auto sweep = [&](std::deque<Entry>& list) {
    for (std::size_t i = 0; i < list.size();) {
      const auto place = list.begin() + static_cast<std::ptrdiff_t>(i);
      if (fits(*place))
        gone.push_back(cut(list, place));
      else
        ++i;
    }
  };
  sweep(in_flight_);
  for (auto at = ways_.lower_bound(Key{from, {}}); at != ways_.end();) {
    auto& way = (at++)->second;
    sweep(way.waiting);
    line_up(way);
  }
  return gone;
}

std::vector<Message> NodeQueue::in_order(std::vector<Entry> entries, std::int64_t now) {
  std::ranges::sort(entries, {}, [](const Entry& entry) { return std::pair(entry.lane, entry.rank); });
  std::vector<Message> messages;
  for (auto& entry : entries) {
    entry.message.ttl_s = std::max<std::int64_t>(1, entry.until - now);
    messages.push_back(std::move(entry.message));
  }
  return messages;
}

void NodeQueue::withdraw(const std::string& token) {
  cut_if([&](const Entry& entry) { return entry.lane == Lane::bulk && entry.message.token == token; }, Lane::bulk);
}

std::vector<NodeQueue::Expired> NodeQueue::expired(std::int64_t now) {
  std::vector<Expired> late;
  if (untils_.empty() || *untils_.begin() > now) return late;
  for (auto& entry : cut_if([now](const Entry& entry) { return entry.until <= now; }))
    late.push_back({std::move(entry.message), entry.may_have_come});
  return late;
}

std::vector<Message> NodeQueue::take_waiting_if(const std::function<bool(const Message&, bool may_have_come)>& fits, std::int64_t now) {
  auto goes = [&](const Entry& entry) {
    return !entry.is_in_flight && entry.is_stored && !entry.message.delivery.empty() && fits(entry.message, entry.may_have_come);
  };
  return in_order(cut_if(goes), now);
}

std::vector<Message> NodeQueue::clear(std::int64_t now) {
  link_lost();
  return in_order(cut_if([](const Entry&) { return true; }), now);
}

}  // namespace gorgone::proxy
