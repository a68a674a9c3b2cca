// The sending half of a connection.

#include "connection.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace gorgone::mcollective {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr int rounds = 4;  // before others have their turn

}  // namespace

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

}  // namespace gorgone::mcollective
