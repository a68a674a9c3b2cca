#include "core/net/tcp_received.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace gorgone::net {

std::optional<std::uint64_t> bytes_received(int connection) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(connection, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  return info.tcpi_bytes_received;
}

}  // namespace gorgone::net
