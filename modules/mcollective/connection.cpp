#include "connection.hpp"

#include <fmt/format.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
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
constexpr int rounds = 4;  // of reading or writing, before others have their turn
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

Connection::Connection(Owner& owner, Transport::Counters& counters, Socket socket, ConnectionId id, const KeyPair* keys,
                       std::size_t message_bytes_max)
    : owner_(&owner), counters_(counters), socket_(std::move(socket)), id_(id), machine_(keys, {message_bytes_max}) {
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
    if (is_closing_) continue;
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
  const auto loop = socket_.get_executor();
  owner_->on_pool([self = shared_from_this(), loop]() mutable {
    self->machine_.compute();
    boost::asio::post(loop, [self = std::move(self)] {
      self->is_computing_ = false;
      if (self->is_open_ && !self->is_closing_) self->process_held();
    });
  });
}

bool Connection::introduce(ZmtpServer::Introduced introduced) {
  peer_.named_itself = !introduced.routing_id.empty();
  peer_.routing_id = peer_.named_itself ? std::move(introduced.routing_id) : own_routing_id(id_);
  peer_.key = to_z85(introduced.key);
  auto refusal = owner_->admit(peer_);
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

std::uint64_t Connection::send(SharedFrames frames) {
  if (!is_admitted_ || is_closing_) return 0;
  const auto number = queue_.push(std::move(frames));
  if (room_ > 0 && queue_.waiting().bytes > room_) is_over_room_ = true;
  if (!is_writing_) owner_->flush_soon(*this);
  return number;
}

void Connection::tell_room(std::size_t bytes) {
  room_ = bytes;
  is_over_room_ = queue_.waiting().bytes > room_;
}

void Connection::confirm() {
  if (is_closing_) return;
  if (!machine_.answers_ping()) {
    confirm_until_ = queue_.pushed();
    wants_look_ = true;
    set_mark();
    owner_->look_soon(*this);
    return;
  }
  if (has_ping_) {
    wants_ping_ = true;
    return;
  }
  has_ping_ = true;
  ping_ = queue_.push_ping();
  owner_->flush_soon(*this);
}

void Connection::on_pong(const std::string& context) {
  if (!has_ping_) return;
  // Old ones of libzmq answer without the context.
  if (!context.empty() && context != number_text(ping_)) return;
  has_ping_ = false;
  const auto number = ping_;
  if (wants_ping_) {
    wants_ping_ = false;
    confirm();
  }
  owner_->on_taken(*this, number);
}

void Connection::pause() { is_paused_ = true; }

void Connection::resume() {
  if (!is_paused_) return;
  is_paused_ = false;
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->is_open_ && !self->is_paused_ && !self->is_computing_) self->process_held();
  });
}

void Connection::send_bytes(std::string_view bytes) {
  out_ += bytes;
  if (!is_writing_) owner_->flush_soon(*this);
}

// False where the connection is over.
bool Connection::write(const char* bytes, std::size_t size, std::size_t& written) {
  const auto result = ::send(socket_.native_handle(), bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  written = result < 0 ? 0 : static_cast<std::size_t>(result);
  if (result < 0 && errno != EAGAIN && errno != EINTR) {
    end(Error{std::string("the connection broke: ") + std::strerror(errno)});
    return false;
  }
  written_ += written;
  counters_.bytes_out += written;
  return true;
}

void Connection::flush() {
  static std::array<char, OutQueue::portion> bytes;
  if (!is_open_ || is_writing_) return;
  for (int round = 0; round < rounds; ++round) {
    const bool is_held = !out_.empty();
    const auto size = is_held ? out_.size() : queue_.make(bytes.data());
    if (size == 0) break;
    std::size_t written = 0;
    if (!write(is_held ? out_.data() : bytes.data(), size, written)) return;
    if (written < size) {
      if (is_held)
        out_.erase(0, written);
      else
        out_.assign(bytes.data() + written, size - written);
      wait_to_write();
      break;
    }
    out_ = std::string();
    const auto before = queue_.sent_messages();
    queue_.sent();
    counters_.messages_out += queue_.sent_messages() - before;
  }
  after_write();
  if (!is_open_ || is_writing_) return;
  if (!queue_.is_empty()) {
    owner_->flush_soon(*this);
  } else if (is_closing_ && !is_shut_) {
    // What it has not read yet must not be lost to a reset, which closing would bring if we had not read all that it sent.
    is_shut_ = true;
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
}

void Connection::wait_to_write() {
  is_writing_ = true;
  socket_.async_wait(tcp::socket::wait_write, [self = shared_from_this()](const error_code& failed) {
    self->is_writing_ = false;
    if (self->is_open_ && !failed) self->flush();
  });
}

void Connection::after_write() {
  set_mark();
  if (!is_over_room_ || queue_.waiting().bytes > room_ / 2) return;
  is_over_room_ = false;
  owner_->on_room(*this);
}

// Up to here, and when so many bytes are acknowledged, the messages were taken by the client's kernel.
void Connection::set_mark() {
  if (!wants_look_ || has_mark_) return;
  has_mark_ = true;
  mark_ = queue_.sent_messages();
  mark_at_ = written_;
}

bool Connection::look() {
  if (is_open_ && is_closing_ && Clock::now() >= closing_until_) end(Error{why_closing_});
  if (!is_open_ || is_closing_) return is_open_;
  int unacknowledged = 0;
  if (!has_mark_ || ioctl(socket_.native_handle(), SIOCOUTQ, &unacknowledged) != 0) return wants_look_;
  if (written_ - static_cast<std::uint64_t>(unacknowledged) < mark_at_) return true;
  has_mark_ = false;
  const auto number = mark_;
  wants_look_ = number < confirm_until_;
  set_mark();
  owner_->on_taken(*this, number);
  return wants_look_;
}

void Connection::close() {
  is_open_ = false;
  error_code ignored;
  socket_.close(ignored);
}

void Connection::close_after_queue(const std::string& why) {
  if (is_closing_) return;
  is_closing_ = true;
  is_paused_ = false;
  why_closing_ = why;
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
