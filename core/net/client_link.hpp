#pragma once
// Links over the sessions that clients have with our listener: nodes that dial us (pull). Such a link is up while its client is connected
// and has a session. ZeroMQ does not tell when a client comes back, so a link that is down sends a PING now and then, and is up
// as soon as anything comes. Lives on the loop; the sessions are the listener's.

#include "core/wire/session_cipher.hpp"

#include <gorgone/flow_watch.hpp>
#include <gorgone/link.hpp>
#include <gorgone/log.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace gorgone::net {

/// What links need of the listener.
class ClientSessions {
 public:
  virtual ~ClientSessions() = default;
  enum class State {
    none,    ///< there is no session
    silent,  ///< one of the time before our last start, which has not spoken since
    heard,
  };
  virtual State state(const std::string& routing_id) const = 0;
  enum class Sent { yes, full, no_route };
  virtual Sent send_text(const std::string& routing_id, std::string text, wire::Form form = wire::Form::base64) = 0;
  virtual LinkFlow flow(const std::string& routing_id) const = 0;
};

class ClientLink;

/// The links there are, by routing id; what the listener tells of a client is passed on to its link.
class ClientLinks {
 public:
  ClientLinks(boost::asio::io_context& loop, ClientSessions& sessions) : loop_(loop), sessions_(sessions) {}

  /// The newest link over a session gets what its client sends.
  std::unique_ptr<Link> attach(const std::string& routing_id, LinkOwner& owner);

  /// Anything has come under the session's key.
  void heard(const std::string& routing_id);
  /// Whether the session is a node's.
  bool is_node(const std::string& routing_id) const { return links_.contains(routing_id); }
  /// How many nodes may dial us.
  std::size_t nodes() const { return nodes_; }
  /// Takes a message that is for the link's owner: answers (PONG, SETLOGS, ACK) and SYNCLOGS. False where it is not.
  bool take(const std::string& routing_id, Message& message);
  /// A session of before the last start is known again.
  void restored(const std::string& routing_id);
  /// The client has opened its session anew: what was under way to it is lost.
  void renewed(const std::string& routing_id);
  /// It is not connected any more, its session goes on.
  void gone(const std::string& routing_id);
  void ended(const std::string& routing_id, const std::string& why);

 private:
  friend class ClientLink;
  ClientLink* find(const std::string& routing_id) const;

  boost::asio::io_context& loop_;
  ClientSessions& sessions_;
  std::unordered_map<std::string, ClientLink*> links_;
  std::size_t nodes_ = 0;
};

class ClientLink final : public Link, public HasFlow {
 public:
  ClientLink(ClientLinks& links, std::string routing_id, LinkOwner& owner);
  ~ClientLink() override;

  Result<void> send(const Message& message) override;
  void set_takes_raw(bool takes_raw) override { takes_raw_ = takes_raw; }
  /// Only the client can connect anew: the link is down until it speaks.
  void reset(const std::string& why) override;
  bool is_up() const override { return up_; }
  bool answers_requests() const override { return false; }
  std::string identity() const override { return routing_id_; }
  LinkFlow flow() const override { return links_.sessions_.flow(routing_id_); }

  // For ClientLinks; the owner may destroy the link within each.
  void heard();
  void received(Message message) { owner_.link_received(std::move(message)); }
  void fall(Error why);
  void probe();

 private:
  void begin();
  void tell();
  void arm(std::chrono::milliseconds pause);
  template <class F>
  void later(F f);

  ClientLinks& links_;
  std::string routing_id_;
  LinkOwner& owner_;
  Log log_{"core"};
  bool up_ = false, takes_raw_ = false;
  std::optional<Error> untold_;  // why it is down, until the owner is told
  boost::asio::steady_timer timer_;
  int unreached_ = 0;  // probes in a row that found no connection
  std::chrono::milliseconds pause_{0};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::net
