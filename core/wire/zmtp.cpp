#include "core/wire/zmtp.hpp"

#include <gorgone/link.hpp>
#include <gorgone/log.hpp>

#include <algorithm>
#include <cstdint>

namespace gorgone::wire {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t greeting_size = 64, version_at = 10, mechanism_at = 12, mechanism_size = 20;
constexpr unsigned flag_more = 1, flag_long = 2, flag_command = 4, flags_known = 7;
constexpr std::string_view signature = "\xff\0\0\0\0\0\0\0\1\x7f"sv;
constexpr std::size_t ping_context_max = 16;
constexpr std::size_t command_size_max = 65536;  // READY of libzmq has less than 400

unsigned byte_of(std::string_view bytes, std::size_t at) { return static_cast<unsigned char>(bytes[at]); }

void append_number(std::string& out, std::uint64_t number, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(number >> (8 * i));
}

void append(std::string& out, std::string_view body, unsigned flags) {
  if (body.size() > 255) {
    out += static_cast<char>(flags | flag_long);
    append_number(out, body.size(), 8);
  } else {
    out += static_cast<char>(flags);
    append_number(out, body.size(), 1);
  }
  out += body;
}

void append_property(std::string& out, std::string_view name, std::string_view value) {
  append_number(out, name.size(), 1);
  out += name;
  append_number(out, value.size(), 4);
  out += value;
}

}  // namespace

std::string ZmtpClient::greeting() {
  std::string text(signature);
  text += "\3\0NULL"sv;
  text.resize(greeting_size, '\0');
  return text;
}

std::string ZmtpClient::ready_command() const {
  std::string body = "\5READY";
  append_property(body, "Socket-Type", "DEALER");
  append_property(body, "Identity", routing_id_);
  std::string out;
  append(out, body, flag_command);
  return out;
}

// The peer is not to give the connection up by itself: a time to live of 0.
std::string ZmtpClient::ping() {
  std::string out;
  append(out, "\4PING\0\0"sv, flag_command);
  return out;
}

void ZmtpClient::append_frame(std::string& out, std::string_view frame) { append(out, frame, 0); }

ZmtpClient::Steps ZmtpClient::on_bytes(std::string_view bytes) {
  Steps steps;
  const bool is_joined = !pending_.empty();
  if (is_joined) bytes = pending_ += bytes;
  const auto size = bytes.size();
  while (state_ != State::failed) {
    const auto taken = take(bytes, steps);
    if (taken == 0) break;
    bytes.remove_prefix(taken);
  }
  if (bytes.empty() || state_ == State::failed)
    pending_ = std::string();  // a connection that says nothing holds no memory
  else if (is_joined)
    pending_.erase(0, size - bytes.size());
  else
    pending_ = bytes;
  return steps;
}

// What the first message takes of `bytes`; 0 where it has not come whole.
std::size_t ZmtpClient::take(std::string_view bytes, Steps& steps) {
  return state_ == State::greeting ? take_greeting(bytes, steps) : take_frame(bytes, steps);
}

std::size_t ZmtpClient::take_greeting(std::string_view bytes, Steps& steps) {
  // What can be seen to be wrong is told before all has come: who speaks another protocol may never send so much.
  if (!bytes.empty() && byte_of(bytes, 0) != 0xff)
    return fail(steps, "it does not speak ZeroMQ: it greets with " + printable(bytes, 40), down::mute);
  if (bytes.size() > 9 && (byte_of(bytes, 9) & 1) == 0) return fail(steps, "it speaks ZMTP 1, expected ZMTP 3 (ZeroMQ 4)", down::mute);
  if (bytes.size() > version_at && byte_of(bytes, version_at) < 3)
    return fail(steps, fmt::format("it speaks ZMTP {}, expected ZMTP 3 (ZeroMQ 4)", byte_of(bytes, version_at)), down::mute);
  if (bytes.size() < greeting_size) return 0;
  const auto mechanism = bytes.substr(mechanism_at, mechanism_size);
  if (mechanism.substr(0, 5) != "NULL\0"sv)
    return fail(steps, "it asks for the mechanism " + printable(mechanism.substr(0, mechanism.find('\0'))) + " of ZeroMQ, expected NULL",
                down::mute);
  state_ = State::handshake;
  steps.push_back(Send{ready_command()});
  return greeting_size;
}

std::size_t ZmtpClient::take_frame(std::string_view bytes, Steps& steps) {
  if (bytes.size() < 2) return 0;
  const auto flags = byte_of(bytes, 0);
  if ((flags & ~flags_known) != 0) return fail(steps, fmt::format("it sent what is no frame of ZMTP: flags {:#x}", flags), down::mute);
  const std::size_t head = (flags & flag_long) != 0 ? 9 : 2;
  if (bytes.size() < head) return 0;
  std::uint64_t size = 0;
  for (std::size_t i = 1; i < head; ++i) size = size << 8 | byte_of(bytes, i);
  const bool is_command = (flags & flag_command) != 0;
  if ((is_command || state_ != State::ready) && size > command_size_max)
    return fail(steps, fmt::format("it sends a command of {} bytes, at most {} are taken", size, command_size_max), down::mute);
  if (size > frame_size_max_)
    return fail(steps,
                fmt::format("it sends a frame of {} bytes, at most {} are taken (gorgonecore.max_answer_size)", size, frame_size_max_));
  if (bytes.size() - head < size) return 0;
  const auto body = bytes.substr(head, size);
  const auto whole = head + size;
  if (is_command) {
    on_command(body, steps);
  } else if (state_ != State::ready) {
    return fail(steps, "it sent a message before it was ready", down::mute);
  } else {
    // A message of several frames is dropped whole.
    const bool more = (flags & flag_more) != 0;
    if (!more && !is_dropping_) steps.push_back(Received{std::string(body)});
    is_dropping_ = more;
  }
  return state_ == State::failed ? 0 : whole;
}

void ZmtpClient::on_command(std::string_view body, Steps& steps) {
  const auto name = body.empty() ? body : body.substr(1, byte_of(body, 0));
  if (name == "ERROR") {
    fail(steps, "it refused the connection: " + printable(body.substr(std::min<std::size_t>(body.size(), 7)), 80), down::other);
  } else if (state_ == State::handshake) {
    if (name != "READY") {
      fail(steps, "it sent " + printable(name, 40) + " where READY was expected", down::mute);
      return;
    }
    state_ = State::ready;
    steps.push_back(Ready{});
  } else if (name == "PING" && body.size() >= 7) {
    std::string answer = "\4PONG", out;
    answer += body.substr(7, ping_context_max);
    append(out, answer, flag_command);
    steps.push_back(Send{std::move(out)});
  }
}

std::size_t ZmtpClient::fail(Steps& steps, std::string why, std::string code) {
  state_ = State::failed;
  steps.push_back(Failed{Error{std::move(why), std::move(code)}});
  return 0;
}

}  // namespace gorgone::wire
