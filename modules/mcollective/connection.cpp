#include "connection.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <boost/asio/post.hpp>

#include <array>
#include <cerrno>
#include <cstring>

namespace gorgone::mcollective {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t read_at_once = 65536;
constexpr int rounds = 4;  // before others have their turn
// The kernel is given little more than it sends: what waits here can still be overtaken by an answer.
constexpr int unsent_in_kernel = 65536;
constexpr int idle_s = 30, probe_every_s = 10, probes = 3, unacknowledged_ms_max = 60000;
constexpr auto closing_limit = std::chrono::seconds(1);

std::string text_of(boost::asio::ip::address address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6());
  return address.is_v6() ? fmt::format("[{}]", address.to_string()) : address.to_string();
}

// A name for who gives none; no client may take one that begins with a zero.
std::string own_routing_id(ConnectionId id) { return std::string(1, '\0') + number_text(id); }

}  // namespace

Connection::Connection(Owner& owner, Transport::Counters& counters, Socket socket, ConnectionId id, std::shared_ptr<const KeyPair> keys,
                       std::size_t message_bytes_max)
    : owner_(&owner),
      counters_(counters),
      socket_(std::move(socket)),
      id_(id),
      keys_(std::move(keys)),
      machine_(keys_.get(), {message_bytes_max}) {
  error_code error;
  const auto from = socket_.remote_endpoint(error);
  host_ = text_of(from.address());
  peer_.address = host_ + ":" + std::to_string(from.port());
}

void Connection::start() {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.set_option(tcp::socket::keep_alive(true), ignored);
  const auto set = [this](int option, int value) { setsockopt(socket_.native_handle(), IPPROTO_TCP, option, &value, sizeof value); };
  set(TCP_KEEPIDLE, idle_s);
  set(TCP_KEEPINTVL, probe_every_s);
  set(TCP_KEEPCNT, probes);
  set(TCP_USER_TIMEOUT, unacknowledged_ms_max);
  set(TCP_NOTSENT_LOWAT, unsent_in_kernel);
  send_bytes(machine_.greeting());
  wait_to_read();
}

void Connection::wait_to_read() {
  if (is_reading_ || is_paused_ || is_computing_ || !is_open_) return;
  is_reading_ = true;
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& failed) {
    self->is_reading_ = false;
    if (self->is_open_ && !failed && self->read()) self->wait_to_read();
  });
}

// False where the connection is over.
bool Connection::read() {
  // One for all connections: on one thread, and of no use between two calls.
  static std::array<char, read_at_once> bytes;
  for (int round = 0; round < rounds && !is_paused_ && !is_computing_ && in_.empty(); ++round) {
    const auto size = recv(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (size <= 0) {
      end(Error{is_closing_ ? why_closing_
                : size == 0 ? "it closed the connection"
                            : std::string("the connection broke: ") + std::strerror(errno)});
      return false;
    }
    counters_.bytes_in += static_cast<std::uint64_t>(size);
    if (is_closing_) {
      // It is awake, and will close when it has read what is on its way: it may write before, and closing would reset it then.
      parting_until_ = closing_until_;
      continue;
    }
    process({bytes.data(), static_cast<std::size_t>(size)});
    if (!is_open_) return false;
    if (static_cast<std::size_t>(size) < bytes.size()) return true;
  }
  return true;
}

void Connection::process(std::string_view bytes) {
  while (is_open_ && !is_closing_) {
    if (is_paused_ || is_computing_) {
      in_ = bytes;
      return;
    }
    auto step = machine_.next(bytes);
    if (!perform(std::move(step))) return;
  }
}

void Connection::process_held() {
  const auto held = std::move(in_);
  in_ = std::string();
  process(held);
  wait_to_read();
}

// False where nothing follows for now.
bool Connection::perform(ZmtpServer::Step step) {
  using Machine = ZmtpServer;
  if (auto* received = std::get_if<Machine::Received>(&step)) {
    ++counters_.messages_in;
    owner_->on_message(*this, std::move(received->frames));
  } else if (std::get_if<Machine::More>(&step)) {
    return false;
  } else if (auto* bytes = std::get_if<Machine::Send>(&step)) {
    send_bytes(bytes->bytes);
  } else if (std::get_if<Machine::Compute>(&step)) {
    compute();
  } else if (auto* introduced = std::get_if<Machine::Introduced>(&step)) {
    return introduce(std::move(*introduced));
  } else if (auto* ping = std::get_if<Machine::Ping>(&step)) {
    queue_.set_pong(std::move(ping->context));
    owner_->flush_soon(*this);
  } else if (auto* pong = std::get_if<Machine::Pong>(&step)) {
    on_pong(pong->context);
  } else if (auto* failed = std::get_if<Machine::Failed>(&step)) {
    if (failed->answer.empty()) {
      end(failed->why);
    } else {
      send_bytes(failed->answer);
      close_after_queue(failed->why.message);
    }
    return false;
  }
  return is_open_;
}

void Connection::compute() {
  is_computing_ = true;
  has_spoken_ = true;
  const auto loop = socket_.get_executor();
  owner_->on_pool([self = shared_from_this(), loop]() mutable {
    self->machine_.compute();
    boost::asio::post(loop, [self = std::move(self)] {
      self->is_computing_ = false;
      self->its_turn_since_ = Clock::now();
      if (self->is_open_ && !self->is_closing_) self->process_held();
    });
  });
}

bool Connection::introduce(ZmtpServer::Introduced introduced) {
  peer_.named_itself = !introduced.routing_id.empty();
  peer_.routing_id = peer_.named_itself ? std::move(introduced.routing_id) : own_routing_id(id_);
  peer_.key = to_z85(introduced.key);
  auto refusal = owner_->admit(peer_);
  is_refused_ = refusal.has_value();
  if (!is_open_) return false;
  if (refusal && refusal->code.empty()) {
    end(refusal->why);
    return false;
  }
  if (refusal) {
    machine_.refuse(std::move(refusal->why), refusal->code);
    return true;
  }
  machine_.accept();
  queue_.set_key(machine_.sending_key());
  std::string_view none;
  if (!perform(machine_.next(none))) return false;  // READY
  is_admitted_ = true;
  owner_->on_opened(*this);
  return is_open_;
}

void Connection::pause() { is_paused_ = true; }

void Connection::resume() {
  if (!is_paused_) return;
  is_paused_ = false;
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->is_open_ && !self->is_paused_ && !self->is_computing_) self->process_held();
  });
}

void Connection::close() {
  if (!is_open_) return;
  left_ = count_untaken();
  is_open_ = false;
  error_code ignored;
  socket_.close(ignored);
}

void Connection::close_after_queue(const std::string& why) {
  if (is_closing_) return;
  is_closing_ = true;
  is_paused_ = false;
  in_ = std::string();
  why_closing_ = why;
  queue_.hold(false);
  closing_until_ = Clock::now() + closing_limit;
  owner_->flush_soon(*this);
  owner_->look_soon(*this);
  wait_to_read();
}

void Connection::end(const Error& why) {
  if (!is_open_) return;
  close();
  owner_->on_ended(*this, why);
}

}  // namespace gorgone::mcollective
