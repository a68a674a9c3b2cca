#include "out_queue.hpp"

#include <algorithm>
#include <cstring>

#include "zmtp_text.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::string_view message_name = "\7MESSAGE";
constexpr std::size_t nonce_size = 8, sealed_overhead = message_name.size() + nonce_size + BoxKey::tag_size + 1;
constexpr unsigned sealed_more = 1, sealed_command = 2;
constexpr std::size_t prepared_at_once = 4 * OutQueue::portion;
constexpr std::size_t kept_room = 64;  // items whose room an empty queue keeps

std::size_t write_sealed_head(char* out, std::size_t frame, std::uint64_t nonce) {
  auto size = zmtp::write_frame_head(out, 0, frame + sealed_overhead);
  std::memcpy(out + size, message_name.data(), message_name.size());
  size += message_name.size();
  for (int shift = 56; shift >= 0; shift -= 8) out[size++] = static_cast<char>(nonce >> shift);
  return size;
}

std::size_t size_of(const Frames& frames) {
  std::size_t bytes = 0;
  for (const auto& frame : frames) bytes += frame.size();
  return bytes;
}

std::string ping_command(std::uint64_t number) {
  std::string body = "\4PING";
  body.append(2, '\0');  // it need not end the connection where we are silent
  return body + number_text(number);
}

}  // namespace

std::string number_text(std::uint64_t number) {
  std::string text;
  for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(number >> shift);
  return text;
}

struct OutQueue::Long {
  std::optional<BoxSealer> sealer;
  bool is_prepared = false;
  std::size_t sent = 0;  // of a plain frame
};

OutQueue::OutQueue() = default;
OutQueue::~OutQueue() = default;

std::uint64_t OutQueue::push(SharedFrames message) {
  const auto bytes = size_of(*message);
  bytes_ += bytes;
  messages_.items.push_back({std::move(message), ++pushed_, bytes});
  return pushed_;
}

void OutQueue::push_answer(SharedFrames answer) {
  const auto bytes = size_of(*answer);
  bytes_ += bytes;
  ++answers_pushed_;
  answers_.items.push_back({std::move(answer), 0, bytes});
}

std::uint64_t OutQueue::push_ping() {
  messages_.items.push_back({nullptr, pushed_, 0});
  return pushed_;
}

// What has been begun is ended first: the frames of a message belong together.
OutQueue::Line* OutQueue::next_line() {
  if (is_begun()) return line_;
  if (!answers_.is_empty()) return &answers_;
  return is_held_ || messages_.is_empty() ? nullptr : &messages_;
}

std::size_t OutQueue::make(char* out) {
  std::size_t size = 0;
  while (has_work()) {
    // A command must not come between the frames of a message.
    if (pong_ && !is_begun()) {
      if (portion - size < 128) break;
      size += make_command(out + size, "\4PONG" + *pong_);
      pong_.reset();
      continue;
    }
    line_ = next_line();
    const auto made = make_item(out + size, portion - size);
    if (made == 0) break;
    size += made;
  }
  return size;
}

// What fits of the line's first item; 0 where nothing does.
std::size_t OutQueue::make_item(char* out, std::size_t room) {
  const auto& item = line_->front();
  if (!item.message) {
    if (room < 128) return 0;
    const auto size = make_command(out, ping_command(item.number));
    line_->drop_front();
    return size;
  }
  std::size_t size = 0;
  const auto& frames = *item.message;
  while (frame_ < frames.size()) {
    const auto made = make_frame(out + size, room - size, frames[frame_], frame_ + 1 < frames.size());
    size += made;
    if (made == 0 || long_) return size;
    ++frame_;
  }
  ++(item.number == 0 ? answers_made_ : made_);
  made_bytes_ += item.bytes;
  frame_ = 0;
  line_->drop_front();
  return size;
}

std::size_t OutQueue::make_frame(char* out, std::size_t room, const std::string& frame, bool more) {
  if (long_) return make_long(out, room, frame);
  const auto overhead = zmtp::frame_head_max + (key_ ? sealed_overhead : 0);
  if (room < frame.size() + overhead) {
    if (frame.size() + overhead <= portion || room < portion) return 0;
    long_ = std::make_unique<Long>();
    if (!key_) return zmtp::write_frame_head(out, more ? zmtp::flag_more : 0, frame.size());
    long_->sealer.emplace(*key_, ++nonce_, more ? sealed_more : 0, frame);
    return make_long(out, room, frame);
  }
  if (!key_) {
    const auto size = zmtp::write_frame_head(out, more ? zmtp::flag_more : 0, frame.size());
    std::memcpy(out + size, frame.data(), frame.size());
    return size + frame.size();
  }
  const auto size = write_sealed_head(out, frame.size(), ++nonce_);
  key_->seal(out + size, more ? sealed_more : 0, frame, nonce_);
  return size + BoxKey::tag_size + 1 + frame.size();
}

std::size_t OutQueue::make_long(char* out, std::size_t room, const std::string& frame) {
  std::size_t size = 0;
  if (!long_->sealer) {
    size = std::min(room, frame.size() - long_->sent);
    std::memcpy(out, frame.data() + long_->sent, size);
    long_->sent += size;
    if (long_->sent == frame.size()) long_.reset();
    return size;
  }
  auto& sealer = *long_->sealer;
  if (!long_->is_prepared) {
    long_->is_prepared = sealer.prepare(prepared_at_once);
    if (!long_->is_prepared) return 0;
    size = write_sealed_head(out, frame.size(), nonce_);
  }
  while (sealer.left() > 0 && room - size >= 64) size += sealer.read(out + size, room - size);
  if (sealer.left() == 0) long_.reset();
  return size;
}

std::size_t OutQueue::make_command(char* out, const std::string& body) {
  if (!key_) {
    const auto size = zmtp::write_frame_head(out, zmtp::flag_command, body.size());
    std::memcpy(out + size, body.data(), body.size());
    return size + body.size();
  }
  const auto size = write_sealed_head(out, body.size(), ++nonce_);
  key_->seal(out + size, sealed_command, body, nonce_);
  return size + BoxKey::tag_size + 1 + body.size();
}

void OutQueue::Line::drop_front() {
  items[first].message.reset();
  ++first;
  if (first == items.size()) {
    if (items.capacity() > kept_room)
      items = {};
    else
      items.clear();
    first = 0;
  } else if (first >= kept_room && first >= items.size() / 2) {
    items.erase(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(first));
    first = 0;
  }
}

std::size_t OutQueue::sent() {
  const auto count = made_ - sent_ + answers_made_ - answers_sent_;
  sent_ = made_;
  answers_sent_ = answers_made_;
  bytes_ -= made_bytes_;
  made_bytes_ = 0;
  return static_cast<std::size_t>(count);
}

}  // namespace gorgone::mcollective
