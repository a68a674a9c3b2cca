#pragma once
// Messages that come with a delivery id (docs/protocol.md, DELIVER): each is in the journal before it is acknowledged, and runs once,
// however often it is sent and whenever the daemon ends. On the loop.

#include <gorgone/message.hpp>

#include <chrono>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/router.hpp"

namespace gorgone {

class Deliveries {
 public:
  Deliveries(Journal& journal, Router& router) : journal_(journal), router_(router) {}

  /// A DELIVER, whatever its target.
  void take(const Message& wrapped, Reply reply);
  /// The modules are there: what was taken before the daemon ended runs, in its order, unless its time is over; until then what comes is
  /// kept waiting.
  void resume();

 private:
  /// Whose messages for which node, and whether they are pieces of copies, which others overtake.
  using Way = std::tuple<std::string, std::string, bool>;
  static Way way_of(const Message& message) { return {message.origin.id, message.target, message.action == "PROCESSCOPY"}; }
  /// The first message of a way that was refused for now: it comes again, and those behind it must not come before it.
  struct Refused {
    std::string delivery;
    std::chrono::steady_clock::time_point until;
  };
  /// The reply, after a look at whether the message was refused for now.
  Reply watched(const Message& message, Reply reply);
  bool must_wait(const Way& way, const std::string& delivery);
  void accept(Message message, Reply reply);
  void run(Message message);
  void give_up(const StoredMessage& message);

  Journal& journal_;
  Router& router_;
  bool is_resumed_ = false;
  std::map<Way, Refused> refused_;
  std::vector<std::pair<Message, Reply>> waiting_;
};

}  // namespace gorgone
