#pragma once
// The part `httpserver` of the proxy's configuration: the listener for nodes that connect by a WebSocket. Plain values.

#include <gorgone/config.hpp>
#include <gorgone/log.hpp>
#include <gorgone/tls.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gorgone::proxy {

/// Centreon's web API, which knows tokens of the form name:value (an entry of `tpapi`).
struct CentreonApi {
  std::string base_url, username, password;
  bool verify = true;
  std::string ca_file;
};

struct WssOptions {
  bool is_enabled = false;
  std::string address;
  std::uint16_t port = 0;  ///< 0: a free one
  bool is_tls = false;
  TlsFiles tls_files;
  std::string token;                               ///< of all nodes that have none of their own; empty: there is none
  std::map<std::string, std::string> node_tokens;  ///< by id or uid
  bool binds_tokens = true;                        ///< those of the web API, each node to the one with which it came first
  std::string api_name;
  std::size_t max_connections = 0, max_greeting = 0, max_message_size = 0, max_unread_bytes = 0;
  bool binds_nodes = true;  ///< see httpserver.bind_nodes
  std::chrono::milliseconds silence_timeout{0};
};

/// Lines for the proxy's schema.
Schema wss_schema();
/// Of settings that have been checked.
WssOptions read_wss_options(const Settings& settings);
std::vector<Problem> check_wss_options(const Settings& settings);
/// The entry of `tpapi` in the configuration with this name; nothing where there is none, it is not complete or, which is told, its
/// password is in a vault.
std::optional<CentreonApi> find_centreon_api(const ConfigValue& gorgone, const std::string& name, const Log& log);

}  // namespace gorgone::proxy
