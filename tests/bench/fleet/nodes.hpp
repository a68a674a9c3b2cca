#pragma once
// Thousands of nodes as a central sees them: each has its address, its session and its history. They share one ROUTER, one key and this
// thread; a client tells by its routing id, "gorgone-proxy-<own id>-<node id>-<suffix>", which node it has dialed.

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <zmq.hpp>

#include "core/wire/rsa.hpp"
#include "core/wire/server_sessions.hpp"

namespace bench::fleet {

class Nodes {
 public:
  /// Listens on every loopback address, on a port of its own choice. Only clients with the key `authorized` are let in.
  Nodes(zmq::context_t& context, gorgone::wire::RsaPrivateKey own, gorgone::wire::RsaPublicKey authorized);

  std::uint16_t port() const { return port_; }
  void* socket() { return socket_.handle(); }
  /// Serves what has come; returns when nothing is there.
  void serve();
  /// Keys that are too old are renewed.
  void on_clock();
  /// As if all nodes were started anew: connections end, and the sessions are lost unless they are kept.
  void restart(bool keep_sessions);

  /// What happened since the last reset(). `seen` counts nodes whose ping was answered.
  struct Counts {
    std::size_t greetings = 0, refused = 0, pings = 0, fetches = 0, commands = 0;
    std::unordered_set<std::string> seen = {};
  };
  const Counts& counts() const { return counts_; }
  void reset() { counts_ = {}; }

 private:
  struct Row {
    std::int64_t id;
    std::string token;
    int code;
    std::int64_t time;  // 1/100,000 s since 1970, rising
    std::string data;
  };
  struct Node {
    std::deque<Row> rows;
    std::int64_t last_id = 0, last_time = 0;
  };

  void listen();
  void perform(const std::string& client, gorgone::wire::ServerSessions::Steps steps);
  gorgone::Result<gorgone::wire::RsaPublicKey> verify(const gorgone::wire::HeloText& helo) const;
  gorgone::Answer answer(const std::string& id, const gorgone::Message& message);
  gorgone::Answer run(const std::string& id, const gorgone::Message& message);
  std::string rows_after(const std::string& id, const gorgone::json::value& filter) const;
  void write(Node& node, const std::string& token, int code, std::string data);
  void send(const std::string& client, std::string_view frame);

  zmq::context_t& context_;
  gorgone::wire::RsaPrivateKey own_;
  gorgone::wire::RsaPublicKey authorized_;
  gorgone::wire::ServerSessions::Config config_;
  gorgone::wire::ServerSessions sessions_;
  zmq::socket_t socket_;
  std::uint16_t port_ = 0;
  std::unordered_map<std::string, Node> nodes_;
  Counts counts_;
};

}  // namespace bench::fleet
