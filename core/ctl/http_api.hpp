#pragma once
// The HTTP API of a daemon, as an administrator's tool calls it: one request at a time, waited for.

#include <gorgone/json.hpp>
#include <gorgone/result.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace gorgone::ctl {

/// Where the API is, and who asks.
struct ApiAddress {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8085;
  bool is_tls = false, verifies = true;
  std::string user, password;
};

/// What the command line says of it; the rest is read from the daemon's own configuration.
struct ApiWish {
  std::string config = "/etc/centreon-gorgone/config.yaml";
  std::string url, user, password;
  bool is_insecure = false;
};
/// Adds --config, --api, --user, --password and --insecure to a command.
void add_api_options(CLI::App& command, ApiWish& wish);
/// An Error says which key or option is wrong, or that the configuration has no HTTP API.
Result<ApiAddress> find_api(const ApiWish& wish);

struct ApiAnswer {
  unsigned status = 0;
  json::value body;
};
/// An Error where the daemon cannot be reached, or does not answer in JSON. `body` empty: GET, else POST.
Result<ApiAnswer> ask(const ApiAddress& api, const std::string& path, const std::optional<json::value>& body);

/// The token of what a POST has started; an Error has the daemon's words.
Result<std::string> start_action(const ApiAddress& api, const std::string& path, const json::value& body);

}  // namespace gorgone::ctl
