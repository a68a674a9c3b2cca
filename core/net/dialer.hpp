#pragma once
// The encrypted ZeroMQ client behind Agent::dial(): a connection that greets, runs and heals itself. wire/link_machine decides, this
// class performs, with one timer. Lives on the loop.

#include <gorgone/flow_watch.hpp>
#include <gorgone/journal.hpp>
#include <gorgone/link.hpp>
#include <gorgone/log.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/net/key_ring.hpp"
#include "core/net/resolver.hpp"
#include "core/net/turnstile.hpp"
#include "core/net/zmtp_connection.hpp"
#include "core/wire/link_machine.hpp"

namespace gorgone::net {

class Dialer final : public Link, public HasFlow {
 public:
  struct Services {
    boost::asio::io_context& loop;
    std::shared_ptr<const KeyRing> keys;
    Journal& journal;
    std::function<void(std::function<void()>)> pool;
    std::int64_t max_message_size;  ///< bytes; frames of the server may be so long
    bool ipv6;                      ///< names may lead to IPv6 addresses
  };

  /// An Error where a key file does not load.
  static Result<std::unique_ptr<Link>> make(Services services, const DialSpec& spec, LinkOwner& owner);
  ~Dialer() override;

  Result<void> send(const Message& message) override;
  void reset(const std::string& why) override;
  void set_takes_raw(bool takes_raw) override { takes_raw_ = takes_raw; }
  bool is_up() const override { return machine_.state() == wire::LinkMachine::State::up; }
  bool answers_requests() const override { return true; }
  std::string identity() const override { return identity_; }
  LinkFlow flow() const override { return connection_ ? connection_->flow() : LinkFlow(); }

 private:
  Dialer(Services services, DialSpec spec, LinkOwner& owner, wire::LinkMachine::Config config, wire::RsaPrivateKey private_key,
         wire::RsaPublicKey public_key);
  void perform(wire::LinkMachine::Steps steps);
  void perform_one(wire::LinkMachine::Step& step);
  void arm();
  void connect();
  /// Sets address_. `done` does not come where the link has given up waiting for it.
  void look_up(std::function<void(Result<void>)> done);
  Result<void> take_address(const Result<Resolver::Addresses>& found);
  /// While an attempt has no answer its name may come to lead elsewhere.
  void watch_name();
  void leave_old_address(const Resolver::Addresses& found);
  void connect_again();
  void open_connection();
  void await_answer();
  /// Among all links that greet.
  void greet_in_turn();
  void disconnect();
  void on_connection_lost(const Error& why);
  /// Takes the place of what was to be done after a time before.
  void after(std::int64_t ms, std::function<void()> work);
  void stop_waiting();
  void check_key(const wire::RsaPublicKey& key);
  /// What is pinned cannot be read.
  Result<void> check_without_pin(const std::string& thumbprint, const Error& why);
  void make_helo(const wire::RsaPublicKey& key);
  void open_key(std::string sealed);
  void on_down(const Error& why, bool was_up);
  void log_down(const Error& why, bool was_up);
  template <class F>
  void later(F f);
  template <class F>
  auto for_this_attempt(F f);

  Services services_;
  DialSpec spec_;
  LinkOwner& owner_;
  wire::LinkMachine machine_;
  wire::RsaPrivateKey private_key_;
  wire::RsaPublicKey public_key_;
  Log log_{"core"};
  std::unique_ptr<ZmtpConnection> connection_;
  std::string identity_;                        // the routing id
  boost::asio::ip::address address_, dialled_;  // dialled_: of the connection
  bool takes_raw_ = false;
  bool is_answered_ = false;  // the connection, by a greeting
  bool has_moved_ = false;    // left an address since the last pause
  std::int64_t reconnect_ms_ = 0, looked_up_ms_ = 0, opened_ms_ = 0;
  std::uint64_t timer_number_ = 0;
  Error lost_why_{"", ""};
  Turnstile& turnstile_;
  std::shared_ptr<Turnstile::Ticket> ticket_;  // of a handshake
  Resolver& resolver_;
  std::uint64_t lookup_ = 0;  // rises with each lookup, and when one is awaited no more
  int unanswered_lookups_ = 0;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer reconnect_timer_;  // for an address, a connection or an answer that is not there, and for the pause after one
  boost::asio::steady_timer name_timer_;       // while an attempt has no answer
  std::string last_reason_;                    // told once, not at each retry
  std::optional<std::chrono::steady_clock::time_point> unread_since_;  // what is pinned
  std::chrono::steady_clock::time_point unread_at_{};                  // for the last time
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::net
