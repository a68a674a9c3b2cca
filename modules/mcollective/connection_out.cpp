// The sending half of a connection.

#include "connection.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace gorgone::mcollective {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

constexpr int rounds = 4;  // before others have their turn
constexpr std::size_t sent_marks_max = 32;
constexpr auto parting_limit = std::chrono::milliseconds(200);

}  // namespace

std::uint64_t Connection::send(SharedFrames frames) {
  if (!is_admitted_ || is_closing_) return 0;
  const auto number = queue_.push(std::move(frames));
  if (room_ > 0 && queue_.waiting().bytes > room_) is_over_room_ = true;
  if (!is_writing_) owner_->flush_soon(*this);
  return number;
}

void Connection::answer(SharedFrames frames) {
  if (!is_admitted_ || is_closing_) return;
  queue_.push_answer(std::move(frames));
  if (!is_writing_) owner_->flush_soon(*this);
}

void Connection::hold(bool is_held) {
  if (is_closing_) return;
  queue_.hold(is_held);
  if (!is_held && !is_writing_) owner_->flush_soon(*this);
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
    counters_.messages_out += queue_.sent();
    note_sent(before);
  }
  after_write();
  if (!is_open_ || is_writing_) return;
  if (queue_.has_work()) {
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

void Connection::note_sent(std::uint64_t messages_before) {
  if (queue_.sent_messages() == messages_before) return;
  if (sent_.size() == sent_marks_max) {
    const auto taken = acknowledged();
    const auto first = std::find_if(sent_.begin(), sent_.end(), [taken](const Sent& sent) { return sent.bytes > taken; });
    if (first - sent_.begin() > 1) sent_.erase(sent_.begin(), first - 1);
    // The kernel has much: we know it less exactly then.
    for (std::size_t i = 1; sent_.size() > sent_marks_max / 2 && i < sent_.size(); ++i)
      sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  sent_.push_back({written_, queue_.sent_messages()});
}

// How many bytes of the wire the client's kernel has.
std::uint64_t Connection::acknowledged() {
  int unacknowledged = 0;
  if (ioctl(socket_.native_handle(), SIOCOUTQ, &unacknowledged) != 0) return written_;
  return written_ - static_cast<std::uint64_t>(unacknowledged);
}

Transport::Waiting Connection::count_untaken() {
  auto left = queue_.waiting();
  const auto taken = acknowledged();
  if (sent_.empty() || taken >= sent_.back().bytes) return left;
  std::uint64_t messages = 0;
  for (const auto& sent : sent_)
    if (sent.bytes <= taken) messages = sent.messages;
  left.messages += static_cast<std::size_t>(left.sent - messages);
  left.sent = messages;
  return left;
}

// It closes when it has read all. One that is frozen does not, though its kernel may have all of it and nothing is left to be sent.
bool Connection::has_parted() {
  const auto now = Clock::now();
  if (now >= closing_until_) return true;
  if (!is_shut_ || acknowledged() < written_) return false;
  if (parting_until_ == Clock::time_point{}) parting_until_ = now + parting_limit;
  return now >= parting_until_;
}

bool Connection::look() {
  if (is_open_ && is_closing_ && has_parted()) end(Error{why_closing_});
  if (!is_open_ || is_closing_) return is_open_;
  if (!has_mark_) return wants_look_;
  if (acknowledged() < mark_at_) return true;
  has_mark_ = false;
  const auto number = mark_;
  wants_look_ = number < confirm_until_;
  set_mark();
  owner_->on_taken(*this, number);
  return wants_look_;
}

}  // namespace gorgone::mcollective
