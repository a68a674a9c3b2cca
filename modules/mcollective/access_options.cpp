#include "access_options.hpp"

#include <fmt/format.h>

namespace gorgone::mcollective {
namespace {

TopicRule read_rule(const Settings& entry) {
  TopicRule rule;
  rule.clients = entry.text("clients");
  if (entry.has("allow_publish")) rule.topics.publish = entry.texts("allow_publish");
  if (entry.has("allow_subscribe")) rule.topics.subscribe = entry.texts("allow_subscribe");
  return rule;
}

Problem problem(Problem::Severity severity, const Settings& settings, const char* key, std::string_view text) {
  const auto where = settings.where(key).text();
  return {severity, fmt::format("modules.mcollective.{}{}: {}", key, where.empty() ? "" : " (" + where + ")", text)};
}

}  // namespace

Schema access_schema() {
  using enum OptionType;
  return {
      Option{
          "clients", text, "any",
          "which client keys are let in: any key, those listed in authorized_keys or certified, or for each identity the key it used first"}
          .one_of({"any", "listed", "first"}),
      Option{"authorized_keys", path, "",
             "a file with a key, its name and what it may do on each line, or a directory with a file for each key"},
      Option{"certificate_authority", texts, "", "files ca.public of those whose certificates are taken (gorgonectl mcollective ca)"},
      Option{"certificates", path, "", "a directory of certificates, one in each file; clients and the API may bring others"},
      Option{"revoked", texts, "", "signed lists of revoked keys and certificates (gorgonectl mcollective revoke)"},
      Option{"pins_max", integer, "100000", "how many identities can be pinned where clients is first"}.range(1, 10000000),
      Option{"topics[].clients", text, "*",
             "whom this entry is about: a pattern of the names of listed keys, and of the identities of others"},
      Option{"topics[].allow_publish", texts, "",
             "patterns of topics these may publish to; %i is the client's identity; all where none is given"},
      Option{"topics[].allow_subscribe", texts, "",
             "patterns of topics these may subscribe to; %i is the client's identity; all where none is given"},
  };
}

AccessOptions read_access_options(const Settings& settings) {
  AccessOptions out;
  const auto clients = settings.text("clients");
  out.rules.policy = clients == "listed" ? AccessPolicy::listed : clients == "first" ? AccessPolicy::first : AccessPolicy::any;
  out.paths = {settings.text("authorized_keys"), settings.text("certificates"), settings.texts("certificate_authority"),
               settings.texts("revoked")};
  out.rules.has_authority = !out.paths.authorities.empty();
  for (const auto& entry : settings.items("topics")) out.rules.topics.push_back(read_rule(entry));
  out.rules.pins_max = static_cast<std::size_t>(settings.integer("pins_max"));
  return out;
}

std::vector<Problem> check_access(const Settings& settings, bool curve) {
  using enum Problem::Severity;
  std::vector<Problem> problems;
  const auto options = read_access_options(settings);
  const auto& paths = options.paths;
  auto say = [&](Problem::Severity severity, const char* key, std::string_view text) {
    problems.push_back(problem(severity, settings, key, text));
  };
  if (!curve && options.rules.policy != AccessPolicy::any)
    say(error, "clients",
        fmt::format("got \"{}\" while curve is false, so clients have no keys; expected curve true, or any (default any)",
                    settings.text("clients")));
  if (options.rules.policy == AccessPolicy::listed && paths.authorized_keys.empty() && paths.authorities.empty())
    say(error, "clients", "got \"listed\" without a list, expected authorized_keys or certificate_authority beside it");
  if (paths.authorities.empty() && !paths.certificates.empty())
    say(error, "certificates", "nobody's certificates are taken, expected certificate_authority beside it");
  if (paths.authorities.empty() && !paths.revoked.empty())
    say(error, "revoked", "nobody's lists are taken, expected certificate_authority beside it");
  if (options.rules.policy == AccessPolicy::any && (!paths.authorities.empty() || !paths.authorized_keys.empty()))
    say(warning, "clients", "is \"any\", so a key that is neither listed nor certified gets in as well, under any name; expected listed");
  for (const auto& entry : settings.items("topics")) {
    const auto rule = read_rule(entry);
    const auto at = settings.where("topics").text();
    auto refuse = [&](const char* key, const Result<void>& good) {
      if (!good) problems.push_back({error, fmt::format("modules.mcollective.topics[].{} ({}): {}", key, at, good.error().message)});
    };
    refuse("clients", check_identity_pattern(rule.clients));
    for (const auto& pattern : rule.topics.publish.value_or(Patterns{})) refuse("allow_publish", check_pattern(pattern));
    for (const auto& pattern : rule.topics.subscribe.value_or(Patterns{})) refuse("allow_subscribe", check_pattern(pattern));
  }
  return problems;
}

}  // namespace gorgone::mcollective
