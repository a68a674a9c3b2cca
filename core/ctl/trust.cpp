#include "core/ctl/trust.hpp"

#include "core/trust.hpp"

#include <CLI/CLI.hpp>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <memory>
#include <string>

namespace gorgone::ctl {
namespace {

struct Wish {
  std::string node;
  std::string config = "/etc/centreon-gorgone/config.yaml";
  std::string offered;
  bool replace = false;
};

Result<void> trust(const Wish& wish) {
  const auto key = refused_key(wish.config, wish.node);
  if (!key) return key.error();
  fmt::print("{}{}\n  pinned:  {}\n  offered: {}  (last seen {:%Y-%m-%d %H:%M:%S})\n", key->node.empty() ? "" : "node " + key->node + ", ",
             key->target, key->pinned.empty() ? "none" : key->pinned, key->offered, fmt::localtime(static_cast<std::time_t>(key->seen)));
  const bool is_secret = key->target.starts_with("wss://");
  if (!wish.replace) {
    fmt::print("Compare it with what `gorgonectl keys {}` prints on the node{}, then run this again with --replace{}.\n",
               is_secret ? "secret" : "thumbprint", is_secret ? " (a deployed daemon has none)" : "",
               is_secret ? " --offered " + key->offered : "");
    return {};
  }
  // Whoever has a token that nodes share may be refused meanwhile, and so offer another.
  if (is_secret && wish.offered.empty())
    return Error{"what was compared is missing: expected --offered THUMBPRINT, or --offered none for a deployed daemon"};
  if (!wish.offered.empty() && wish.offered != key->offered)
    return Error{fmt::format("another key is offered now: {}, expected {}; nothing was changed", key->offered, wish.offered)};
  if (const auto done = trust_refused_key(wish.config, *key); !done) return done;
  fmt::print("The offered key is pinned; a running daemon takes it at its next attempt, within 15 seconds.\n");
  return {};
}

}  // namespace

void add_trust(CLI::App& program, Result<void>& outcome) {
  const auto wish = std::make_shared<Wish>();
  auto* const command = program.add_subcommand("trust", "Show the key of a node that was refused, for another is pinned, or accept it");
  command->add_option("node", wish->node, "The node's id, or its address as the log names it: tcp://address:port")->required();
  command->add_option("--config", wish->config, "The daemon's configuration")->capture_default_str();
  command->add_flag("--replace", wish->replace, "Pin the offered key in place of the old one");
  command->add_option("--offered", wish->offered,
                      "The thumbprint that was compared: another one is not pinned. Needed for nodes of WebSockets");
  command->callback([wish, &outcome] { outcome = trust(*wish); });
}

}  // namespace gorgone::ctl
