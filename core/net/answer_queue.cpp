#include "core/net/answer_queue.hpp"

namespace gorgone::net {

bool AnswerQueue::push(const std::string& client, std::string frame) {
  const auto known = waiting_.find(client);
  if (known == waiting_.end() && send_(client, frame) != Sent::full) return true;
  auto& waiting = waiting_[client];
  waiting.bytes += frame.size();
  waiting.frames.push_back(std::move(frame));
  if (waiting.bytes <= max_bytes_) return true;
  waiting_.erase(client);
  return false;
}

void AnswerQueue::retry() {
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    auto& [client, waiting] = *entry;
    auto sent = Sent::yes;
    while (!waiting.frames.empty() && sent == Sent::yes) {
      sent = send_(client, waiting.frames.front());
      if (sent != Sent::yes) break;
      waiting.bytes -= waiting.frames.front().size();
      waiting.frames.pop_front();
    }
    // A client that went away takes its answers with it.
    entry = waiting.frames.empty() || sent == Sent::no_route ? waiting_.erase(entry) : std::next(entry);
  }
}

}  // namespace gorgone::net
