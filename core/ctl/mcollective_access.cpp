#include "core/ctl/mcollective_access.hpp"

#include <gorgone/journal.hpp>

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <memory>

#include "core/ctl/http_api.hpp"
#include "core/ctl/mcollective_authority.hpp"

namespace gorgone::ctl {
namespace {

/// Where a certificate or a list is brought to.
struct SubmitWish {
  ApiWish api;
  std::vector<std::string> urls;
};

/// Lists come in parts, of which each row has one.
void join(json::object& all, const json::object& part) {
  for (const auto& [name, value] : part) {
    const auto known = all.find(name);
    if (known == all.end() || !known->value().is_array() || !value.is_array())
      all[name] = value;
    else
      for (const auto& entry : value.get_array()) known->value().get_array().push_back(entry);
  }
}

/// Runs an action of the daemon and waits for it: what its last row says, its member `access` joined from all rows.
Result<json::value> run_action(const ApiAddress& api, const std::string& path, const std::optional<json::value>& body) {
  constexpr const char* wait = "?log_wait=10000000";
  const auto answer = ask(api, path + wait, body);
  if (!answer) return answer.error();
  const auto* rows = member(answer->body, "data");
  if (answer->status != 200 || !rows || !rows->is_array())
    return Error{fmt::format("the daemon refuses it: {} (HTTP status {})",
                             text_of(member(answer->body, "message")).value_or(to_text(answer->body)), answer->status)};
  json::object access;
  for (const auto& item : rows->get_array()) {
    HistoryRow row;
    row.code = static_cast<int>(integer_of(member(item, "code")).value_or(0));
    row.data = text_of(member(item, "data")).value_or("{}");
    auto data = parse_json(row.data);
    if (!data) continue;
    if (const auto* part = member(*data, "access"); part && part->is_object()) join(access, part->get_object());
    if (!ends_token(row)) continue;
    if (row.code == code::finished && !access.empty()) data->get_object()["access"] = std::move(access);
    if (row.code == code::finished) return data;
    return Error{text_of(member(*data, "message")).value_or("it failed")};
  }
  return Error{"the daemon has not ended it within 10 s"};
}

Result<void> submit(const SubmitWish& wish, const std::string& text) {
  std::string failures;
  for (const auto& url : wish.urls) {
    auto one = wish.api;
    one.url = url;
    const auto api = find_api(one);
    const auto done = api ? run_action(*api, "/api/mcollective/certificate", json::value(json::object{{"certificate", text}}))
                          : Result<json::value>(api.error());
    if (done)
      fmt::print("{}: taken\n", url);
    else
      failures += fmt::format("{}{}: {}", failures.empty() ? "" : "; ", url, done.error().message);
  }
  if (!failures.empty()) return Error{failures};
  return {};
}

Result<void> sign_and_submit(const SignWish& wish, const SubmitWish& to) {
  const auto text = sign_certificate(wish);
  if (!text) return text.error();
  if (wish.out.empty() && to.urls.empty()) fmt::print("{}", *text);
  if (!wish.out.empty()) fmt::print("certificate: {}\n", wish.out);
  return submit(to, *text);
}

Result<void> revoke_and_submit(const RevokeWish& wish, const SubmitWish& to) {
  const auto text = revoke(wish);
  if (!text) return text.error();
  return submit(to, *text);
}

std::string word(const json::value& entry, const char* name) { return text_of(member(entry, name)).value_or(""); }

template <class F>
void print_each(const json::value& access, const char* name, const char* title, F line) {
  const auto* list = member(access, name);
  if (!list || !list->is_array() || list->get_array().empty()) return;
  fmt::print("{}\n", title);
  for (const auto& entry : list->get_array()) fmt::print("  {}\n", line(entry));
}

Result<void> list_broker(const ApiWish& wish, bool is_json) {
  const auto api = find_api(wish);
  if (!api) return api.error();
  const auto done = run_action(*api, "/api/mcollective/access", std::nullopt);
  if (!done) return done.error();
  const auto* access = member(*done, "access");
  if (!access) return Error{"the daemon's answer has no member access"};
  if (is_json) {
    fmt::print("{}\n", to_text(*access));
    return {};
  }
  fmt::print("clients: {}\n", word(*access, "clients"));
  print_each(*access, "authorities", "authorities", [](const json::value& entry) { return text_of(&entry).value_or(""); });
  print_each(*access, "certificates", "certificates", [](const json::value& entry) {
    return fmt::format("{:<13} {}  {}  until {}  key {}  {}", word(entry, "state"), word(entry, "serial"), word(entry, "identity"),
                       word(entry, "not_after"), word(entry, "key"), word(entry, "where"));
  });
  print_each(*access, "keys", "listed keys", [](const json::value& entry) {
    return fmt::format("{}  {}  identity {}  {}", word(entry, "key"), word(entry, "name"), word(entry, "identity"), word(entry, "where"));
  });
  print_each(*access, "pins", "pinned keys", [](const json::value& entry) {
    return fmt::format("{}  {}{}", word(entry, "key"), word(entry, "identity"),
                       truth_of(member(entry, "forgotten"), false) ? "  forgotten" : "");
  });
  print_each(*access, "revoked", "revoked", [](const json::value& entry) {
    std::string out =
        fmt::format("list number {} of {}, issuer {:.16}…", word(entry, "number"), word(entry, "issued"), word(entry, "issuer"));
    for (const auto* name : {"keys", "serials"})
      if (const auto* items = member(entry, name); items && items->is_array())
        for (const auto& item : items->get_array()) out += "\n    " + text_of(&item).value_or("");
    return out;
  });
  print_each(*access, "problems", "problems", [](const json::value& entry) { return text_of(&entry).value_or(""); });
  return {};
}

Result<void> forget_pin(const ApiWish& wish, const std::string& identity) {
  const auto api = find_api(wish);
  if (!api) return api.error();
  const auto done = run_action(*api, "/api/mcollective/trust", json::value(json::object{{"identity", identity}}));
  if (!done) return done.error();
  fmt::print("{}: its key is forgotten, and the next other one that connects is pinned\n", identity);
  return {};
}

void add_submit_options(CLI::App& command, SubmitWish& wish) {
  command.add_option("--submit", wish.urls, "The API of each broker that shall have it at once, such as http://127.0.0.1:8085")
      ->allow_extra_args(false);
  command.add_option("--user", wish.api.user, "The user of these APIs");
  command.add_option("--password", wish.api.password, "Its password; better in the environment, as GORGONE_API_PASSWORD");
  command.add_flag("--insecure", wish.api.is_insecure, "Take any certificate of these addresses");
}

void add_sign(CLI::App& mcollective, Result<void>& outcome) {
  const auto wish = std::make_shared<SignWish>();
  const auto to = std::make_shared<SubmitWish>();
  auto* const command =
      mcollective.add_subcommand("sign", "Certify a client's key: which identities it may have, on which topics, how long");
  command->add_option("--ca", wish->ca, "The directory of the operator's key")->required();
  command->add_option("--key", wish->key, "The client's public key, or a file with it")->required();
  command->add_option("--identity", wish->identity, "The identity it may have, or a pattern such as web*.example.com")->required();
  auto* const publish =
      command->add_option("--publish", wish->publish, "A pattern of topics it may publish to, again for more; '' for none")
          ->allow_extra_args(false);
  auto* const subscribe =
      command->add_option("--subscribe", wish->subscribe, "A pattern of topics it may subscribe to, again for more; '' for none")
          ->allow_extra_args(false);
  command->add_option("--for", wish->duration, "How long it is valid: 30d, 12h, 90m, 45s, 2w")->capture_default_str();
  command->add_option("--from", wish->from, "When that begins, as 2026-11-22T13:30:00Z; otherwise now");
  command->add_option("--out", wish->out, "The file it is written to; otherwise it is printed");
  add_submit_options(*command, *to);
  command->callback([wish, to, publish, subscribe, &outcome] {
    wish->says_publish = publish->count() > 0;
    wish->says_subscribe = subscribe->count() > 0;
    outcome = sign_and_submit(*wish, *to);
  });
}

void add_revoke(CLI::App& mcollective, Result<void>& outcome) {
  const auto wish = std::make_shared<RevokeWish>();
  const auto to = std::make_shared<SubmitWish>();
  auto* const command = mcollective.add_subcommand("revoke", "Write or extend the signed list of what is no longer let in");
  command->add_option("--ca", wish->ca, "The directory of the operator's key")->required();
  command->add_option("what", wish->what, "Serials of certificates, keys, files of keys")->required();
  command->add_option("--list", wish->list, "The list's file; otherwise `revoked` beside the operator's key");
  command->add_flag("--undo", wish->is_undo, "Take these out of the list again");
  add_submit_options(*command, *to);
  command->callback([wish, to, &outcome] { outcome = revoke_and_submit(*wish, *to); });
}

void add_list(CLI::App& mcollective, Result<void>& outcome) {
  struct ListWish {
    ApiWish api;
    std::vector<std::string> paths;
    std::string ca;
    bool is_json = false;
  };
  const auto wish = std::make_shared<ListWish>();
  auto* const command =
      mcollective.add_subcommand("list", "What a broker knows of keys, pins, certificates and revocations, or what is in files");
  command->add_option("paths", wish->paths, "Certificates, or directories of them; without any the broker is asked");
  command->add_option("--ca", wish->ca, "The directory of the operator's key, to check the signatures in files");
  command->add_flag("--json", wish->is_json, "The broker's answer as it is");
  add_api_options(*command, wish->api);
  command->callback([wish, &outcome] {
    outcome = wish->paths.empty() ? list_broker(wish->api, wish->is_json) : list_certificate_files(wish->paths, wish->ca);
  });
}

}  // namespace

void add_mcollective_access(CLI::App& mcollective, Result<void>& outcome) {
  const auto directory = std::make_shared<std::string>();
  auto* const ca = mcollective.add_subcommand("ca", "Make the operator's key that certifies client keys");
  ca->add_option("--directory", *directory, "Where ca.secret and ca.public are made")->required();
  ca->callback([directory, &outcome] { outcome = make_authority(*directory); });

  add_sign(mcollective, outcome);
  add_revoke(mcollective, outcome);
  add_list(mcollective, outcome);

  struct TrustWish {
    ApiWish api;
    std::string identity;
  };
  const auto trust = std::make_shared<TrustWish>();
  auto* const command = mcollective.add_subcommand("trust", "Forget the key that an identity is pinned to (clients: first)");
  command->add_option("identity", trust->identity, "The client's identity")->required();
  add_api_options(*command, trust->api);
  command->callback([trust, &outcome] { outcome = forget_pin(trust->api, trust->identity); });
}

}  // namespace gorgone::ctl
