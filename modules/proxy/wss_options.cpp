#include "wss_options.hpp"

#include <gorgone/key_file.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace gorgone::proxy {
namespace {

Problem problem(Problem::Severity severity, const Settings& settings, const char* key, const std::string& text) {
  const auto where = settings.where(key).text();
  return {severity, fmt::format("modules.proxy.{}{}: {}", key, where.empty() ? "" : " (" + where + ")", text)};
}

bool is_loopback(const std::string& address) { return address.starts_with("127.") || address == "::1" || address == "localhost"; }

std::string scalar_of(const ConfigValue& entry, std::string_view key) {
  const auto* value = entry.find(key);
  return value && value->kind == ConfigValue::Kind::scalar ? value->scalar : std::string();
}

bool is_false(const std::string& text) { return text == "0" || text == "false" || text == "no" || text == "off"; }

}  // namespace

Schema wss_schema() {
  using enum OptionType;
  return {
      Option{"httpserver.enable", boolean, "false", "whether nodes of type wss or pullwss can connect by a WebSocket"},
      Option{"httpserver.address", text, "0.0.0.0",
             "the address to listen on, \"::\" for IPv6 and IPv4, or a name of this host for all that it stands for"},
      Option{"httpserver.port", integer, "8086", "the TCP port to listen on; 0 takes a free one, which the log names"}.range(0, 65535),
      Option{"httpserver.ssl", boolean, "false",
             "whether connections are encrypted here (TLS 1.2 or later), not by a web server before it"},
      Option{"httpserver.ssl_cert_file", path, "", "the certificate as PEM, followed by those that lead to its root"},
      Option{"httpserver.ssl_key_file", path, "", "the private key of the certificate as PEM"},
      Option{"httpserver.passphrase", text, "", "the passphrase of the private key"}.secret(),
      Option{"httpserver.token", text, "",
             "the token that all nodes without one of their own have in common; whoever knows it can speak for each of these that is not "
             "connected and has not come with a secret (httpserver.bind_nodes)"}
          .secret(),
      Option{"httpserver.nodes", list, "", "tokens of single nodes; the common token does not let them in"},
      Option{"httpserver.nodes[].id", text, "", "the node's id or uid"}.required(),
      Option{"httpserver.nodes[].token", text, "", "the token that lets in this node and no other"}.required().secret(),
      Option{"httpserver.bind_tokens", boolean, "true",
             "whether a node that has come with a token of Centreon's web API is let in by no other token as long as that one is good; "
             "without it every token that the API knows speaks for each node that is not connected"},
      Option{"httpserver.bind_nodes", boolean, "true",
             "whether a node that has come with a secret, as nodes of ours do, is let in by a token that others have too only with that "
             "secret, from then on; see gorgonectl trust. Deployed nodes have none"},
      Option{"httpserver.max_connections", integer, "20000",
             "connections at a time; for further ones the oldest is closed that has not said which node it is, or they are"}
          .range(1, 1000000),
      Option{"httpserver.max_greeting", integer, "1000",
             "connections at a time that have not said yet which node they are; for further ones the oldest of them is closed"}
          .range(1, 100000),
      Option{"httpserver.max_message_size", integer, "67108864", "the largest message that is taken from a node"}
          .range(65536, 2147483647)
          .in("bytes"),
      Option{"httpserver.max_unread_bytes", integer, "67108864",
             "what may wait for a node to be read; more waits in the node's queue, and one that reads nothing for three times "
             "silence_timeout is "
             "cut off"}
          .range(65536, 2147483647)
          .in("bytes"),
      Option{"httpserver.silence_timeout", integer, "10",
             "how long a node may be silent before its connection is given up; it is pinged after half of it"}
          .range(2, 3600)
          .in("seconds"),
      Option{"tpapi_centreonv2", text, "centreonv2", "the entry of `tpapi` that tells how Centreon's web API is asked for tokens"},
  };
}

WssOptions read_wss_options(const Settings& settings) {
  WssOptions options;
  options.is_enabled = settings.boolean("httpserver.enable");
  options.address = settings.text("httpserver.address");
  options.port = static_cast<std::uint16_t>(settings.integer("httpserver.port"));
  options.is_tls = settings.boolean("httpserver.ssl");
  options.tls_files = {settings.text("httpserver.ssl_cert_file"), settings.text("httpserver.ssl_key_file"),
                       settings.text("httpserver.passphrase")};
  options.token = settings.text("httpserver.token");
  for (const auto& node : settings.items("httpserver.nodes")) options.node_tokens[node.text("id")] = node.text("token");
  options.binds_tokens = settings.boolean("httpserver.bind_tokens");
  options.binds_nodes = settings.boolean("httpserver.bind_nodes");
  options.api_name = settings.text("tpapi_centreonv2");
  options.max_connections = static_cast<std::size_t>(settings.integer("httpserver.max_connections"));
  options.max_greeting = static_cast<std::size_t>(settings.integer("httpserver.max_greeting"));
  options.max_message_size = static_cast<std::size_t>(settings.integer("httpserver.max_message_size"));
  options.max_unread_bytes = static_cast<std::size_t>(settings.integer("httpserver.max_unread_bytes"));
  options.silence_timeout = std::chrono::seconds(settings.integer("httpserver.silence_timeout"));
  return options;
}

std::vector<Problem> check_wss_options(const Settings& settings) {
  using enum Problem::Severity;
  std::vector<Problem> problems;
  const auto options = read_wss_options(settings);
  if (!options.is_enabled) return problems;
  if (options.token.empty() && options.node_tokens.empty())
    problems.push_back(
        problem(warning, settings, "httpserver.enable",
                "neither httpserver.token nor httpserver.nodes is set, so only tokens that Centreon's web API knows (name:value) "
                "let a node in"));
  for (const auto& [id, token] : options.node_tokens)
    if (token.empty())
      problems.push_back(problem(error, settings, "httpserver.nodes", "the token of node " + id + " is empty, expected one"));
  if (options.is_tls) {
    for (const auto* key : {"httpserver.ssl_cert_file", "httpserver.ssl_key_file"})
      if (settings.text(key).empty())
        problems.push_back(
            {error, fmt::format("modules.proxy.{}: is missing while httpserver.ssl is set, expected a file (no default)", key)});
    if (!options.tls_files.certificate.empty() && !options.tls_files.key.empty())
      if (const auto context = make_tls_server(options.tls_files); !context)
        problems.push_back({error, "modules.proxy.httpserver." + context.error().message});
    if (const auto loose = key_file_warning(options.tls_files.key); !loose.empty())
      problems.push_back({warning, "modules.proxy.httpserver.ssl_key_file: " + loose});
  } else if (!is_loopback(options.address)) {
    problems.push_back(
        problem(warning, settings, "httpserver.ssl",
                "tokens and messages can be read on the way; expected true, or a loopback address behind a web server with TLS"));
  }
  return problems;
}

std::optional<CentreonApi> find_centreon_api(const ConfigValue& gorgone, const std::string& name, const Log& log) {
  const auto* entries = gorgone.find("tpapi");
  if (!entries) return {};
  for (const auto& entry : entries->list) {
    if (scalar_of(entry, "name") != name) continue;
    CentreonApi api;
    api.base_url = scalar_of(entry, "base_url");
    api.username = scalar_of(entry, "username");
    api.password = scalar_of(entry, "password");
    const std::array<std::pair<const char*, const std::string*>, 3> values{
        {{"base_url", &api.base_url}, {"username", &api.username}, {"password", &api.password}}};
    const auto in_vault = std::ranges::find_if(values, [](const auto& value) { return value.second->starts_with("secret::"); });
    if (in_vault != values.end()) {
      log.error(
          "tpapi \"{}\": {}: is kept in a vault, which cannot be read yet; expected the value itself: tokens of Centreon let nobody in",
          name, in_vault->first);
      continue;
    }
    api.ca_file = scalar_of(entry, "ssl_ca_file");
    // Deployed entries turn the check off by an option of curl.
    const auto* curl = entry.find("curlopts");
    api.verify = !is_false(scalar_of(entry, "tls_verify")) && !(curl && is_false(scalar_of(*curl, "CURLOPT_SSL_VERIFYPEER")));
    if (!api.base_url.empty() && !api.username.empty() && !api.password.empty()) return api;
  }
  return {};
}

}  // namespace gorgone::proxy
