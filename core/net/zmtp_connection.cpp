#include "core/net/zmtp_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <gorgone/link.hpp>
#include <gorgone/log.hpp>

#include <array>

#include "core/net/tcp_received.hpp"
#include "core/wire/zmtp.hpp"

namespace gorgone::net {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::size_t unsent_max = std::size_t{64} << 20;
constexpr std::size_t portion = std::size_t{1} << 20;  // read at a time, so that nobody else waits long
// A peer that acknowledges nothing for so long is gone; one that is idle is asked by the kernel. The kernel counts from its first
// repetition. When that is lost as the last packet, nothing more is sent before the end (who has met long round trips repeats rarely), and
// five seconds after a path's return its node is to be usable.
constexpr int unacknowledged_ms_max = 4000, idle_s = 30, probe_every_s = 5, probes = 2;

std::string code_of(const error_code& error) {
  namespace errors = boost::asio::error;
  if (error == errors::connection_refused) return down::refused;
  if (error == errors::host_unreachable || error == errors::network_unreachable || error == errors::timed_out) return down::no_route;
  return down::lost;
}

}  // namespace

// Outlives the ZmtpConnection by the handlers that are still queued; `open` tells them that it is gone.
struct ZmtpConnection::State : std::enable_shared_from_this<State> {
  State(boost::asio::io_context& loop, Spec the_spec, Events the_events)
      : spec(std::move(the_spec)),
        events(std::move(the_events)),
        socket(loop),
        machine(spec.routing_id, spec.frame_size_max),
        quiet(loop) {}

  std::string peer() const {
    const auto address = spec.peer.address().to_string();
    return (spec.peer.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(spec.peer.port());
  }

  void connect() {
    error_code error;
    socket.open(spec.peer.protocol(), error);
    if (error) return fail_later(Error{"no socket for a connection to " + peer() + ": " + error.message(), down::lost});
    socket.non_blocking(true, error);
    socket.set_option(tcp::no_delay(true), error);
    socket.set_option(tcp::socket::keep_alive(true), error);
    set(TCP_KEEPIDLE, idle_s);
    set(TCP_KEEPINTVL, probe_every_s);
    set(TCP_KEEPCNT, probes);
    socket.async_connect(spec.peer, [self = shared_from_this()](const error_code& failed) {
      if (!self->open) return;
      if (failed) return self->lost(Error{"no connection to " + self->peer() + ": " + failed.message(), code_of(failed)});
      self->connected = true;
      // Not before: how long a connection may take is its owner's business.
      self->set(TCP_USER_TIMEOUT, unacknowledged_ms_max);
      if (self->events.connected) self->events.connected();
      self->write(wire::ZmtpClient::greeting());
      self->wait_to_read();
    });
  }

  void set(int option, int value) { setsockopt(socket.native_handle(), IPPROTO_TCP, option, &value, sizeof value); }

  void wait_to_read() {
    socket.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& failed) {
      if (self->open && !failed && self->read()) self->wait_to_read();
    });
  }

  // False where the connection is over.
  bool read() {
    // One for all connections: on one thread, and of no use between two calls.
    static std::array<char, 65536> bytes;
    for (std::size_t total = 0; total < portion;) {
      error_code error;
      const auto size = socket.read_some(boost::asio::buffer(bytes), error);
      if (error == boost::asio::error::would_block) return true;
      if (error) {
        const bool is_end = error == boost::asio::error::eof;
        lost(Error{"the connection to " + peer() + " ended: " + (is_end ? "closed by the node" : error.message()), code_of(error)});
        return false;
      }
      total += size;
      if (!perform(machine.on_bytes({bytes.data(), size}))) return false;
    }
    return true;
  }

  bool perform(wire::ZmtpClient::Steps steps) {
    using Machine = wire::ZmtpClient;
    for (auto& step : steps) {
      if (auto* send = std::get_if<Machine::Send>(&step))
        write(send->bytes);
      else if (std::get_if<Machine::Ready>(&step)) {
        watch_quiet();
        events.ready();
      } else if (auto* received = std::get_if<Machine::Received>(&step))
        events.frame(received->frame);
      else if (auto* failed = std::get_if<Machine::Failed>(&step))
        lost(Error{peer() + ": " + failed->why.message, failed->why.code});
      if (!open) return false;
    }
    return true;
  }

  // Only who sends learns that the path is gone (TCP_USER_TIMEOUT), and connects anew.
  void watch_quiet() {
    if (spec.quiet_max.count() == 0) return;
    quiet.expires_at(spoke + spec.quiet_max);
    quiet.async_wait([self = shared_from_this()](const error_code& failed) {
      if (failed || !self->open) return;
      if (Clock::now() >= self->spoke + self->spec.quiet_max) self->write(wire::ZmtpClient::ping());
      if (self->open) self->watch_quiet();
    });
  }

  void write(std::string_view bytes) {
    spoke = Clock::now();
    out += bytes;
    flush();
  }

  // Sends what the kernel takes and waits for it to take the rest.
  void flush() {
    if (writing) return;
    while (sent < out.size()) {
      error_code error;
      const auto size = socket.write_some(boost::asio::buffer(out.data() + sent, out.size() - sent), error);
      sent += size;
      written += size;
      if (error == boost::asio::error::would_block) return wait_to_write();
      // Whoever sends is told later; reading would tell it too.
      if (error) return fail_later(Error{"the connection to " + peer() + " ended: " + error.message(), code_of(error)});
    }
    out = std::string();
    sent = 0;
  }

  void wait_to_write() {
    writing = true;
    out.erase(0, sent);
    sent = 0;
    socket.async_wait(tcp::socket::wait_write, [self = shared_from_this()](const error_code& failed) {
      self->writing = false;
      if (self->open && !failed) self->flush();
    });
  }

  void fail_later(Error why) {
    boost::asio::post(socket.get_executor(), [self = shared_from_this(), why = std::move(why)] {
      if (self->open) self->lost(why);
    });
  }

  void lost(const Error& why) {
    close();
    // The call may destroy the owner's functions.
    const auto tell = std::move(events.lost);
    tell(why);
  }

  void close() {
    open = false;
    quiet.cancel();
    error_code ignored;
    socket.close(ignored);
  }

  Spec spec;
  Events events;
  tcp::socket socket;
  wire::ZmtpClient machine;
  std::string out;
  std::size_t sent = 0;
  std::uint64_t written = 0;  // to the kernel, ever
  Clock::time_point spoke{};  // when it sent anything last
  boost::asio::steady_timer quiet;
  bool open = true, connected = false, writing = false;
};

ZmtpConnection::ZmtpConnection(boost::asio::io_context& loop, Spec spec, Events events)
    : state_(std::make_shared<State>(loop, std::move(spec), std::move(events))) {
  state_->connect();
}

ZmtpConnection::~ZmtpConnection() {
  if (state_->open) state_->close();
}

Result<void> ZmtpConnection::send(std::string_view frame) {
  auto& state = *state_;
  if (!state.open || !state.machine.is_ready()) return Error{"the connection to " + state.peer() + " is not made"};
  // One that is larger goes alone.
  if (!state.out.empty() && state.out.size() + frame.size() > unsent_max) return Error{state.peer() + " takes no more", "busy"};
  wire::ZmtpClient::append_frame(state.out, frame);
  state.spoke = Clock::now();
  state.flush();
  return {};
}

LinkFlow ZmtpConnection::flow() const {
  auto& state = *state_;
  if (!state.open) return {};
  const auto moved = bytes_moved(state.socket.native_handle());
  return {state.written + state.out.size() - state.sent, moved.acknowledged, moved.received};
}

Error ZmtpConnection::delay() const {
  if (!state_->connected)
    return Error{"no answer from " + state_->peer() + " to a connection: packets are dropped on the way, or the machine is off",
                 down::no_route};
  return Error{state_->peer() + " takes connections, but is mute: it does not greet as ZeroMQ does", down::mute};
}

}  // namespace gorgone::net
