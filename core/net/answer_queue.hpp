#pragma once
// Answers that the socket does not take at once, kept for each client in order: a client that reads slowly gets them later, one that
// reads nothing is cut off at a bound. Without I/O; on the loop.

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>

namespace gorgone::net {

class AnswerQueue {
 public:
  enum class Sent { yes, full, no_route };
  using Send = std::function<Sent(const std::string& client, const std::string& frame)>;

  AnswerQueue(std::size_t max_bytes, Send send) : max_bytes_(max_bytes), send_(std::move(send)) {}

  /// Sends, or keeps. False where the client has too much unread: what was kept for it is gone.
  bool push(const std::string& client, std::string frame);
  /// Sends what is kept as far as the socket takes it.
  void retry();
  bool empty() const { return waiting_.empty(); }

 private:
  struct Waiting {
    std::deque<std::string> frames;
    std::size_t bytes = 0;
  };
  std::size_t max_bytes_;
  Send send_;
  std::unordered_map<std::string, Waiting> waiting_;
};

}  // namespace gorgone::net
