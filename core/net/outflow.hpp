#pragma once
// What ZeroMQ holds of answers for each client: it counts messages and not bytes, and says of neither how many wait. What it was given is
// known here, and the kernel knows what it has taken of that. Nor does it say that a client has come back over another connection, and
// that what the old one had of its messages is lost. Without I/O but for the question to the kernel; on the loop.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

namespace gorgone::net {

class Outflow {
 public:
  /// Bytes that a connection has been given by this process, ever; nothing where it is gone.
  using Taken = std::function<std::optional<std::uint64_t>(int connection)>;
  /// The connection over which a client was answered is its own no more.
  using Lost = std::function<void(const std::string& client)>;
  Outflow(Taken taken, Lost lost) : taken_(std::move(taken)), lost_(std::move(lost)) {}

  bool is_answered_over(const std::string& client, int connection) const;
  /// A message of a client came over a connection, over which it is answered from now on.
  void heard(const std::string& client, int connection);
  /// The connection has ended, or its number is another's now.
  void ended(int connection);
  /// Whether at most so many bytes wait for the client. True for one that was not heard on its connection yet.
  bool has_room(const std::string& client, std::uint64_t bytes_max);
  /// The connection over which it was heard, what was taken of it before, and what was given to ZeroMQ for it since; nothing where there is
  /// none.
  struct Place {
    int connection;
    std::uint64_t begun, given;
  };
  std::optional<Place> place_of(const std::string& client) const;
  /// Bytes of ours that had left for it when its room was looked at.
  std::uint64_t left_for(const std::string& client) const;
  /// A frame was given to ZeroMQ.
  void sent(const std::string& client, std::uint64_t wire_bytes);

 private:
  struct Client {
    int connection;
    std::uint64_t begun;        // taken before it was heard
    std::uint64_t given = 0;    // since then
    std::uint64_t waiting = 0;  // at most
  };
  void forget(std::unordered_map<std::string, Client>::iterator client);

  Taken taken_;
  Lost lost_;
  std::unordered_map<std::string, Client> clients_;
  std::unordered_map<int, std::string> names_;
};

}  // namespace gorgone::net
