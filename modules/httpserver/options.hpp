#pragma once
// The module's configuration: the schema and what is made of it. Plain values.

#include "access.hpp"

#include <gorgone/config.hpp>
#include <gorgone/tls.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gorgone::httpserver {

struct Options {
  std::string address;
  std::uint16_t port = 0;  ///< 0: a free one

  bool is_tls = false;
  TlsFiles tls_files;

  std::optional<Credentials> credentials;      ///< nothing: no password is asked for
  std::optional<std::vector<Subnet>> subnets;  ///< nothing: every address may come

  std::size_t max_connections = 0;
  std::uint32_t header_limit = 0;
  std::uint64_t body_limit = 0, max_held_bytes = 0;
  std::chrono::seconds request_timeout{0}, idle_timeout{0};
};

Schema schema();
/// Of settings that have been checked.
Options read_options(const Settings& settings);
/// What the schema cannot say: what belongs together, subnets, the files of TLS.
std::vector<Problem> check_options(const Settings& settings);

}  // namespace gorgone::httpserver
