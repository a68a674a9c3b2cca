#include "core/net/stranger_watch.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/posix/stream_descriptor.hpp>

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>
#include <ctime>
#include <optional>

#include "core/net/tcp_received.hpp"
#include "core/net/zmq_socket.hpp"

namespace gorgone::net {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

// While bytes come, and while none do. What the network brings in the longer one is beyond the bound for that time.
constexpr milliseconds pause_min = 20ms, pause_max = 50ms;
// While there are no strangers: an idle daemon with its links up has nothing else to wake for.
constexpr milliseconds pause_quiet = 500ms;
// What was cut off is given back by the library's thread, and until then it is not held against others.
constexpr milliseconds giving_back = 100ms, giving_back_max = 2s;
// Looking at very many strangers takes no more than this part of the time.
constexpr int share_of_time = 20;

constexpr int handshake_failures =
    ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

using Clock = std::chrono::steady_clock;

std::int64_t now_ms() { return std::chrono::duration_cast<milliseconds>(Clock::now().time_since_epoch()).count(); }

// Of this thread: a moment in which others have the processor is no reason to look more rarely, while strangers go on sending.
std::chrono::nanoseconds time_worked() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

struct Address {
  int port = 0;
  std::string host;
};

std::optional<Address> address_in(const sockaddr_storage& storage) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_INET) {
    const auto& at = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &at.sin_addr, text.data(), text.size());
    return Address{ntohs(at.sin_port), text.data()};
  }
  if (storage.ss_family != AF_INET6) return {};
  const auto& at = reinterpret_cast<const sockaddr_in6&>(storage);
  ::inet_ntop(AF_INET6, &at.sin6_addr, text.data(), text.size());
  return Address{ntohs(at.sin6_port), text.data()};
}

template <class Name>
std::optional<Address> address_of(Name name, int connection) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (name(connection, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  return address_in(storage);
}

}  // namespace

struct StrangerWatch::Descriptor {
  boost::asio::posix::stream_descriptor stream;  // the monitor's own: released, never closed
};

StrangerWatch::StrangerWatch(boost::asio::io_context& loop, zmq::context_t& context, zmq::socket_t& socket, StrangerLedger::Limits limits,
                             Newcomers::Limits newcomers, Owner owner)
    : timer_(loop),
      socket_(socket.handle()),
      monitor_(context, zmq::socket_type::pair),
      limits_(limits),
      ledger_(limits),
      newcomers_(newcomers),
      owner_(std::move(owner)),
      pause_(pause_max) {
  // Without a bound: the library's thread would wait for us at one.
  monitor_.set(zmq::sockopt::rcvhwm, 0);
  monitor_.set(zmq::sockopt::linger, 0);
  const auto name = fmt::format("inproc://strangers-{}", fmt::ptr(this));
  constexpr int events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | handshake_failures;
  if (zmq_socket_monitor(socket_, name.c_str(), events) != 0) throw zmq::error_t();
  monitor_.connect(name);
  readable_ = std::make_unique<Descriptor>(Descriptor{boost::asio::posix::stream_descriptor(loop, monitor_.get(zmq::sockopt::fd))});
}

StrangerWatch::~StrangerWatch() {
  // First: an event that nobody takes would stop the library's thread.
  zmq_socket_monitor(socket_, nullptr, 0);
  readable_->stream.release();
}

void StrangerWatch::start(const std::string& endpoint) {
  const auto port = std::string_view(endpoint).substr(endpoint.rfind(':') + 1);
  std::from_chars(port.data(), port.data() + port.size(), port_);
  look();
  wait_for_monitor();
}

void StrangerWatch::wait_for_monitor() {
  readable_->stream.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                               [this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
                                 if (error || alive.expired()) return;
                                 look();
                                 wait_for_monitor();
                               });
}

void StrangerWatch::look() {
  std::set<int> gone, newcomers;
  const auto now = now_ms();
  for (;;) {
    zmq::message_t event, address;
    if (!uninterrupted([&] { return monitor_.recv(event, zmq::recv_flags::dontwait); })) break;
    if (event.more()) (void)uninterrupted([&] { return monitor_.recv(address); });
    if (event.size() < sizeof(std::uint16_t) + sizeof(std::int32_t)) continue;
    std::uint16_t kind = 0;
    std::int32_t connection = 0;
    std::memcpy(&kind, event.data(), sizeof kind);
    std::memcpy(&connection, static_cast<const char*>(event.data()) + sizeof kind, sizeof connection);
    // Of a handshake it is no connection that is told: what fails is told right before that connection's end, by the same thread.
    if (kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
      newcomers_.greeted();
      continue;
    }
    if ((kind & handshake_failures) != 0) {
      newcomers_.failed(kind == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL ? Newcomers::Failure::other : Newcomers::Failure::protocol,
                        static_cast<std::uint32_t>(connection));
      continue;
    }
    owner_.has_ended(connection);
    if (kind == ZMQ_EVENT_ACCEPTED) {
      ledger_.came(connection);
      newcomers_.came(connection, now);
      gone.erase(connection);
      newcomers.insert(connection);
    } else {
      if (const auto refusal = newcomers_.left(connection, now)) owner_.was_refused(*refusal);
      ledger_.left(connection);
      gone.insert(connection);
      newcomers.erase(connection);
    }
  }
  ask_for_addresses(newcomers);
  // What was read since the last look may have come over the next connection of the same number.
  for (const int connection : gone) owner_.is_gone(connection);
  const auto nodes = owner_.nodes();
  cut(ledger_.crowd(nodes), [this, nodes](std::uint64_t) {
    return fmt::format("cut off as the oldest of more than {} connections without a session (max_strangers{})", limits_.connections + nodes,
                       nodes > 0 ? ", and one for each node of type pull" : "");
  });
  if (ledger_.has_strangers() && (!is_armed_ || is_quiet_)) arm(pause_ = pause_min);
  if (!ledger_.empty() && !is_armed_) arm(pause_quiet);
}

void StrangerWatch::tell_ended() {
  for (const auto& refusal : newcomers_.due(now_ms())) owner_.was_refused(refusal);
}

// The number may be that of another socket by now: of ours are those with the listener's port.
bool StrangerWatch::is_ours(int connection) const {
  const auto own = address_of(&::getsockname, connection);
  return own && own->port == port_;
}

std::optional<std::uint64_t> StrangerWatch::written(int connection) const {
  return is_ours(connection) ? bytes_written(connection) : std::nullopt;
}

TcpMoved StrangerWatch::moved(int connection) const { return is_ours(connection) ? bytes_moved(connection) : TcpMoved(); }

void StrangerWatch::look_at(const std::vector<int>& connections) {
  for (const int connection : connections) {
    const auto bytes = is_ours(connection) ? bytes_received(connection) : std::nullopt;
    if (bytes) {
      ledger_.received(connection, *bytes, now_ms());
      newcomers_.received(connection, *bytes);
    } else {
      ledger_.left(connection);
    }
  }
}

// At once: the kernel does not know it any more when a connection has ended.
void StrangerWatch::ask_for_addresses(const std::set<int>& connections) {
  for (const int connection : connections) {
    if (!is_ours(connection)) continue;
    if (auto peer = address_of(&::getpeername, connection)) newcomers_.is_from(connection, std::move(peer->host), peer->port);
    if (const auto bytes = bytes_received(connection)) newcomers_.received(connection, *bytes);
  }
}

void StrangerWatch::cut(const std::vector<StrangerLedger::Cut>& list, const std::function<std::string(std::uint64_t bytes)>& why) {
  for (const auto& [connection, bytes] : list) {
    if (!is_ours(connection)) continue;
    const auto peer = address_of(&::getpeername, connection);
    newcomers_.forget(connection);
    ::shutdown(connection, SHUT_RDWR);
    cut_lately_.push_back({Clock::now(), bytes});
    if (peer)
      owner_.was_refused({peer->host, fmt::format("{}:{}", peer->host, peer->port), why(bytes)});
    else
      owner_.was_refused({{}, "an unknown address", why(bytes)});
  }
}

// Connections with a session are looked at only where memory has grown: ten thousand of them cost no time.
void StrangerWatch::measure_growth() {
  if (Clock::now() < growth_again_) return;
  std::erase_if(cut_lately_, [now = Clock::now()](const auto& entry) { return entry.first + giving_back_max < now; });
  std::uint64_t explained = 0;
  for (const auto& [when, bytes] : cut_lately_) explained += StrangerLedger::swell_usual * bytes;
  auto grown = growth_.measure(limits_.bytes);
  if (grown <= limits_.bytes + explained) return;
  grown -= explained;
  look_at(ledger_.with_session());
  const auto swollen = ledger_.swollen(grown);
  cut(swollen, [&](std::uint64_t bytes) {
    return fmt::format(
        "cut off with {} bytes of a message that does not end, of very many parts: memory has grown by {} bytes, expected {} at most "
        "(max_strangers_bytes)",
        bytes, grown, limits_.bytes);
  });
  if (!swollen.empty())
    growth_again_ = Clock::now() + giving_back;
  else if (!ledger_.has_suspects())
    growth_.begin();  // it went elsewhere
}

void StrangerWatch::measure() {
  const auto begin = time_worked();
  look_at(ledger_.strangers());
  // Before the cut: what is left after it may be the same each time, however much comes.
  const bool comes = ledger_.held() != last_sum_;
  cut(ledger_.surplus(), [this](std::uint64_t bytes) {
    return fmt::format(
        "cut off with {} bytes of a message that does not end, for all who have no session may hold {} (max_strangers_bytes)", bytes,
        limits_.bytes);
  });
  measure_growth();
  last_sum_ = ledger_.held();
  pause_ = comes ? pause_min : std::min(2 * pause_, ledger_.has_strangers() ? pause_max : pause_quiet);
  const auto rest = std::chrono::duration_cast<milliseconds>(share_of_time * (time_worked() - begin));
  if (!ledger_.empty()) arm(std::max(pause_, rest));
}

void StrangerWatch::arm(milliseconds pause) {
  is_armed_ = true;
  is_quiet_ = !ledger_.has_strangers();
  timer_.expires_after(pause);
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    look();
    is_armed_ = false;
    measure();
  });
}

}  // namespace gorgone::net
