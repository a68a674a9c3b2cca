#include "core/net/tcp_received.hpp"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace gorgone::net {

namespace {

std::optional<tcp_info> info_of(int connection) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(connection, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  return info;
}

}  // namespace

TcpMoved bytes_moved(int connection) {
  const auto info = info_of(connection);
  if (!info) return {};
  return {info->tcpi_bytes_acked, info->tcpi_bytes_received, std::uint64_t{info->tcpi_sacked} * info->tcpi_snd_mss};
}

std::optional<std::uint64_t> bytes_received(int connection) {
  const auto info = info_of(connection);
  if (!info) return {};
  return info->tcpi_bytes_received;
}

std::optional<std::uint64_t> bytes_written(int connection) {
  int queued = 0;
  if (::ioctl(connection, SIOCOUTQ, &queued) != 0) return {};
  const auto info = info_of(connection);
  if (!info) return {};
  return info->tcpi_bytes_acked + static_cast<std::uint64_t>(queued);
}

}  // namespace gorgone::net
