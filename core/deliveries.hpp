#pragma once
// Messages that come with a delivery id (docs/protocol.md, DELIVER): each is in the journal before it is acknowledged, and runs once,
// however often it is sent and whenever the daemon ends. On the loop.

#include <gorgone/message.hpp>

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
  void accept(Message message, Reply reply);
  void run(Message message);
  void give_up(const StoredMessage& message);

  Journal& journal_;
  Router& router_;
  bool is_resumed_ = false;
  std::vector<std::pair<Message, Reply>> waiting_;
};

}  // namespace gorgone
