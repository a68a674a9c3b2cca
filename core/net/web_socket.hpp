#pragma once
// The WebSocket of include/gorgone/web_socket.hpp over Beast. On the loop.

#include <gorgone/flow_watch.hpp>
#include <gorgone/http_parser.hpp>
#include <gorgone/web_socket.hpp>

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <deque>

#include "core/net/lenient_text.hpp"

namespace gorgone::net {

class BeastWebSocket final : public WebSocket, public HasFlow, public std::enable_shared_from_this<BeastWebSocket> {
 public:
  BeastWebSocket(WebStream stream, const Limits& limits);

  asio::awaitable<Result<void>> accept(const Upgrade& request) override;
  asio::awaitable<Result<void>> greet(const std::string& host, const std::string& path, const Headers& headers) override;
  asio::awaitable<Result<std::string>> read() override;
  bool send(std::string text) override;
  void on_room(std::function<void()> call) override { on_room_ = std::move(call); }
  void end(std::string last, unsigned code, const std::string& reason) override;
  void cut(const std::string& why) override;
  bool is_open() const override { return open_ && !ending_; }
  void probe(std::chrono::milliseconds limit, std::function<void(bool)> done) override;
  void limit_messages(std::size_t bytes) override { stream_.read_message_max(bytes); }
  const std::string& peer() const override { return peer_; }
  LinkFlow flow() const override;  ///< in bytes of messages

 private:
  using ErrorCode = boost::system::error_code;

  void opened();
  void heard();
  void look_after(std::chrono::milliseconds wait);
  void look();
  void ping();
  int descriptor() const;
  LinkFlow in_system() const;
  std::string why_ended(const ErrorCode& error) const;
  void push(std::string text);
  void write_next();
  void tell_room();
  void close_now();
  void finish(const std::string& why, const std::string& code = {});
  void end_probe(bool answered);

  using Clock = std::chrono::steady_clock;

  const Limits limits_;
  const std::string peer_;
  bool open_ = false, ending_ = false, writing_ = false, refused_ = false, pinging_ = false;
  Clock::time_point heard_at_;
  bool asked_ = false;  // nothing was heard for half of the limit, and a ping was sent
  FlowWatch watch_;
  std::string why_, why_code_;  // it ended, the first reason
  std::deque<std::string> queue_;
  std::size_t unsent_ = 0, written_ = 0;  // bytes of the queue, of its first message
  std::uint64_t frames_ = 0, given_ = 0;  // given: bytes of all messages
  boost::beast::websocket::close_reason close_reason_;
  std::function<void()> on_room_;
  std::function<void(bool)> probe_done_;
  asio::steady_timer stall_, probe_, silence_;
  boost::beast::websocket::stream<WebSocketStream, false> stream_;
};

}  // namespace gorgone::net
