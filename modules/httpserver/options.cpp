#include "options.hpp"

#include <gorgone/key_file.hpp>

#include <fmt/format.h>

namespace gorgone::httpserver {

namespace {

std::string place(const Settings& settings, const char* key) {
  auto where = settings.where(key).text();
  return where.empty() ? std::string() : " (" + where + ")";
}

void missing(std::vector<Problem>& problems, const Settings& settings, const char* key, const char* because, const char* expected) {
  if (settings.has(key) && !settings.text(key).empty()) return;
  problems.push_back({Problem::Severity::error, fmt::format("modules.httpserver.{}: is missing while {} is set{}, expected {} (no default)",
                                                            key, because, place(settings, because), expected)});
}

}  // namespace

Schema schema() {
  using enum OptionType;
  return {
      {"address", text, "0.0.0.0", "the address to listen on, \"::\" for IPv6 and IPv4, or a name of this host for all that it stands for"},
      Option{"port", integer, "8080", "the TCP port to listen on; 0 takes a free one, which the log names"}.range(0, 65535),
      {"ssl", boolean, "false", "whether to speak HTTPS, with TLS 1.2 or later"},
      {"ssl_cert_file", path, "", "the server's certificate as PEM, followed by those that lead to its root"},
      {"ssl_key_file", path, "", "the private key of the certificate as PEM"},
      Option{"passphrase", text, "", "the passphrase of the private key"}.secret(),
      {"auth.enabled", boolean, "false", "whether a user and a password are asked for (Basic authentication)"},
      {"auth.user", text, "", "the user's name"},
      Option{"auth.password", text, "", "the user's password"}.secret(),
      {"allowed_hosts.enabled", boolean, "false", "whether only the addresses of `allowed_hosts.subnets` may use the API"},
      {"allowed_hosts.subnets", texts, "", "addresses and networks that may use the API, such as 192.0.2.0/24 or 2001:db8::/32"},
      Option{"max_connections", integer, "1000",
             "connections at a time; for further ones the oldest without a request are closed, and where there are none, they are answered "
             "with status 503"}
          .range(1, 100000),
      Option{"header_limit", integer, "16384", "the longest head of a request; longer ones are answered with status 431"}
          .range(1024, 1048576)
          .in("bytes"),
      Option{"body_limit", integer, "8388608", "the longest body of a request; longer ones are answered with status 413"}
          .range(1024, 1073741824)
          .in("bytes"),
      Option{
          "max_held_bytes", integer, "134217728",
          "unfinished bodies, and answers that are not read yet, of all connections together, but for 64 KB of each; more is answered with "
          "status 503"}
          .range(1048576, 17179869184.0)
          .in("bytes"),
      Option{"request_timeout", integer, "30", "how long a request may take to arrive; then status 408"}.range(1, 3600).in("seconds"),
      Option{"idle_timeout", integer, "60", "how long a connection without a request is kept"}.range(1, 86400).in("seconds"),
      Option{"dispatch", anything, "", "other roots than /api, which no module serves"}.ignored(),
  };
}

Options read_options(const Settings& settings) {
  Options options;
  options.address = settings.text("address");
  options.port = static_cast<std::uint16_t>(settings.integer("port"));
  options.is_tls = settings.boolean("ssl");
  options.tls_files = {settings.text("ssl_cert_file"), settings.text("ssl_key_file"), settings.text("passphrase")};
  if (settings.boolean("auth.enabled")) options.credentials.emplace(settings.text("auth.user"), settings.text("auth.password"));
  if (settings.boolean("allowed_hosts.enabled")) {
    auto& subnets = options.subnets.emplace();
    for (const auto& text : settings.texts("allowed_hosts.subnets"))
      if (auto subnet = Subnet::parse(text)) subnets.push_back(*subnet);
  }
  options.max_connections = static_cast<std::size_t>(settings.integer("max_connections"));
  options.header_limit = static_cast<std::uint32_t>(settings.integer("header_limit"));
  options.body_limit = static_cast<std::uint64_t>(settings.integer("body_limit"));
  options.max_held_bytes = static_cast<std::uint64_t>(settings.integer("max_held_bytes"));
  options.request_timeout = std::chrono::seconds(settings.integer("request_timeout"));
  options.idle_timeout = std::chrono::seconds(settings.integer("idle_timeout"));
  return options;
}

std::vector<Problem> check_options(const Settings& settings) {
  std::vector<Problem> problems;
  if (settings.boolean("auth.enabled")) {
    missing(problems, settings, "auth.user", "auth.enabled", "a user's name");
    missing(problems, settings, "auth.password", "auth.enabled", "a password");
  }
  if (settings.boolean("allowed_hosts.enabled")) {
    auto subnets = settings.texts("allowed_hosts.subnets");
    if (subnets.empty())
      problems.push_back({Problem::Severity::error, fmt::format("modules.httpserver.allowed_hosts.subnets: is missing or empty while "
                                                                "allowed_hosts.enabled is set{}, expected a list of networks (no default)",
                                                                place(settings, "allowed_hosts.enabled"))});
    for (const auto& text : subnets) {
      auto subnet = Subnet::parse(text);
      if (subnet) continue;
      problems.push_back({Problem::Severity::error, fmt::format("modules.httpserver.allowed_hosts.subnets{}: {}",
                                                                place(settings, "allowed_hosts.subnets"), subnet.error().message)});
    }
  }
  if (settings.boolean("ssl")) {
    missing(problems, settings, "ssl_cert_file", "ssl", "a file");
    missing(problems, settings, "ssl_key_file", "ssl", "a file");
    if (!problems.empty()) return problems;
    const auto files = read_options(settings).tls_files;
    if (auto context = make_tls_server(files); !context)
      problems.push_back({Problem::Severity::error, "modules.httpserver." + context.error().message});
    if (const auto warning = key_file_warning(files.key); !warning.empty())
      problems.push_back({Problem::Severity::warning, "modules.httpserver.ssl_key_file: " + warning});
  }
  return problems;
}

}  // namespace gorgone::httpserver
