#include "options.hpp"

#include <fmt/format.h>

#include <boost/url/parse.hpp>
#include <gorgone/log.hpp>
#include <gorgone/tls.hpp>

#include <algorithm>

namespace gorgone::pullwss {
namespace {

constexpr const char* proxy_form = "http://[user:password@]host:port";

// The two names of an option that deployed daemons have under another one: the own name counts where both are written.
const char* name_of(const Settings& settings, const char* own, const char* deployed) {
  return settings.has(deployed) && !settings.has(own) ? deployed : own;
}
const char* path_name(const Settings& settings) { return name_of(settings, "path", "central_uri"); }
const char* verify_name(const Settings& settings) { return name_of(settings, "tls_verify", "https_cert_no_verify"); }

std::string with_slash(std::string path) { return path.starts_with('/') ? path : "/" + path; }

Problem problem(Problem::Severity severity, const Settings& settings, const char* key, const std::string& text) {
  const auto where = settings.where(key).text();
  return {severity, fmt::format("modules.pullwss.{}{}: {}", key, where.empty() ? "" : " (" + where + ")", text)};
}

}  // namespace

Result<HttpProxy> parse_proxy(const std::string& url) {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed) return Error{fmt::format("this is no URL, expected {}", proxy_form)};
  if (parsed->scheme() != "http") return Error{fmt::format("the proxy must be spoken to in plain HTTP, expected {}", proxy_form)};
  HttpProxy proxy;
  proxy.host = parsed->host_type() == boost::urls::host_type::ipv6 ? std::string(parsed->host_ipv6_address().to_string()) : parsed->host();
  proxy.port = parsed->port_number();
  if (proxy.host.empty() || proxy.port == 0) return Error{fmt::format("host or port is missing, expected {}", proxy_form)};
  if (parsed->has_userinfo()) proxy.credentials = parsed->user() + ":" + parsed->password();
  return proxy;
}

std::string Options::url() const {
  const bool is_ipv6 = address.find(':') != std::string::npos;
  return fmt::format("{}://{}:{}{}", is_tls ? "wss" : "ws", is_ipv6 ? "[" + address + "]" : address, port, path);
}

Schema schema() {
  using enum OptionType;
  return {
      Option{"address", text, "", "name or address of the central, or of what stands before it"}.required(),
      Option{"port", integer, "", "its port; 443 or 80 where a web server passes the connection on"}.required().range(1, 65535),
      Option{"ssl", boolean, "false",
             "whether the connection is encrypted (TLS 1.2 or later); without it the token can be read on the way"},
      Option{"token", text, "", "what the central knows this node by: its `httpserver.token`, this node's own, or `name:value`"}
          .required()
          .secret(),
      Option{"path", text, "/", "what the central's address is followed by, where a web server passes on a path"},
      Option{"central_uri", text, "", "deployed daemons' name of `path`, which counts where both are written"},
      Option{"tls_verify", boolean, "true", "whether the central's certificate must be valid for `address`"},
      Option{
          "https_cert_no_verify", boolean, "",
          "deployed daemons' name of the opposite of `tls_verify`, which counts where both are written; where neither is, the certificate "
          "is checked, other than there"},
      Option{"ssl_ca_file", OptionType::path, "", "certificates of CAs that are trusted beside the system's, as PEM"},
      Option{"proxy", text, "", "an HTTP proxy to go through: http://[user:password@]host:port"}.secret(),
      Option{"ping", integer, "60", "how often the node tells the central that it is there"}.range(1, 3600).in("seconds"),
      Option{"ping_timeout", integer, "10",
             "how long the central may be silent before a new connection is made; it is pinged after half of it"}
          .range(2, 3600)
          .in("seconds"),
      Option{
          "max_msg_size", integer, "250000",
          "the largest message with history rows that goes to a deployed central, which closes the connection on more than 262144 bytes; "
          "what is above the default counts as the default"}
          .range(4096, 2147483647)
          .in("bytes"),
      Option{"max_message_size", integer, "67108864", "the largest message that is taken from the central"}
          .range(65536, 2147483647)
          .in("bytes"),
  };
}

Options read_options(const Settings& settings) {
  Options options;
  options.address = settings.text("address");
  if (options.address.starts_with('[') && options.address.ends_with(']'))
    options.address = options.address.substr(1, options.address.size() - 2);
  options.port = static_cast<std::uint16_t>(settings.integer("port"));
  options.path = with_slash(settings.text(path_name(settings)));
  options.token = settings.text("token");
  options.is_tls = settings.boolean("ssl");
  const std::string verify = verify_name(settings);
  options.verify = settings.boolean(verify) == (verify == "tls_verify");
  options.ca_file = settings.text("ssl_ca_file");
  if (auto url = settings.text("proxy"); !url.empty())
    if (auto proxy = parse_proxy(url)) options.proxy = std::move(*proxy);
  options.ping = std::chrono::seconds(settings.integer("ping"));
  options.ping_timeout = std::chrono::seconds(settings.integer("ping_timeout"));
  options.max_told_size = std::min(static_cast<std::size_t>(settings.integer("max_msg_size")), deployed_message_max);
  options.max_message_size = static_cast<std::size_t>(settings.integer("max_message_size"));
  return options;
}

std::vector<Problem> check_options(const Settings& settings) {
  using enum Problem::Severity;
  std::vector<Problem> problems;
  if (const auto url = settings.text("proxy"); !url.empty())
    if (const auto proxy = parse_proxy(url); !proxy) problems.push_back(problem(error, settings, "proxy", proxy.error().message));
  const auto* path_key = path_name(settings);
  if (const auto path = settings.text(path_key); path.find_first_of(" \t\r\n?#") != std::string::npos)
    problems.push_back(
        problem(error, settings, path_key, fmt::format("got \"{}\", expected a path such as /gorgone (default /)", printable(path))));
  if (settings.has("path") && settings.has("central_uri") && with_slash(settings.text("central_uri")) != with_slash(settings.text("path")))
    problems.push_back(problem(warning, settings, "central_uri",
                               fmt::format("got \"{}\", but path is \"{}\", which counts; expected one of the two",
                                           printable(settings.text("central_uri")), printable(settings.text("path")))));
  if (settings.has("tls_verify") && settings.has("https_cert_no_verify") &&
      settings.boolean("tls_verify") == settings.boolean("https_cert_no_verify"))
    problems.push_back(problem(warning, settings, "https_cert_no_verify",
                               fmt::format("it says the opposite of tls_verify: {0}, which counts; expected one of the two",
                                           settings.boolean("tls_verify") ? "true" : "false")));
  if (settings.text("token").find_first_of(" \t\r\n") != std::string::npos)
    problems.push_back(problem(error, settings, "token", "it holds white space, expected none"));
  if (!settings.boolean("ssl")) {
    problems.push_back(problem(warning, settings, "ssl",
                               "the token and all messages can be read on the way; expected true unless the "
                               "way is protected otherwise"));
  } else if (read_options(settings).verify) {
    if (const auto context = make_tls_client(true, settings.text("ssl_ca_file")); !context)
      problems.push_back(problem(error, settings, "ssl_ca_file", context.error().message));
  } else {
    problems.push_back(problem(warning, settings, verify_name(settings), "whoever can redirect the connection can speak as the central"));
  }
  return problems;
}

}  // namespace gorgone::pullwss
