#include "node_queue.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gorgone::proxy {

Result<void> NodeQueue::push(Message message, std::int64_t until, bool is_stored, Lane lane) {
  const std::size_t size = message.data.size() + message.token.size() + message.action.size();
  auto& held = sum_of(held_, lane);
  if (held.count >= limits_.messages) return Error{fmt::format("busy: {} messages wait for the node already", held.count), "busy"};
  if (held.count > 0 && held.bytes + size > limits_.bytes)
    return Error{fmt::format("busy: {} bytes wait for the node already", held.bytes), "busy"};
  ++held.count;
  held.bytes += size;
  untils_.insert(until);
  Entry entry{std::move(message), until, size};
  entry.lane = lane;
  entry.is_stored = is_stored;
  entry.rank = ++rank_;
  waiting_of(lane).push_back(std::move(entry));
  return {};
}

NodeQueue::Entry* NodeQueue::not_stored(const std::string& delivery) {
  for (auto& list : waiting_)
    for (auto& entry : list)
      if (!entry.is_stored && entry.message.delivery == delivery) return &entry;
  return nullptr;
}

std::optional<Message> NodeQueue::stored(const std::string& delivery, bool is_kept) {
  auto* entry = not_stored(delivery);
  if (!entry) return {};
  entry->is_stored = true;
  if (is_kept) return {};
  auto& list = waiting_of(entry->lane);
  return cut(list, std::find_if(list.begin(), list.end(), [&](const Entry& other) { return &other == entry; })).message;
}

bool NodeQueue::may_go(Lane lane) const {
  const auto& list = waiting_[static_cast<std::size_t>(lane)];
  const auto& flying = flying_[static_cast<std::size_t>(lane)];
  if (list.empty() || !list.front().is_stored || flying.count >= limits_.in_flight) return false;
  const auto bytes_max = lane == Lane::bulk ? limits_.bulk_in_flight_bytes : limits_.in_flight_bytes;
  return flying.count == 0 || flying.bytes + list.front().size <= bytes_max;
}

std::optional<NodeQueue::Lane> NodeQueue::next_lane() const {
  for (const auto lane : {Lane::ordinary, Lane::bulk})
    if (may_go(lane)) return lane;
  return {};
}

const NodeQueue::Entry* NodeQueue::next() const {
  const auto lane = next_lane();
  return lane ? &waiting_[static_cast<std::size_t>(*lane)].front() : nullptr;
}

void NodeQueue::sent(std::string as) {
  auto& list = waiting_of(next_lane().value());
  auto& entry = list.front();
  entry.sent_as = std::move(as);
  entry.sequence = ++sequence_;
  auto& flying = sum_of(flying_, entry.lane);
  ++flying.count;
  flying.bytes += entry.size;
  in_flight_.push_back(std::move(entry));
  list.pop_front();
}

Message NodeQueue::take_next() {
  auto& list = waiting_of(next_lane().value());
  return cut(list, list.begin()).message;
}

std::string NodeQueue::hold_next() {
  auto& entry = waiting_of(next_lane().value()).front();
  entry.is_stored = false;
  return entry.message.delivery;
}

void NodeQueue::forgotten(const std::string& delivery) {
  auto* entry = not_stored(delivery);
  if (!entry) return;
  entry->is_stored = true;
  entry->message.delivery.clear();
}

void NodeQueue::left_flight(const Entry& entry) {
  auto& flying = sum_of(flying_, entry.lane);
  --flying.count;
  flying.bytes -= entry.size;
}

NodeQueue::Entry NodeQueue::cut(std::deque<Entry>& list, Place place) {
  auto entry = std::move(*place);
  list.erase(place);
  auto& held = sum_of(held_, entry.lane);
  --held.count;
  held.bytes -= entry.size;
  if (&list == &in_flight_) left_flight(entry);
  untils_.erase(untils_.find(entry.until));
  return entry;
}

std::optional<Message> NodeQueue::take_in_flight_if(const std::function<bool(const Entry&)>& fits) {
  const auto place = std::find_if(in_flight_.begin(), in_flight_.end(), fits);
  if (place == in_flight_.end()) return {};
  return cut(in_flight_, place).message;
}

std::optional<Message> NodeQueue::answered(const std::string& token) {
  return take_in_flight_if([&](const Entry& entry) { return entry.sent_as == token; });
}

std::optional<Message> NodeQueue::unknown_action(const std::string& action) {
  return take_in_flight_if([&](const Entry& entry) { return entry.message.action == action; });
}

std::vector<Message> NodeQueue::sent_until(std::uint64_t sequence) {
  std::vector<Message> taken;
  while (!in_flight_.empty() && in_flight_.front().sequence <= sequence) taken.push_back(cut(in_flight_, in_flight_.begin()).message);
  return taken;
}

void NodeQueue::withdraw(const std::string& token) {
  for (auto* list : {&in_flight_, &waiting_of(Lane::bulk)})
    for (std::size_t i = 0; i < list->size();) {
      const auto place = list->begin() + static_cast<std::ptrdiff_t>(i);
      if (place->lane == Lane::bulk && place->message.token == token)
        cut(*list, place);
      else
        ++i;
    }
}

void NodeQueue::put_back(const std::string& token) {
  const auto place = std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Entry& entry) { return entry.sent_as == token; });
  if (place == in_flight_.end()) return;
  left_flight(*place);
  insert_by_rank(std::move(*place));
  in_flight_.erase(place);
}

// Whatever was sent, put back and sent again before: a lane always waits in the order in which it was pushed.
void NodeQueue::insert_by_rank(Entry entry) {
  auto& list = waiting_of(entry.lane);
  const auto before = std::find_if(list.begin(), list.end(), [&](const Entry& other) { return other.rank > entry.rank; });
  list.insert(before, std::move(entry));
}

void NodeQueue::link_lost() {
  for (auto entry = in_flight_.rbegin(); entry != in_flight_.rend(); ++entry) insert_by_rank(std::move(*entry));
  in_flight_.clear();
  flying_ = {};
}

std::vector<Message> NodeQueue::take_in_flight() { return sent_until(sequence_); }

std::vector<Message> NodeQueue::expired(std::int64_t now) {
  std::vector<Message> late;
  if (untils_.empty() || *untils_.begin() > now) return late;
  for (auto* list : {&in_flight_, &waiting_[0], &waiting_[1]})
    for (std::size_t i = 0; i < list->size();) {
      const auto place = list->begin() + static_cast<std::ptrdiff_t>(i);
      if (place->until <= now)
        late.push_back(cut(*list, place).message);
      else
        ++i;
    }
  return late;
}

std::vector<Message> NodeQueue::take_waiting_if(const std::function<bool(const Message&, bool was_sent)>& fits, std::int64_t now) {
  std::vector<Message> taken;
  for (auto& list : waiting_)
    for (std::size_t i = 0; i < list.size();) {
      const auto place = list.begin() + static_cast<std::ptrdiff_t>(i);
      if (!place->is_stored || place->message.delivery.empty() || !fits(place->message, place->sequence != 0)) {
        ++i;
        continue;
      }
      auto entry = cut(list, place);
      entry.message.ttl_s = std::max<std::int64_t>(1, entry.until - now);
      taken.push_back(std::move(entry.message));
    }
  return taken;
}

std::vector<Message> NodeQueue::clear(std::int64_t now) {
  link_lost();
  std::vector<Message> all;
  for (auto& list : waiting_) {
    for (auto& entry : list) {
      entry.message.ttl_s = std::max<std::int64_t>(1, entry.until - now);
      all.push_back(std::move(entry.message));
    }
    list.clear();
  }
  untils_.clear();
  held_ = {};
  return all;
}

}  // namespace gorgone::proxy
