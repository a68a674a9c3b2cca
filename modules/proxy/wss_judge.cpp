#include <gorgone/await_callback.hpp>

#include <fmt/format.h>

#include "wss_session.hpp"

// Whether the token of a connection, and its secret, let it speak for the node that it says it is.

namespace gorgone::proxy {
namespace {

// The name of the web API's token with which each node came first.
constexpr const char* bound_tokens = "proxy.wss_token";
constexpr auto pin_limit = std::chrono::seconds(3);

/// Empty where the node is bound to none. An Error where the journal cannot tell.
asio::awaitable<Result<std::string>> bound_name(Agent& agent, std::string id) {
  auto start = [&agent, id](auto done) { agent.journal().kept(bound_tokens, std::move(done), KeptRange{id, {}, 1}); };
  const auto kept = co_await await_callback<Result<Kept>>(std::move(start));
  if (!kept) co_return kept.error();
  const auto found = kept->find(id);
  co_return found == kept->end() ? std::string() : found->second;
}

}  // namespace

asio::awaitable<WssAccess::Verdict> WssSession::judge(const WssNode& node) {
  const auto id = node.id;
  const auto verdict = co_await judge_token(node);
  if (verdict != Verdict::common) co_return verdict;
  const bool is_it = co_await has_its_secret(id);
  co_return is_it ? verdict : Verdict::refused;
}

asio::awaitable<WssAccess::Verdict> WssSession::judge_token(const WssNode& node) {
  const auto id = node.id;
  const auto names = node.names;
  const auto verdict = shared_.access.check(token_, names);
  if (verdict == Verdict::own) co_return verdict;
  if (verdict == Verdict::common) {
    const bool is_bound = co_await is_bound_to(id, {});
    co_return is_bound ? verdict : Verdict::refused;
  }
  std::string why = shared_.access.has_own(names) ? "which has a token of its own, not this one" : "but its token is not the common one";
  if (!shared_.access.has_own(names) && shared_.tokens.may_know(token_)) {
    auto known = co_await shared_.tokens.check(token_);
    if (known && *known) {
      const bool is_bound = co_await is_bound_to(id, token_.substr(0, token_.find(':')));
      co_return is_bound ? Verdict::common : Verdict::refused;
    }
    if (!known) {
      if (shared_.may_log("unchecked"))
        shared_.agent.log().error("httpserver: the token of node '{}' cannot be checked: {}", printable(id), known.error().message);
      refuse("the token cannot be checked now, come back", wss_come_back_later);
      co_return Verdict::refused;
    }
    why = "but Centreon does not know its token as one of a poller that is good now";
  }
  if (shared_.may_log("token " + id)) shared_.agent.log().warning("httpserver: {} says it is node '{}', {}", who(), printable(id), why);
  refuse_for(id, Error{fmt::format("{} says it is this node, {}", who(), why), down::handshake});
  co_return Verdict::refused;
}

// A token of the web API is some node's, though it does not say whose. So a node that came with one stays with it while it is good: who has
// another token, or the common one, does not speak for it. False where it was refused. An empty name: the common token.
asio::awaitable<bool> WssSession::is_bound_to(std::string id, std::string name) {
  if (!shared_.options.binds_tokens || (name.empty() && !shared_.tokens.has_api())) co_return true;
  const auto known = co_await bound_name(shared_.agent, id);
  if (!known) {
    if (shared_.may_log("unchecked"))
      shared_.agent.log().error("httpserver: it cannot be read with which token node '{}' came first: {}", printable(id),
                                known.error().message);
    refuse("the token cannot be checked now, come back", wss_come_back_later);
    co_return false;
  }
  const auto& bound = *known;
  is_bound_ = !name.empty();
  if (bound == name) co_return true;
  if (!bound.empty()) {
    const auto is_good = co_await shared_.tokens.is_still_good(bound);
    if (!is_good) {
      if (shared_.may_log("unchecked"))
        shared_.agent.log().error("httpserver: the token '{}' of node '{}' cannot be checked: {}", printable(bound), printable(id),
                                  is_good.error().message);
      refuse("the token cannot be checked now, come back", wss_come_back_later);
      co_return false;
    }
    if (*is_good) {
      const auto shown = name.empty() ? "the common one" : "'" + printable(name) + "'";
      if (shared_.may_log("bound " + id))
        shared_.agent.log().error(
            "httpserver: {} says it is node '{}', which came with the token '{}' until now, not with {}: refused while that token is good; "
            "revoke it in Centreon, or set httpserver.bind_tokens: false",
            who(), printable(id), printable(bound), shown);
      refuse_for(id, Error{fmt::format("{} says it is this node, which came with the token '{}' until now, not with {}", who(),
                                       printable(bound), shown),
                           down::handshake});
      co_return false;
    }
  }
  to_bind_ = std::move(name);
  co_return true;
}

// A token that several nodes have does not say which of them this is. What a node of ours shows beside it was pinned when it came first.
// False where it was refused.
asio::awaitable<bool> WssSession::has_its_secret(std::string id) {
  if (!shared_.options.binds_nodes) co_return true;
  const auto target = "wss://" + id;
  auto start = [this, target](auto done) {
    auto told = [done, owed = shared_.owed](Result<std::optional<std::string>> pinned) { done(std::move(pinned)); };
    shared_.agent.journal().fingerprint_of(target, std::move(told));
  };
  // A disk that hangs must not keep nodes away.
  const auto looked = co_await await_callback_for<Result<std::optional<std::string>>>(pin_limit, std::move(start));
  if (shared_.is_stopping) co_return false;
  if (!looked || !*looked) {
    // As what it relays does not wait for the database either.
    if (shared_.may_log("unchecked"))
      shared_.agent.log().warning("httpserver: node '{}' is let in without a look at its secret, for what is pinned cannot be read: {}",
                                  printable(id), looked ? looked->error().message : "the journal has not answered within 3 s");
    co_return true;
  }
  const auto known = (*looked)->value_or(no_secret);
  must_pin_ = known == no_secret && secret_ != no_secret;
  is_bound_ = is_bound_ || secret_ != no_secret;
  if (known == no_secret || known == secret_) co_return true;
  const auto shown = secret_ == no_secret ? "no secret" : "the secret of thumbprint " + secret_;
  shared_.agent.journal().note_refused_key(target, id, secret_);
  if (shared_.may_log("secret " + id))
    shared_.agent.log().error(
        "httpserver: {} says it is node '{}' and shows {}, but that node came with the secret of thumbprint {}: refused. If its keys are "
        "others now, or a deployed daemon has taken its place: gorgonectl trust {}; httpserver.bind_nodes: false lets in all",
        who(), printable(id), shown, known, printable(id));
  refuse_for(id, Error{fmt::format("{} says it is this node and shows {}, pinned is the secret of thumbprint {}; if that is right: "
                                   "gorgonectl trust {}",
                                   who(), shown, known, printable(id)),
                       down::key_changed});
  co_return false;
}

void WssSession::refuse_for(const std::string& id, const Error& why) {
  if (const auto node = shared_.nodes.find(id)) node->offer_refused(why);
  refuse("token authorization unallowed");
}

void WssSession::bind(const std::string& id) {
  if (must_pin_) {
    shared_.agent.journal().pin_fingerprint("wss://" + id, secret_, {});
    shared_.agent.log().info("node '{}': pinned the secret of thumbprint {} at first use", printable(id), secret_);
  }
  if (!to_bind_) return;
  if (to_bind_->empty())
    shared_.agent.journal().drop_kept(bound_tokens, id);
  else
    shared_.agent.journal().keep(bound_tokens, id, *to_bind_);
}

}  // namespace gorgone::proxy
