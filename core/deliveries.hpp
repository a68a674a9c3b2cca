#pragma once
// Messages that come with a delivery id (docs/protocol.md, DELIVER): each is in the journal before it is acknowledged, and runs once,
// however often it is sent and whenever the daemon ends. On the loop.

#include <gorgone/message.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

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
  /// `held_for`: for so long from resume() on a journal that cannot be read keeps out what comes, which may have run before. Who locks its
  /// file for longer does not keep the node from its work. `grace`: for so long what is too old at the start may yet be none: the clock may
  /// be ahead.
  Deliveries(boost::asio::io_context& loop, Journal& journal, Router& router, std::chrono::seconds held_for = std::chrono::seconds(60),
             std::chrono::seconds grace = std::chrono::minutes(5));

  /// A DELIVER, whatever its target.
  void take(const Message& wrapped, Reply reply);
  /// The modules are there: what was taken before the daemon ended runs, in its order, unless its time is over; until then what comes is
  /// kept waiting. While the journal cannot be read it is asked again, and what comes is refused for now.
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
  void read();
  void run_older(std::vector<StoredMessage> list);
  void look_at_late();
  void read_again(const Error& why);
  void let_in();

  Journal& journal_;
  Router& router_;
  const std::chrono::seconds held_for_, grace_;
  std::chrono::steady_clock::time_point held_until_{};
  bool is_resumed_ = false;
  bool is_unread_ = false;  // nobody knows which ids the journal has
  std::map<Way, Refused> refused_;
  std::vector<std::pair<Message, Reply>> waiting_;
  std::vector<StoredMessage> late_;  // by the clock
  std::chrono::steady_clock::time_point late_until_{};
  boost::asio::steady_timer timer_, late_timer_;
};

}  // namespace gorgone
