#pragma once
// The module's configuration: the schema and what is made of it. Plain values.

#include <gorgone/config.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gorgone::pullwss {

/// An HTTP proxy, asked by CONNECT.
struct HttpProxy {
  std::string host;
  std::uint16_t port = 0;
  std::string credentials;  ///< "user:password", empty: none are told
};

/// "http://[user:password@]host:port"; what is percent-encoded in user and password is decoded. The Error does not repeat the text.
Result<HttpProxy> parse_proxy(const std::string& url);

/// A little below what the library of deployed centrals takes in one message.
inline constexpr std::size_t deployed_message_max = 250000;

struct Options {
  std::string address;
  std::uint16_t port = 0;
  std::string path;
  std::string token;
  bool is_tls = false, verify = true;
  std::string ca_file;
  std::optional<HttpProxy> proxy;
  std::chrono::milliseconds ping{0}, ping_timeout{0};
  std::size_t max_message_size = 0;
  std::size_t max_told_size = 0;  ///< of a log for a deployed central

  /// "wss://central.example:443/gorgone"
  std::string url() const;
};

Schema schema();
/// Of settings that have been checked.
Options read_options(const Settings& settings);
std::vector<Problem> check_options(const Settings& settings);

}  // namespace gorgone::pullwss
