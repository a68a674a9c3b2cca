#pragma once
// One connection to the proxy's httpserver: TLS, the request for a WebSocket, which node it is and whether it may be, then its
// messages. On the loop, one coroutine each.

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <list>

#include "centreon_tokens.hpp"
#include "wss_nodes.hpp"

namespace gorgone::proxy {

/// What all connections of a server share.
struct WssShared {
  WssShared(Agent& agent_, WssOptions options_);
  /// False where so many lines about strangers were written lately that this one is only counted.
  bool may_log();

  Agent& agent;
  const WssOptions options;
  TlsContext tls;  ///< empty: plain
  WssAccess access;
  CentreonTokens tokens;
  WssNodes nodes;
  std::list<std::weak_ptr<WebSocket>> sockets;
  std::size_t sessions = 0, greeting = 0;  // greeting: not yet known which node it is
  bool is_stopping = false;
  std::shared_ptr<int> owed = std::make_shared<int>();  // held by all that the core will still call

 private:
  std::chrono::steady_clock::time_point window_{};
  int lines_ = 0, silent_ = 0;
};

class WssSession {
 public:
  explicit WssSession(WssShared& shared);
  ~WssSession();
  WssSession(const WssSession&) = delete;
  WssSession& operator=(const WssSession&) = delete;

  asio::awaitable<void> run(asio::ip::tcp::socket connection);

 private:
  using Verdict = WssAccess::Verdict;
  /// False where the connection has ended.
  asio::awaitable<bool> open_socket(WebStream stream);
  asio::awaitable<void> refuse_request(WebStream& stream, unsigned status, const std::string& message);
  /// The node that it speaks for from now on; empty where it was refused.
  asio::awaitable<std::shared_ptr<WssNode>> greet();
  asio::awaitable<std::optional<std::string>> first_message();
  asio::awaitable<Verdict> judge(const WssNode& node);
  asio::awaitable<bool> take_over(const std::shared_ptr<WssNode>& node, Verdict verdict);
  asio::awaitable<bool> says_it_is_there(std::shared_ptr<WebSocket> other);
  void refuse(const std::string& message, unsigned status = 1008);
  void take(WssNode& node, const std::string& text);
  void end_greeting();
  std::string who() const;

  WssShared& shared_;
  bool is_greeting_ = true;
  std::string peer_, forwarded_for_, token_;
  std::shared_ptr<WebSocket> socket_;
};

}  // namespace gorgone::proxy
