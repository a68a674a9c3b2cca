#include "node_queue.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gorgone::proxy {

Result<void> NodeQueue::push(Message message, std::int64_t until, bool is_stored) {
  const std::size_t size = message.data.text().size() + message.token.size() + message.action.size();
  const std::size_t count = waiting_.size() + in_flight_.size();
  if (count >= limits_.messages) return Error{fmt::format("busy: {} messages wait for the node already", count), "busy"};
  if (count > 0 && bytes_ + size > limits_.bytes) return Error{fmt::format("busy: {} bytes wait for the node already", bytes_), "busy"};
  bytes_ += size;
  untils_.insert(until);
  Entry entry{std::move(message), until, size};
  entry.is_stored = is_stored;
  waiting_.push_back(std::move(entry));
  return {};
}

NodeQueue::Place NodeQueue::not_stored(const std::string& delivery) {
  return std::find_if(waiting_.begin(), waiting_.end(),
                      [&](const Entry& entry) { return !entry.is_stored && entry.message.delivery == delivery; });
}

std::optional<Message> NodeQueue::stored(const std::string& delivery, bool is_kept) {
  const auto place = not_stored(delivery);
  if (place == waiting_.end()) return {};
  place->is_stored = true;
  if (is_kept) return {};
  return cut(waiting_, place).message;
}

const NodeQueue::Entry* NodeQueue::next() const {
  if (waiting_.empty() || !waiting_.front().is_stored || in_flight_.size() >= limits_.in_flight) return nullptr;
  if (!in_flight_.empty() && in_flight_bytes_ + waiting_.front().size > limits_.in_flight_bytes) return nullptr;
  return &waiting_.front();
}

void NodeQueue::sent(std::string as) {
  auto& entry = waiting_.front();
  entry.sent_as = std::move(as);
  entry.sequence = ++sequence_;
  in_flight_bytes_ += entry.size;
  in_flight_.push_back(std::move(entry));
  waiting_.pop_front();
}

std::string NodeQueue::hold_next() {
  waiting_.front().is_stored = false;
  return waiting_.front().message.delivery;
}

void NodeQueue::forgotten(const std::string& delivery) {
  const auto place = not_stored(delivery);
  if (place == waiting_.end()) return;
  place->is_stored = true;
  place->message.delivery.clear();
}

NodeQueue::Entry NodeQueue::cut(std::deque<Entry>& list, Place place) {
  auto entry = std::move(*place);
  list.erase(place);
  bytes_ -= entry.size;
  if (&list == &in_flight_) in_flight_bytes_ -= entry.size;
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

void NodeQueue::put_back(const std::string& token) {
  const auto place = std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Entry& entry) { return entry.sent_as == token; });
  if (place == in_flight_.end()) return;
  // Before the first that was sent after it, should several come back one by one.
  const auto before = std::find_if(waiting_.begin(), waiting_.end(),
                                   [&](const Entry& entry) { return !entry.sequence || entry.sequence > place->sequence; });
  in_flight_bytes_ -= place->size;
  waiting_.insert(before, std::move(*place));
  in_flight_.erase(place);
}

void NodeQueue::link_lost() {
  waiting_.insert(waiting_.begin(), std::make_move_iterator(in_flight_.begin()), std::make_move_iterator(in_flight_.end()));
  in_flight_.clear();
  in_flight_bytes_ = 0;
}

std::vector<Message> NodeQueue::take_in_flight() { return sent_until(sequence_); }

std::vector<Message> NodeQueue::expired(std::int64_t now) {
  std::vector<Message> late;
  if (untils_.empty() || *untils_.begin() > now) return late;
  for (auto* list : {&in_flight_, &waiting_})
    for (auto place = list->begin(); place != list->end();) {
      if (place->until > now) {
        ++place;
        continue;
      }
      const auto index = place - list->begin();
      late.push_back(cut(*list, place).message);
      place = list->begin() + index;
    }
  return late;
}

std::vector<Message> NodeQueue::clear() {
  link_lost();
  std::vector<Message> all;
  for (auto& entry : waiting_) all.push_back(std::move(entry.message));
  waiting_.clear();
  untils_.clear();
  bytes_ = 0;
  return all;
}

}  // namespace gorgone::proxy
