#include "core/net/stranger_ledger.hpp"

#include <algorithm>

namespace gorgone::net {
namespace {

// Greetings and what stands before each frame: nobody is taken for one who holds something because of them.
constexpr std::uint64_t little_bytes = 4096;
// ZMTP: flags and length of a frame; the length takes eight bytes where it is beyond 255.
constexpr std::uint64_t short_head = 2, long_head = 9, short_frame_max = 255;

}  // namespace

void StrangerLedger::delivered(int connection, std::uint64_t frame_bytes) {
  const auto found = strangers_.find(connection);
  if (found == strangers_.end()) return;
  found->second.delivered += frame_bytes + (frame_bytes > short_frame_max ? long_head : short_head);
}

void StrangerLedger::received(int connection, std::uint64_t bytes, std::int64_t now) {
  const auto found = strangers_.find(connection);
  if (found == strangers_.end()) return;
  auto& stranger = found->second;
  const auto before = stranger.held;
  stranger.held = bytes > stranger.delivered + little_bytes ? bytes - stranger.delivered : 0;
  if (before == 0) stranger.since = now;
}

std::vector<int> StrangerLedger::connections() const {
  std::vector<int> all;
  all.reserve(strangers_.size());
  for (const auto& [connection, stranger] : strangers_) all.push_back(connection);
  return all;
}

std::uint64_t StrangerLedger::held() const {
  std::uint64_t sum = 0;
  for (const auto& [connection, stranger] : strangers_) sum += stranger.held;
  return sum;
}

std::vector<StrangerLedger::Cut> StrangerLedger::surplus() {
  std::vector<Cut> cut;
  auto sum = held();
  while (sum > bytes_max_) {
    const auto oldest = std::min_element(strangers_.begin(), strangers_.end(), [](const auto& left, const auto& right) {
      if ((left.second.held == 0) != (right.second.held == 0)) return right.second.held == 0;
      if (left.second.since != right.second.since) return left.second.since < right.second.since;
      return left.second.held > right.second.held;
    });
    cut.push_back({oldest->first, oldest->second.held});
    sum -= oldest->second.held;
    strangers_.erase(oldest);
  }
  return cut;
}

}  // namespace gorgone::net
