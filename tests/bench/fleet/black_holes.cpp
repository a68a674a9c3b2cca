#include "tests/bench/fleet/black_holes.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace bench::fleet {
namespace {

void check(int outcome, const char* what) {
  if (outcome < 0) throw std::system_error(errno, std::generic_category(), what);
}

// On every loopback address and on no other network. Without a backlog it is bound and does not listen.
int bound(int backlog, std::uint16_t& port) {
  const int handle = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  check(handle, "socket");
  check(setsockopt(handle, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), "SO_BINDTODEVICE lo");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  check(bind(handle, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  if (backlog >= 0) check(listen(handle, backlog), "listen");
  socklen_t size = sizeof address;
  check(getsockname(handle, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  port = ntohs(address.sin_port);
  return handle;
}

int connection_to(std::uint16_t port) {
  const int handle = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  check(handle, "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(handle, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 && errno != EINPROGRESS) check(-1, "connect");
  return handle;
}

}  // namespace

BlackHoles::BlackHoles()
    : mute_(bound(4096, mute_port_)),
      dropping_(bound(0, dropping_port_)),
      refusing_(bound(-1, refusing_port_)),
      poll_(epoll_create1(EPOLL_CLOEXEC)) {
  for (int& handle : full_) handle = connection_to(dropping_port_);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = mute_;
  check(epoll_ctl(poll_, EPOLL_CTL_ADD, mute_, &event), "epoll_ctl");
  thread_ = std::thread([this] { swallow(); });
}

BlackHoles::~BlackHoles() {
  ending_ = true;
  thread_.join();
  for (const int handle : {mute_, dropping_, refusing_, poll_, full_[0], full_[1]}) close(handle);
}

void BlackHoles::swallow() {
  epoll_event events[64];
  char bytes[4096];
  while (!ending_) {
    const int count = epoll_wait(poll_, events, 64, 100);
    for (int i = 0; i < count; ++i) {
      const int handle = events[i].data.fd;
      if (handle != mute_) {
        if (read(handle, bytes, sizeof bytes) <= 0) close(handle);
        continue;
      }
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = accept4(mute_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (event.data.fd >= 0) epoll_ctl(poll_, EPOLL_CTL_ADD, event.data.fd, &event);
    }
  }
}

}  // namespace bench::fleet
