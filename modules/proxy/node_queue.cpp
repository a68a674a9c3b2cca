#include "node_queue.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gorgone::proxy {

Result<void> NodeQueue::push(Message message, std::int64_t now) {
  const std::size_t size = message.data.text().size() + message.token.size() + message.action.size();
  const std::size_t count = waiting_.size() + in_flight_.size();
  if (count >= limits_.messages) return Error{fmt::format("busy: {} messages wait for the node already", count), "busy"};
  if (count > 0 && bytes_ + size > limits_.bytes) return Error{fmt::format("busy: {} bytes wait for the node already", bytes_), "busy"};
  bytes_ += size;
  waiting_.push_back(Entry{std::move(message), now + limits_.ttl_s, size});
  return {};
}

const Message* NodeQueue::next() const {
  if (waiting_.empty() || in_flight_.size() >= limits_.in_flight) return nullptr;
  if (!in_flight_.empty() && in_flight_bytes_ + waiting_.front().size > limits_.in_flight_bytes) return nullptr;
  return &waiting_.front().message;
}

void NodeQueue::sent() {
  in_flight_bytes_ += waiting_.front().size;
  in_flight_.push_back(std::move(waiting_.front()));
  waiting_.pop_front();
}

std::optional<Message> NodeQueue::answered(const std::string& token) {
  return take(std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Entry& entry) { return entry.message.token == token; }));
}

std::optional<Message> NodeQueue::unknown_action(const std::string& action) {
  return take(std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Entry& entry) { return entry.message.action == action; }));
}

std::optional<Message> NodeQueue::take(std::deque<Entry>::iterator entry) {
  if (entry == in_flight_.end()) return {};
  auto message = std::move(entry->message);
  bytes_ -= entry->size;
  in_flight_bytes_ -= entry->size;
  in_flight_.erase(entry);
  return message;
}

void NodeQueue::link_lost() {
  waiting_.insert(waiting_.begin(), std::make_move_iterator(in_flight_.begin()), std::make_move_iterator(in_flight_.end()));
  in_flight_.clear();
  in_flight_bytes_ = 0;
}

std::vector<Message> NodeQueue::expired(std::int64_t now) {
  std::vector<Message> late;
  // The time to live is the same for all, so the oldest stand in front.
  while (!in_flight_.empty() && in_flight_.front().until <= now) late.push_back(*take(in_flight_.begin()));
  while (!waiting_.empty() && waiting_.front().until <= now) {
    bytes_ -= waiting_.front().size;
    late.push_back(std::move(waiting_.front().message));
    waiting_.pop_front();
  }
  return late;
}

std::vector<Message> NodeQueue::clear() {
  link_lost();
  std::vector<Message> all;
  for (auto& entry : waiting_) all.push_back(std::move(entry.message));
  waiting_.clear();
  bytes_ = 0;
  return all;
}

std::optional<std::int64_t> NodeQueue::next_expiry() const {
  if (!in_flight_.empty()) return in_flight_.front().until;
  if (!waiting_.empty()) return waiting_.front().until;
  return {};
}

}  // namespace gorgone::proxy
