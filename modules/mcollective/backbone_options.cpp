#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "backbone.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::size_t prefix_max = 32;

bool is_server(std::string_view url) {
  if (url.starts_with("nats://"))
    url.remove_prefix(7);
  else if (url.starts_with("tls://"))
    url.remove_prefix(6);
  else
    return false;
  if (url.empty() || url.find_first_of("@/ \t") != std::string_view::npos) return false;
  const auto colon = url.rfind(':');
  if (colon == std::string_view::npos || url.back() == ']') return true;
  unsigned port = 0;
  const auto* end = url.data() + url.size();
  const auto read = std::from_chars(url.data() + colon + 1, end, port);
  return colon > 0 && read.ec == std::errc() && read.ptr == end && port > 0 && port < 65536;
}

bool is_prefix(std::string_view text) {
  return !text.empty() && text.size() <= prefix_max && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

}  // namespace

Schema backbone_schema() {
  return {
      {"backbone", OptionType::texts, "",
       "NATS servers that join this broker with those of other agents, such as `nats://nats1:4222`; one that answers is enough, it "
       "names the others of its cluster. Empty: the broker is alone"},
      {"backbone_credentials", OptionType::path, "", "file with the JWT and the seed of a NATS user"},
      {"backbone_user", OptionType::text, "", "user at the NATS servers"},
      Option{"backbone_password", OptionType::text, "", "its password"}.secret(),
      Option{"backbone_token", OptionType::text, "", "a token in place of user and password"}.secret(),
      {"backbone_tls.ca", OptionType::path, "", "file with the CAs of the NATS servers' certificates; empty: those of the system"},
      {"backbone_tls.cert", OptionType::path, "", "our certificate, where the NATS servers want one"},
      {"backbone_tls.key", OptionType::path, "", "its key"},
      {"backbone_tls.verify", OptionType::boolean, "true", "whether the certificates of the NATS servers are checked"},
      {"backbone_prefix", OptionType::text, "mcollective",
       "first word of all subjects and streams in NATS: brokers with the same one form one MCollective network"},
      Option{"backbone_replicas", OptionType::integer, "3", "NATS servers that hold each message of a persistent topic"}.range(1, 5).in(
          "servers"),
  };
}

std::vector<Problem> check_backbone(const Settings& settings) {
  std::vector<Problem> problems;
  const auto wrong = [&](const std::string& key, const std::string& got, const std::string& expected) {
    const auto where = settings.where(key).text();
    problems.push_back({Problem::Severity::error, fmt::format("modules.mcollective.{}: got {}{}, expected {}", key, got,
                                                              where.empty() ? "" : " (" + where + ")", expected)});
  };
  // An address may hold a password.
  for (const auto& server : settings.texts("backbone")) {
    if (is_server(server)) continue;
    if (server.find('@') != std::string::npos)
      wrong("backbone", "an address with a user in it",
            "nats://HOST:PORT or tls://HOST:PORT, and backbone_user, backbone_password or backbone_token");
    else
      wrong("backbone", '"' + printable(server) + '"', "nats://HOST:PORT or tls://HOST:PORT (default port 4222)");
  }
  if (const auto prefix = settings.text("backbone_prefix"); !is_prefix(prefix))
    wrong("backbone_prefix", '"' + printable(prefix) + '"', "1 to 32 letters, digits, - or _ (default mcollective)");
  if (settings.text("backbone_tls.cert").empty() != settings.text("backbone_tls.key").empty())
    wrong("backbone_tls", "one of cert and key", "both or none");
  if (settings.text("backbone_user").empty() && !settings.text("backbone_password").empty())
    wrong("backbone_password", "a password without backbone_user", "both or none");
  // The C client puts them into JSON as they are.
  for (const char* key : {"backbone_user", "backbone_password", "backbone_token"})
    if (settings.text(key).find_first_of("\"\\") != std::string::npos)
      wrong(key, "a text with a quotation mark or a backslash", "none of these, which the NATS client cannot send");
  const int ways = (settings.text("backbone_credentials").empty() ? 0 : 1) + (settings.text("backbone_user").empty() ? 0 : 1) +
                   (settings.text("backbone_token").empty() ? 0 : 1);
  if (ways > 1) wrong("backbone", "more than one way to log in", "one of backbone_credentials, backbone_user and backbone_token");
  return problems;
}

}  // namespace gorgone::mcollective
