#pragma once
// How much strangers, clients over whose connections no session has spoken yet, have sent of messages that have not come whole: each of
// them may hold a message of the largest size half sent, for as long as it likes. All of them together get one bound; beyond it those that
// hold something for longest are cut off. Without I/O; on the loop. Times are milliseconds of a steady clock.

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace gorgone::net {

class StrangerLedger {
 public:
  explicit StrangerLedger(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  /// A connection was taken; its number may have been another's, whose end was not told.
  void came(int connection) { strangers_.insert_or_assign(connection, Stranger{}); }
  void left(int connection) { strangers_.erase(connection); }
  /// A session has spoken over it: it is a stranger no more.
  void known(int connection) { strangers_.erase(connection); }
  /// A frame of it was handed out.
  void delivered(int connection, std::uint64_t frame_bytes);
  /// So many bytes have come over it since it was taken.
  void received(int connection, std::uint64_t bytes, std::int64_t now);

  bool empty() const { return strangers_.empty(); }
  std::vector<int> connections() const;
  /// What all of them hold.
  std::uint64_t held() const;
  struct Cut {
    int connection;
    std::uint64_t bytes;
  };
  /// Takes out those that are to be cut off, until the rest keeps the bound.
  std::vector<Cut> surplus();

 private:
  struct Stranger {
    std::uint64_t delivered = 0, held = 0;
    std::int64_t since = 0;  // it holds more than a little
  };
  std::uint64_t bytes_max_;
  std::unordered_map<int, Stranger> strangers_;
};

}  // namespace gorgone::net
