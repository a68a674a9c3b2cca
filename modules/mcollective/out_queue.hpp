#pragma once
// What waits to be sent on one connection: messages as they were given, shared with the queues of others, which become frames and are
// sealed no earlier than the socket takes them. Answers go ahead of all messages that have not been begun. Without I/O; on the loop.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "curve_box.hpp"
#include "transport.hpp"

namespace gorgone::mcollective {

/// Eight bytes, the highest first.
std::string number_text(std::uint64_t number);

class OutQueue {
 public:
  static constexpr std::size_t portion = 65536;  ///< bytes of the wire that are made at a time

  OutQueue();
  ~OutQueue();
  /// After the handshake.
  void set_key(std::optional<BoxKey> key) { key_ = std::move(key); }

  /// The number of the message, from 1.
  std::uint64_t push(SharedFrames message);
  /// Goes ahead of messages, behind earlier answers, and has no number.
  void push_answer(SharedFrames answer);
  /// While it is held, no message is begun; answers are.
  void hold(bool is_held) { is_held_ = is_held; }
  /// Behind all that was pushed; its context is the number of the last message, which is returned.
  std::uint64_t push_ping();
  /// Behind the message that is being made. One that was not made yet is replaced: only the newest is of use.
  void set_pong(std::string context) { pong_ = std::move(context); }

  /// Makes the next bytes for the wire, at most `portion`, and returns how many. 0 where nothing may go out, or where a long message needs
  /// more work before its first byte: see has_work().
  std::size_t make(char* out);
  bool has_work() const { return pong_ || is_begun() || !answers_.is_empty() || (!is_held_ && !messages_.is_empty()); }
  /// All that was made has been given to the kernel; how many messages and answers that were.
  std::size_t sent();

  std::uint64_t pushed() const { return pushed_; }
  std::uint64_t sent_messages() const { return sent_; }
  Transport::Waiting waiting() const {
    return {static_cast<std::size_t>(pushed_ - sent_), static_cast<std::size_t>(answers_pushed_ - answers_sent_), bytes_, sent_};
  }

 private:
  struct Long;  // a frame that does not fit into a portion
  struct Item {
    SharedFrames message;  // nothing: a PING
    std::uint64_t number;  // 0: an answer
    std::size_t bytes;
  };
  struct Line {
    std::vector<Item> items;
    std::size_t first = 0;
    bool is_empty() const { return first == items.size(); }
    const Item& front() const { return items[first]; }
    void drop_front();
  };

  bool is_begun() const { return frame_ > 0 || long_ != nullptr; }
  Line* next_line();
  std::size_t make_item(char* out, std::size_t room);
  std::size_t make_frame(char* out, std::size_t room, const std::string& frame, bool more);
  std::size_t make_long(char* out, std::size_t room, const std::string& frame);
  std::size_t make_command(char* out, const std::string& body);

  std::optional<BoxKey> key_;
  std::uint64_t nonce_ = 1;  // that of READY
  Line messages_, answers_;
  Line* line_ = nullptr;   // whose first item is being made
  std::size_t frame_ = 0;  // of that item
  std::unique_ptr<Long> long_;
  std::optional<std::string> pong_;
  bool is_held_ = false;
  std::uint64_t pushed_ = 0, made_ = 0, sent_ = 0;
  std::uint64_t answers_pushed_ = 0, answers_made_ = 0, answers_sent_ = 0;
  std::size_t bytes_ = 0, made_bytes_ = 0;
};

}  // namespace gorgone::mcollective
