#pragma once
// Thousands of nodes that dial their central (type pull): each has a link of the agent's own (core/net/dialer), with its session and its
// pauses after a failure, registers, pings, answers PING and GETLOG, and holds the question for rows that it has not. They share one key,
// one loop and one thread for RSA, but no turn at greeting: on machines of their own they would not wait for each other.

#include <gorgone/link.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <memory>
#include <string>
#include <vector>

#include "core/journal/journal_file.hpp"
#include "core/net/dialer.hpp"
#include "modules/pull/keepalive.hpp"

namespace bench::fleet {

class DialingNodes {
 public:
  /// `count` nodes, their ids from 2 on, that dial `endpoint` ("tcp://127.0.0.1:5556") as soon as start() is called.
  DialingNodes(boost::asio::io_context& loop, gorgone::wire::RsaPrivateKey own, std::string endpoint, std::size_t count);
  ~DialingNodes();

  void start();
  /// As if all nodes were started anew: connections end, and the sessions are lost.
  void restart();

  /// What happened since the last reset(). `up` is of now, `seen` counts nodes that have answered a ping.
  struct Counts {
    std::size_t up = 0, seen = 0, ups = 0, downs = 0, refused = 0, pings = 0, fetches = 0;
  };
  const Counts& counts() const { return counts_; }
  void reset();

 private:
  class Node;

  boost::asio::io_context& loop_;
  gorgone::JournalFile journal_;  // in memory
  boost::asio::thread_pool pool_{1};
  std::shared_ptr<const gorgone::net::KeyRing> keys_;
  std::string endpoint_;
  Counts counts_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace bench::fleet
