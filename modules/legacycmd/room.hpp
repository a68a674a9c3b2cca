#pragma once
// How much of the spool may be held in memory, for each poller's lane and for all: a poller that takes nothing fills its own lane and keeps
// no other from being read. Made anew for each step; within one a lane that is full stays so, which keeps its lines in order. Plain values.

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <string>

namespace gorgone::legacycmd {

class Room {
 public:
  struct Limits {
    std::size_t lane = std::numeric_limits<std::size_t>::max();
    std::size_t least = 0;  ///< what a lane may hold although all together hold what they may
  };
  /// `total` bytes more may be held in all.
  explicit Room(std::size_t total) : Room(total, Limits{}) {}
  Room(std::size_t total, Limits limits) : limits_(limits), total_(total) {}

  /// What a lane holds already. One that is half full takes nothing in this step: reading its lines again pays when there are some.
  void holds(const std::string& lane, std::size_t bytes) { lanes_[lane] = {bytes, bytes >= limit() / 2}; }
  bool is_full(const std::string& lane) const {
    const auto found = lanes_.find(lane);
    return found == lanes_.end() ? limit() == 0 : found->second.is_closed || found->second.bytes >= limit();
  }
  void take(const std::string& lane, std::size_t bytes) {
    lanes_[lane].bytes += bytes;
    total_ -= std::min(total_, bytes);
  }
  /// Nothing more of it in this step.
  void close(const std::string& lane) { lanes_[lane].is_closed = true; }

 private:
  struct Held {
    std::size_t bytes = 0;
    bool is_closed = false;
  };
  std::size_t limit() const { return total_ > 0 ? limits_.lane : limits_.least; }

  Limits limits_;
  std::size_t total_;
  std::map<std::string, Held> lanes_;
};

}  // namespace gorgone::legacycmd
