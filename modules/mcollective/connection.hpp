#pragma once
// One client's TCP connection: performs what ZmtpServer and OutQueue decide. Lives on the loop; only the sums of the handshake are done on
// the pool. Held by the transport and by what is still queued for it; `Owner` is left alone once close() was called.

#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "out_queue.hpp"
#include "transport.hpp"
#include "zmtp_server.hpp"

namespace gorgone::mcollective {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Clock = std::chrono::steady_clock;

  /// What the transport does for its connections. None is called from inside a call of the transport.
  class Owner {
   public:
    struct Refusal {
      Error why;
      std::string code;  ///< for the client, see ZmtpServer::refuse(); empty: it is closed without a word
    };
    virtual ~Owner() = default;
    virtual std::optional<Refusal> admit(const Peer& peer) = 0;
    virtual void on_opened(Connection& connection) = 0;
    virtual void on_message(Connection& connection, Frames frames) = 0;
    virtual void on_taken(Connection& connection, std::uint64_t number) = 0;
    virtual void on_room(Connection& connection) = 0;
    /// It is over; the socket is closed.
    virtual void on_ended(Connection& connection, const Error& why) = 0;
    virtual void on_pool(std::function<void()> work) = 0;
    /// To call flush() soon, after what else is to be done now.
    virtual void flush_soon(Connection& connection) = 0;
    /// To call look() now and then until it returns false, because of an answer that the peer cannot give, or of a time that ends.
    virtual void look_soon(Connection& connection) = 0;
  };

  Connection(Owner& owner, Transport::Counters& counters, Socket socket, ConnectionId id, std::shared_ptr<const KeyPair> keys,
             std::size_t message_bytes_max);

  void start();
  std::uint64_t send(SharedFrames frames);
  void answer(SharedFrames frames);
  void hold(bool is_held);
  void confirm();
  void tell_room(std::size_t bytes);
  void pause();
  void resume();
  void flush();
  bool look();
  /// Nothing comes of it any more; whoever closes it tells.
  void close();
  void close_after_queue(const std::string& why);
  /// Ends it and tells the owner.
  void end(const Error& why);

  ConnectionId id() const { return id_; }
  const Peer& peer() const { return peer_; }
  const std::string& host() const { return host_; }
  bool is_admitted() const { return is_admitted_; }
  bool is_refused() const { return is_refused_; }      ///< by admit()
  bool has_spoken() const { return has_spoken_; }      ///< more than a greeting
  bool is_computing() const { return is_computing_; }  ///< it is our turn in the handshake
  Clock::time_point its_turn_since() const { return its_turn_since_; }
  bool is_open() const { return is_open_; }
  Transport::Waiting waiting() const { return queue_.waiting(); }
  Transport::Waiting untaken() { return is_open_ ? count_untaken() : left_; }
  bool flush_is_asked = false, look_is_asked = false;  ///< the owner's

 private:
  void wait_to_read();
  bool read();
  void process(std::string_view bytes);
  void process_held();
  bool perform(ZmtpServer::Step step);
  void compute();
  bool introduce(ZmtpServer::Introduced introduced);
  void send_bytes(std::string_view bytes);
  bool write(const char* bytes, std::size_t size, std::size_t& written);
  void wait_to_write();
  void after_write();
  void set_mark();
  void note_sent(std::uint64_t messages_before);
  std::uint64_t acknowledged();
  Transport::Waiting count_untaken();
  void on_pong(const std::string& context);
  bool has_parted();

  Owner* owner_;
  Transport::Counters& counters_;
  Socket socket_;
  ConnectionId id_;
  std::shared_ptr<const KeyPair> keys_;  // nothing: no CURVE
  ZmtpServer machine_;
  OutQueue queue_;
  Peer peer_;
  std::string host_;
  std::string in_;   // read and not looked at yet
  std::string out_;  // made and not yet taken by the kernel
  std::string why_closing_;
  std::size_t room_ = 0;
  std::uint64_t written_ = 0;  // bytes of the wire that the kernel took
  std::uint64_t confirm_until_ = 0, mark_ = 0, mark_at_ = 0, ping_ = 0;
  struct Sent {
    std::uint64_t bytes, messages;
  };
  std::vector<Sent> sent_;     // how many messages the first so many bytes of the wire were, for what the kernel may still have
  Transport::Waiting left_{};  // when it was closed
  Clock::time_point closing_until_, parting_until_, its_turn_since_ = Clock::now();
  bool is_open_ = true, is_admitted_ = false, is_refused_ = false, has_spoken_ = false, is_paused_ = false, is_computing_ = false,
       is_reading_ = false, is_writing_ = false;
  bool is_closing_ = false, is_shut_ = false, is_over_room_ = false, has_ping_ = false, wants_ping_ = false, wants_look_ = false,
       has_mark_ = false;
};

}  // namespace gorgone::mcollective
