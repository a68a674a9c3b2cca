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
  std::size_t bytes = 0;
  for (const auto& frame : *message) bytes += frame.size();
  bytes_ += bytes;
  items_.push_back({std::move(message), ++pushed_, bytes});
  return pushed_;
}

std::uint64_t OutQueue::push_ping() {
  items_.push_back({nullptr, pushed_, 0});
  return pushed_;
}

std::size_t OutQueue::make(char* out) {
  std::size_t size = 0;
  while (!is_empty()) {
    // A command must not come between the frames of a message.
    if (pong_ && frame_ == 0 && !long_) {
      if (portion - size < 128) break;
      size += make_command(out + size, "\4PONG" + *pong_);
      pong_.reset();
      continue;
    }
    const auto made = make_item(out + size, portion - size);
    if (made == 0) break;
    size += made;
  }
  return size;
}

// What fits of the first item; 0 where nothing does.
std::size_t OutQueue::make_item(char* out, std::size_t room) {
  const auto& item = items_[first_];
  if (!item.message) {
    if (room < 128) return 0;
    const auto size = make_command(out, ping_command(item.number));
    drop_first();
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
  ++made_;
  made_bytes_ += item.bytes;
  drop_first();
  return size;
}

std::size_t OutQueue::make_frame(char* out, std::size_t room, const std::string& frame, bool more) {
  if (long_) return make_long(out, room);
  const auto overhead = zmtp::frame_head_max + (key_ ? sealed_overhead : 0);
  if (room < frame.size() + overhead) {
    if (frame.size() + overhead <= portion || room < portion) return 0;
    long_ = std::make_unique<Long>();
    if (!key_) return zmtp::write_frame_head(out, more ? zmtp::flag_more : 0, frame.size());
    long_->sealer.emplace(*key_, ++nonce_, more ? sealed_more : 0, frame);
    return make_long(out, room);
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

std::size_t OutQueue::make_long(char* out, std::size_t room) {
  const auto& frame = (*items_[first_].message)[frame_];
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

void OutQueue::drop_first() {
  items_[first_].message.reset();
  ++first_;
  frame_ = 0;
  if (first_ == items_.size()) {
    if (items_.capacity() > kept_room)
      items_ = {};
    else
      items_.clear();
    first_ = 0;
  } else if (first_ >= kept_room && first_ >= items_.size() / 2) {
    items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

void OutQueue::sent() {
  sent_ = made_;
  bytes_ -= made_bytes_;
  made_bytes_ = 0;
}

}  // namespace gorgone::mcollective
