#pragma once
// The server over loopback, with a scripted core behind it.

#include "../server.hpp"
#include "client.hpp"

namespace gorgone::httpserver::test {

using namespace std::chrono_literals;
using namespace gorgone::test;

inline Options small() {
  Options options;
  options.address = "127.0.0.1";
  options.max_connections = 100;
  options.header_limit = 2048;
  options.body_limit = 4096;
  options.max_held_bytes = 1 << 20;
  options.request_timeout = 10s;
  options.idle_timeout = 10s;
  return options;
}

/// A server on a free port; ends with all its sessions.
struct Running {
  explicit Running(Options options = small()) : server(std::make_unique<Server>(core, std::move(options))) {
    auto error = core.finish(start());
    if (!error.empty()) throw std::runtime_error(error);
  }
  ~Running() {
    core.cancel_all();
    core.run();
  }
  Client client() { return {core, server->port()}; }
  std::string ask(const std::string& request) {
    auto one = client();
    one.send(request);
    return one.read_all();
  }
  void stop() {
    core.spawn(server->stop());
    core.run();
  }

  FakeCore core;
  std::unique_ptr<Server> server;

 private:
  asio::awaitable<std::string> start() {
    auto result = co_await server->start();
    if (result) co_return std::string();
    co_return result.error().message;
  }
};

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace gorgone::httpserver::test
