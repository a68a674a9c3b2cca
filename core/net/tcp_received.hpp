#pragma once
// What the kernel counts of a TCP connection. In a file of its own, for the kernel's header and the C library's exclude each other. Any
// thread.

#include <cstdint>
#include <optional>

namespace gorgone::net {

struct TcpMoved {
  std::uint64_t acknowledged = 0, received = 0;
  std::uint64_t beyond = 0;  ///< what the other side has behind something that was lost, about
};

/// Bytes that the other side has acknowledged, and that have come, since the connection was made; 0 where it is no TCP connection.
TcpMoved bytes_moved(int connection);
/// How many bytes have come over it since it was made, read or not; nothing where it is no TCP connection.
std::optional<std::uint64_t> bytes_received(int connection);
/// How many bytes this process has written to it since it was made, sent or not.
std::optional<std::uint64_t> bytes_written(int connection);

}  // namespace gorgone::net
