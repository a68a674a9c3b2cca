#include "core/net/answer_queue.hpp"

namespace gorgone::net {

AnswerQueue::Pushed AnswerQueue::push(const std::string& client, std::string frame, std::int64_t now) {
  if (!waiting_.contains(client)) {
    const auto sent = send_(client, frame);
    if (sent != Sent::full) return sent == Sent::yes ? Pushed::yes : Pushed::no_route;
  }
  const auto entry = waiting_.try_emplace(client).first;
  auto& waiting = entry->second;
  if (waiting.frames.empty()) {
    waiting.since = now;
    waiting.taken = taken(client);
  }
  waiting.bytes += frame.size();
  bytes_ += frame.size();
  waiting.frames.push_back(std::move(frame));
  // A single answer may be larger than the bound: it has to wait for the end of the one that is being sent.
  const bool fits = waiting.bytes <= limits_.client_bytes || waiting.frames.size() == 1;
  if (fits && bytes_ <= limits_.all_bytes) return Pushed::yes;
  drop(entry);
  return Pushed::cut;
}

std::size_t AnswerQueue::kept(const std::string& client) const {
  const auto entry = waiting_.find(client);
  return entry == waiting_.end() ? 0 : entry->second.bytes;
}

AnswerQueue::Retried AnswerQueue::retry(std::int64_t now) {
  Retried retried;
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    auto& [client, waiting] = *entry;
    auto sent = Sent::yes;
    while (!waiting.frames.empty() && (sent = send_(client, waiting.frames.front())) == Sent::yes) {
      const auto size = waiting.frames.front().size();
      waiting.bytes -= size;
      bytes_ -= size;
      waiting.frames.pop_front();
      waiting.since = now;
      retried.progress = true;
    }
    if (const auto bytes = taken(client); bytes != waiting.taken) {
      waiting.taken = bytes;
      waiting.since = now;
    }
    const bool is_cut = sent == Sent::full && now - waiting.since >= limits_.idle_ms;
    if (is_cut) retried.cut.push_back(client);
    if (sent == Sent::no_route) retried.gone.push_back(client);
    entry = is_cut || waiting.frames.empty() || sent == Sent::no_route ? drop(entry) : std::next(entry);
  }
  return retried;
}

AnswerQueue::Place AnswerQueue::drop(Place entry) {
  bytes_ -= entry->second.bytes;
  return waiting_.erase(entry);
}

}  // namespace gorgone::net
