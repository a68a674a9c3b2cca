#pragma once
// Handshakes that wait for RSA work. After a restart thousands of nodes greet at once, and the last of them waits for longer than it has
// patience: whoever has gone by then costs no work and has no place, for the pool is given a few at a time. How many may wait in all is
// bounded by wire/server_sessions. Without I/O; on the loop.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "core/wire/text.hpp"

namespace gorgone::net {

class HandshakeQueue {
 public:
  /// Enough for the pool never to wait for the loop.
  static constexpr std::size_t at_once = 16;

  struct Handshake {
    int connection;
    std::string routing_id;
    wire::HeloText helo;  ///< at work, the pool reads it
    bool has_left = false;
  };
  using Entry = std::shared_ptr<Handshake>;

  void push(int connection, std::string routing_id, wire::HeloText helo);
  /// The one that came last, for it has the most patience left: whoever has waited for nearly as long as it will would have gone when its
  /// answer comes, and all work would be in vain. Nothing where none waits or enough are at work.
  Entry begin_next();
  /// Its work is done. False where the client has gone meanwhile.
  bool end(const Entry& entry);
  /// A connection has ended: the routing id of a handshake that nobody waits for any more.
  std::optional<std::string> left(int connection);

 private:
  struct Place {
    std::uint64_t number;
    Entry entry;
  };
  std::map<std::uint64_t, Entry> waiting_;  // in the order they came
  std::unordered_map<int, Place> of_;       // by connection: those that wait or are at work
  std::uint64_t last_number_ = 0;
  std::size_t at_work_ = 0;
};

}  // namespace gorgone::net
