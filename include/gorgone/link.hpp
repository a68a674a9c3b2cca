#pragma once
// Ways to reach a node. A link module offers a LinkFactory; the proxy owns the table of nodes and opens a link by
// the node's `type`. Everything here lives on the loop.

#include <gorgone/config.hpp>
#include <gorgone/message.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace gorgone {

/// What the register file, a REGISTERNODES message or the database says of a node.
struct NodeSpec {
  std::string id;
  std::string type;  ///< push_zmq, pull, wss, push_ssh …
  std::string address;
  std::uint16_t port = 5556;
  std::string server_pubkey, client_pubkey, client_privkey;  ///< files; empty: ask, own keys
  std::string identity;                                      ///< pull: its routing id
  json::object extra;                                        ///< the other members, ssh_* among them

  friend bool operator==(const NodeSpec&, const NodeSpec&) = default;
};

/// Why a link is down, as the `code` of the Error in link_down(); CONSTATUS tells it as `why`.
namespace down {
inline constexpr const char* name = "name";                    ///< the address is a name that leads nowhere
inline constexpr const char* refused = "refused";              ///< the address answers, but nothing listens at the port
inline constexpr const char* no_route = "no_route";            ///< no way to the address, or nothing answers from there
inline constexpr const char* mute = "mute";                    ///< something takes connections, but answers nothing
inline constexpr const char* handshake = "handshake_refused";  ///< a key or token is not taken: ours by the peer, or its by us
inline constexpr const char* key_changed = "key_changed";      ///< the peer's key, or secret, is not the pinned or configured one
inline constexpr const char* lost = "lost";                    ///< it was up and is being made anew
inline constexpr const char* awaited = "awaited";              ///< the node is the one to dial, and has not yet
inline constexpr const char* other = "other";
}  // namespace down

/// What a link tells its owner. Never called from inside a call of the owner to the link.
class GORGONE_API LinkOwner {
 public:
  virtual ~LinkOwner() = default;
  /// Messages can be sent.
  virtual void link_up() = 0;
  /// Nothing can be sent any more; what was sent and not answered may be lost. The link tries again by itself.
  virtual void link_down(const Error& why) = 0;
  /// After a send() that found no room on a link that is up: there is room again.
  virtual void link_has_room() {}
  /// A message of the node, in the order it sent them.
  virtual void link_received(Message message) = 0;
  /// The node is the one to connect and is away: somebody who said he is that node was not let in. It may be the node itself, or anybody.
  virtual void offer_refused(const Error& /*why*/) {}
};

/// One way to one node. It connects when made and ends when destroyed.
class GORGONE_API Link {
 public:
  virtual ~Link() = default;
  /// Sends at once; an Error where the link is not up or will take no more now. The message's target is as the node must see it.
  virtual Result<void> send(const Message& message) = 0;
  /// Drops the connection and makes a new one, with a new session.
  virtual void reset(const std::string& why) = 0;
  /// Whether the node takes raw bytes (Payload), as its last pong says; until then, and where the link cannot carry them, it gets text.
  virtual void set_takes_raw(bool /*takes_raw*/) {}
  virtual bool is_up() const = 0;
  /// True where every request is answered, in order: push_zmq; false for pull and wss, whose deployed
  /// nodes answer PING and GETLOG alone.
  virtual bool answers_requests() const = 0;
  /// False where nothing of the node's own, no key, secret or token, shows that it is the one it says it is: others may be let in as it.
  virtual bool is_bound() const { return true; }
  /// The routing id of the connection; empty where there is none.
  virtual std::string identity() const { return {}; }
};

class GORGONE_API LinkFactory {
 public:
  virtual ~LinkFactory() = default;
  /// An Error where `node` says too little to be reached. `owner` outlives the link.
  virtual Result<std::unique_ptr<Link>> open(const NodeSpec& node, LinkOwner& owner) = 0;
};

/// The encrypted ZeroMQ client of docs/protocol.md, for modules that dial: push_zmq, pull.
struct DialSpec {
  std::string endpoint;                                      ///< "tcp://address:port"
  std::string routing_name;                                  ///< "gorgone-proxy-1-2": a random suffix is added for each new connection
  std::string server_pubkey, client_pubkey, client_privkey;  ///< files; empty: ask the server, the agent's own
  std::string node = {};                                     ///< id of the node it leads to, for messages; empty: it is none
};

/// The rest of the daemon's way to other nodes, offered by the proxy.
class GORGONE_API Gateway {
 public:
  virtual ~Gateway() = default;
  /// Takes a message whose target is another node; answers as soon as it is taken or refused.
  virtual void forward(Message message, Reply reply) = 0;
  /// node id → state, as CONSTATUS and PONG tell it.
  virtual json::object constatus() const = 0;
  /// Fetches the node's new history rows; wishes made while a request is under way share the next one. `done` comes when the
  /// rows are stored, or with an Error where the node cannot be asked now.
  virtual void fetch_log(const std::string& node, std::function<void(Result<void>)> done) = 0;
  virtual bool knows(const std::string& node) const = 0;
  /// True where the node has said that it has a feature ("delivery", "content"; docs/protocol.md), itself or by those that lead to it;
  /// false while nothing is known of it.
  virtual bool has_feature(const std::string& node, const std::string& feature) const = 0;
  /// Takes a message to this node itself that is a copy, or has to wait until the copies to this node before it have ended
  /// (after_copies; docs/protocol.md, "Remote copy"); false where it is neither: then it is untouched.
  virtual bool hold(Message& /*message*/, Reply& /*reply*/) { return false; }
  /// The same for a message that may come again under the same delivery id, until its acceptance is noted where it comes from: it is taken
  /// once.
  virtual bool hold_once(Message& /*message*/, Reply& /*reply*/) { return false; }
};

}  // namespace gorgone
