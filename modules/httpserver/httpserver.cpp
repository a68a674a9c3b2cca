// The HTTP API: a server on the loop that turns requests into messages and logs of tokens into answers.

#include "options.hpp"
#include "server.hpp"

#include <gorgone/module.hpp>

namespace gorgone::httpserver {

namespace {

class HttpServer final : public Module {
 public:
  HttpServer(Agent& agent, const Settings& settings) : server_(agent, read_options(settings)) {}

  asio::awaitable<Result<void>> start() override { return server_.start(); }
  asio::awaitable<void> handle(Message) override { co_return; }
  asio::awaitable<void> stop() override { return server_.stop(); }

 private:
  Server server_;
};

std::unique_ptr<Module> create(Agent& agent, Settings settings) { return std::make_unique<HttpServer>(agent, settings); }

ModuleInfo info() {
  ModuleInfo info;
  info.name = "httpserver";
  info.help =
      "The HTTP API below `/api`: runs the actions of all modules here and on other nodes, and reads the log of a token. "
      "Plain or TLS, with a password, for allowed networks.";
  info.schema = schema();
  info.serves_clients = true;
  info.create = create;
  info.check = check_options;
  return info;
}

}  // namespace

}  // namespace gorgone::httpserver

GORGONE_MODULE(gorgone::httpserver::info)
