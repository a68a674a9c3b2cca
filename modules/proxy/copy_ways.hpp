#pragma once
// What the copies to other nodes need of the proxy. On the loop.

#include <gorgone/message.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace gorgone::proxy {

/// How a sender learns how far a copy is.
enum class Pace {
  rows,    ///< history rows of the receiver come at once: it and all before it are ours
  polled,  ///< they come when asked for: a deployed node behind another
  answers  ///< the node answers each message: a deployed neighbour
};

struct CopyWay {
  std::string node;    ///< to send to; empty: this node itself
  std::string target;  ///< as that node must see it
  Pace pace = Pace::rows;
};

class CopyWays {
 public:
  virtual ~CopyWays() = default;
  /// Nothing while the target cannot be reached.
  virtual std::optional<CopyWay> way_to(const std::string& target) = 0;
  /// Sends a piece; what becomes of it is told by bulk_answered().
  virtual Result<void> send_piece(const CopyWay& way, Message message) = 0;
  virtual void withdraw(const CopyWay& way, const std::string& token) = 0;
  virtual void fetch_log(const std::string& target) = 0;
  /// Whether copies of folders to the target are the module content's work.
  virtual bool runs_content(const std::string& target) = 0;
  /// Sends a message that has waited for copies.
  virtual void release(Message message, std::int64_t left_s) = 0;
  /// The outbox has been given a message of this id.
  virtual void stored(const std::string& delivery, const Result<bool>& is_new) = 0;
  /// Tells that a message is not taken: by a history row and the answer.
  virtual void refuse_copy(const Message& message, const Reply& reply, const Error& why, bool is_passed_on) = 0;
};

}  // namespace gorgone::proxy
