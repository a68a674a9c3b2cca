#pragma once
// One connection to the proxy's httpserver: TLS, the request for a WebSocket, which node it is and whether it may be, then its
// messages. On the loop, one coroutine each.

#include <optional>
#include <string>
#include <string_view>

#include "wss_shared.hpp"

namespace gorgone::proxy {

/// The status of a WebSocket that is closed because of what may be otherwise later.
inline constexpr unsigned wss_come_back_later = 1013;
/// In place of the thumbprint of a secret: of a deployed node.
inline constexpr const char* no_secret = "none";

class WssSession {
 public:
  explicit WssSession(WssShared& shared);
  ~WssSession();
  WssSession(const WssSession&) = delete;
  WssSession& operator=(const WssSession&) = delete;

  asio::awaitable<void> run(asio::ip::tcp::socket connection);
  /// It ends, for its place is needed: nobody knows for whom it has it.
  void give_way();

 private:
  using Verdict = WssAccess::Verdict;
  /// False where the connection has ended.
  asio::awaitable<bool> open_socket(WebStream& stream);
  asio::awaitable<void> refuse_request(WebStream& stream, unsigned status, std::string_view message);
  /// The node that it speaks for from now on; empty where it was refused.
  asio::awaitable<std::shared_ptr<WssNode>> greet();
  asio::awaitable<std::optional<std::string>> first_message();
  asio::awaitable<Verdict> judge(const WssNode& node);
  asio::awaitable<Verdict> judge_token(const WssNode& node);
  asio::awaitable<bool> is_bound_to(std::string id, std::string name);
  asio::awaitable<bool> has_its_secret(std::string id);
  /// Only who was let in binds a node to its token and its secret.
  void bind(const std::string& id);
  asio::awaitable<bool> take_over(const std::shared_ptr<WssNode>& node, Verdict verdict);
  asio::awaitable<bool> says_it_is_there(std::shared_ptr<WebSocket> other);
  void refuse(const std::string& message, unsigned status = 1008);
  /// And tells it in CONSTATUS, where the node is away: it may be the node itself.
  void refuse_for(const std::string& id, const Error& why);
  void take(WssNode& node, const std::string& text);
  void end_greeting();
  std::string who() const;
  std::string host() const;

  WssShared& shared_;
  std::optional<std::list<WssSession*>::iterator> greeting_;  // its place among those that greet
  WebStream* stream_ = nullptr;                               // before there is a WebSocket
  std::string peer_, forwarded_for_, token_;
  std::string secret_;                  // its thumbprint, or "none"
  std::optional<std::string> to_bind_;  // the name of a token, empty for the common one
  bool must_pin_ = false;               // its secret
  bool is_bound_ = false;               // to either, or by a token of its own
  std::shared_ptr<WebSocket> socket_;
};

}  // namespace gorgone::proxy
