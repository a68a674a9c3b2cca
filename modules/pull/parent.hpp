#pragma once
// The daemon that this node dials and that gives it work: registers with it, keeps the connection alive, takes its requests and
// sends it what they are answered with. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <string>

#include "keepalive.hpp"

namespace gorgone::pull {

class Parent final : public LinkOwner {
 public:
  Parent(Agent& agent, DialSpec spec, Keepalive::Limits limits);
  ~Parent() override;

  /// An Error where a key file does not load.
  Result<void> start();
  /// Says good-bye, and waits a moment until that is heard.
  asio::awaitable<void> stop();

  void link_up() override;
  void link_down(const Error& why) override;
  void link_received(Message message) override;

 private:
  void on_clock();
  void arm();
  Result<void> tell(const std::string& action, const std::string& token, json::object node);
  void on_ack(const Message& message);

  Agent& agent_;
  DialSpec spec_;
  Keepalive keepalive_;
  asio::steady_timer timer_, farewell_;
  std::string farewell_token_, last_refusal_;
  std::int64_t connections_ = 0;  // made so far: a parent that hears another number knows what was lost
  bool leaving_ = false;
  std::shared_ptr<void> told_;  // while this is there, what parents are told goes to it
  std::unique_ptr<Link> link_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::pull
