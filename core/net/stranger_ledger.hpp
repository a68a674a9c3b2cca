#pragma once
// How much clients have sent of messages that have not come whole: each of them may hold a message of the largest size half sent, or one of
// parts without end, for as long as it likes. Strangers, over whose connections no session has spoken yet, get one bound all together, and
// one for their number; those with a session are cut off only where what they hold has swollen in memory. Without I/O; on the loop. Times
// are milliseconds of a steady clock.

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

namespace gorgone::net {

class StrangerLedger {
 public:
  struct Limits {
    std::uint64_t bytes;                 ///< what strangers may hold
    std::size_t connections = SIZE_MAX;  ///< of strangers
  };
  /// What a byte of a frame that is one piece comes to in memory, with room for its growth.
  static constexpr std::uint64_t swell_usual = 2;
  explicit StrangerLedger(Limits limits) : limits_(limits) {}

  /// A connection was taken; its number may have been another's, whose end was not told.
  void came(int connection);
  void left(int connection);
  /// A session has spoken over it: it is a stranger no more.
  void known(int connection);
  /// A message of it was handed out, which took so many bytes of its connection.
  void delivered(int connection, std::uint64_t wire_bytes);
  /// So many bytes have come over it since it was taken.
  void received(int connection, std::uint64_t bytes, std::int64_t now);

  /// No connections at all; none of strangers.
  bool empty() const { return clients_.empty(); }
  bool has_strangers() const { return !strangers_.empty(); }
  std::vector<int> strangers() const;
  std::vector<int> with_session() const;
  /// What all strangers hold.
  std::uint64_t held() const;

  struct Cut {
    int connection;
    std::uint64_t bytes;
  };
  // Each of these takes out those that are to be cut off, until the rest keeps the bound.
  /// Strangers that hold something for longest.
  std::vector<Cut> surplus();
  /// The oldest strangers. There is room for one more of each of the `nodes` that dial us: after a restart, or when the network is
  /// back, all of them are strangers at once, and whoever is cut off dials again.
  std::vector<Cut> crowd(std::size_t nodes);
  /// The memory of the process has grown by so many bytes. Where that is more than what came explains, a message of very many parts is
  /// among it: each takes two bytes on the wire and 64 here. Strangers go first.
  std::vector<Cut> swollen(std::uint64_t grown);
  /// Whether anybody holds enough to have that effect.
  bool has_suspects() const;

 private:
  struct Client {
    std::uint64_t delivered = 0, held = 0;
    std::int64_t seen = 0;   // for the first time
    std::int64_t since = 0;  // it holds more than a little
    bool is_known = false;
    std::uint64_t place = 0;  // among strangers
  };
  std::uint64_t held_with_session() const;
  std::vector<Cut> cut_down(bool is_known, std::uint64_t bytes_max);

  Limits limits_;
  std::unordered_map<int, Client> clients_;
  std::map<std::uint64_t, int> strangers_;  // in the order they came
  std::uint64_t last_place_ = 0;
};

}  // namespace gorgone::net
