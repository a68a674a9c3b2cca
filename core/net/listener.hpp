#pragma once
// The listening socket (external_com_*): a ROUTER, its sessions, RSA work on the pool, answers sealed for whom they belong to.
// wire/server_sessions decides, this class performs. Lives on the loop.

#include <gorgone/log.hpp>
#include <gorgone/message.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <zmq.hpp>

#include "core/journal/journal_file.hpp"
#include "core/net/answer_queue.hpp"
#include "core/net/client_link.hpp"
#include "core/net/handshake_queue.hpp"
#include "core/net/key_ring.hpp"
#include "core/net/outflow.hpp"
#include "core/net/stranger_watch.hpp"
#include "core/net/zmq_socket.hpp"
#include "core/wire/server_sessions.hpp"

namespace gorgone::net {

struct ListenerSpec {
  std::string path;  ///< external_com_path: "*:5555"
  bool handover = true;
  int tcp_keepalive = 1;
  bool ipv6 = false;
  std::int64_t max_message_size = 0;
  std::int64_t max_strangers_bytes = 0;  ///< of unfinished messages of all connections without a session; one message at least
  std::size_t max_strangers = 0;         ///< connections without a session
  std::size_t max_unread_bytes = 0;      ///< answers of one client; more, and its session ends
  wire::ServerSessions::Config sessions;
};

class Listener final : private ClientSessions {
 public:
  using Pool = std::function<void(std::function<void()>)>;
  struct Pools {
    Pool handshakes;  ///< RSA
    Pool answers;     ///< the sealing of long ones
  };
  using Submit = std::function<void(Message, Reply)>;

  Listener(boost::asio::io_context& loop, zmq::context_t& context, std::shared_ptr<const KeyRing> keys, JournalFile& journal, Pools pools,
           Submit submit);
  ~Listener() override;

  /// Binds; an Error names the option. Sessions of the journal are read first.
  Result<void> start(const ListenerSpec& spec);
  const std::string& endpoint() const { return endpoint_; }
  /// A message to a client's session; an Error where it has none.
  Result<void> send(const std::string& routing_id, std::string text);

  bool is_open() const { return !endpoint_.empty(); }
  /// A link over a client's session; see Agent::client_link().
  std::unique_ptr<Link> attach(const std::string& routing_id, LinkOwner& owner) { return links_.attach(routing_id, owner); }
  /// Whether the session is that of a node.
  bool is_node(const std::string& routing_id) const { return links_.is_node(routing_id); }

  /// Sends a message to every client that has sent a PING lately and does not hold a question for our rows.
  void tell_parents(const Message& message);

 private:
  State state(const std::string& routing_id) const override;
  Sent send_text(const std::string& routing_id, std::string text, wire::Form form) override;
  LinkFlow flow(const std::string& routing_id) const override;
  void on_message(Frames frames);
  void perform(const std::string& routing_id, int connection, wire::ServerSessions::Steps steps);
  void on_gone(int connection);
  void answer(const std::string& routing_id, Answer answer);
  void seal_and_send(const std::string& routing_id, std::shared_ptr<const Answer> answer);
  void verify_next();
  /// How many nodes may dial us: as many as are registered, and at least as many as had dialled us before the start.
  std::size_t nodes() const { return std::max(links_.nodes(), known_at_start_); }
  void save(const std::string& routing_id);
  void restore(const std::vector<StoredSession>& stored);
  ZmqSocket::Sent give(const std::string& routing_id, const std::string& frame, std::uint64_t waiting_max);
  AnswerQueue::Pushed transmit(const std::string& routing_id, std::string frame);
  void transmit_in_the_clear(const std::string& routing_id, const std::string& frame);
  /// Whether a message has come under its session's key.
  bool is_used(const std::string& routing_id) const;
  void cut_off(const std::string& routing_id, const std::string& why);
  void retry_later(std::int64_t pause_ms);
  void tick();
  void forget_parents();
  void log_opened(const std::string& name, const std::string& routing_id);
  void log_refusal(const std::string& routing_id, const std::string& why);
  /// `key` is whose lines are counted together.
  void log_refusal(std::string_view what, const std::string& key, const std::string& peer, const std::string& why);

  boost::asio::io_context& loop_;
  zmq::context_t& context_;
  std::shared_ptr<const KeyRing> keys_;
  JournalFile& journal_;
  Pools pools_;
  Submit submit_;
  Log log_{"core"};
  std::string endpoint_;
  int padding_ = 1;
  std::int64_t idle_s_ = 0, started_s_ = 0;
  std::size_t known_at_start_ = 0;  // nodes that have dialled us before the start
  std::size_t link_bytes_max_ = 0;  // what a link may leave unread before it takes no more
  std::unique_ptr<wire::ServerSessions> sessions_;
  std::optional<zmq::socket_t> bound_;  // until the stored sessions are known
  std::unique_ptr<ZmqSocket> socket_;
  std::unique_ptr<StrangerWatch> strangers_;  // after both: it looks at their socket
  Outflow outflow_;
  HandshakeQueue handshakes_;
  std::unique_ptr<AnswerQueue> answers_;
  ClientLinks links_;
  boost::asio::steady_timer timer_, retry_timer_;
  bool retrying_ = false;
  std::unordered_map<std::string, int> refusals_of_;       // lines logged for a peer since the last tick
  std::int64_t refusals_silent_ = 0, opened_ = 0;          // since the last tick
  std::unordered_map<std::string, std::int64_t> parents_;  // routing id → when it sent its last PING
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::net
