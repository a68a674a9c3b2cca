#pragma once
// One connection of a client: requests are read, checked, answered in their order, until one side has enough. On the loop,
// one coroutine each.

#include "access.hpp"
#include "api.hpp"
#include "budget.hpp"
#include "options.hpp"
#include "waiting.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <memory>

namespace gorgone::httpserver {

/// What all sessions of a server share.
struct Shared {
  Shared(Agent& agent_, Options options_)
      : agent(agent_), options(std::move(options_)), budget(options.max_held_bytes), api(agent_, stopping) {}
  /// For the log: a request that was not served.
  void refused(const asio::ip::address& client, const std::string& why, const std::string& pairs = {});

  Agent& agent;
  const Options options;
  std::shared_ptr<asio::ssl::context> tls;  ///< empty: plain HTTP
  Stopping stopping;
  Undecided without_request;  ///< nor with the right password shown before
  Guesses guesses;
  ToldRefusals told;
  Budget budget;
  Api api;
};

/// Serves a connection until it ends.
asio::awaitable<void> run_session(Shared& shared, asio::ip::tcp::socket socket);
/// Answers a connection that gets no place, whatever it asks. Over TLS it is closed: no handshake for one who is not served.
asio::awaitable<void> refuse_session(Shared& shared, asio::ip::tcp::socket socket, HttpAnswer answer);

}  // namespace gorgone::httpserver
