#pragma once
// Who may connect, and what he may publish and subscribe to: authorized keys, pinned keys, certificates, topic rules. Decides; the broker
// performs. On the loop; files are read on the pool, at the start and whenever they have changed: they are looked at every second, so that
// a revocation holds within 5 s. docs/mcollective-access.md is the user's page.

#include <gorgone/agent.hpp>
#include <gorgone/config.hpp>
#include <gorgone/result.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "identity_key.hpp"
#include "topic_rules.hpp"

namespace gorgone::mcollective {

/// Part of a module's schema: `clients` (any, listed, first), `authorized_keys`, `certificates`, `certificate_authority`, `revoked`,
/// `topics`, `pins_max`.
Schema access_schema();
/// `curve`: the module's option of that name.
std::vector<Problem> check_access(const Settings& settings, bool curve = true);

/// What one client may do. Cheap to copy.
struct Grant {
  std::string name;          ///< of the key, as in the list, for people; may be empty
  std::string source;        ///< "any", "listed in authorized_keys:3", "pinned", "certificate 0194… until 2026-12-01T00:00:00Z"
  std::int64_t until_s = 0;  ///< since 1970: the connection ends then (`changed` comes in that second); 0: never
  /// Known only as the owner of a key: it may CONNECT with a certificate and nothing else.
  bool awaits_certificate = false;
  /// Whether the identity belongs to the key (`clients: first`), see IdentityKey. There is a grant for each client, so the key is not in
  /// it.
  enum class Binding : std::uint8_t { none, came_first, certain };
  Binding binding = Binding::none;
  std::vector<std::string> publish, subscribe;  ///< patterns, `%i` already replaced

  bool may_publish(std::string_view topic) const;
  bool may_subscribe(std::string_view topic) const;
  IdentityKey identity_key(const std::string& key) const {
    return binding == Binding::none ? IdentityKey() : IdentityKey{key, binding == Binding::certain};
  }
};

class Access {
 public:
  /// `changed` is called whenever somebody's grant may have become another one: ask for all anew. Never from inside a call of its owner.
  static Result<std::unique_ptr<Access>> make(Agent& agent, const Settings& settings, bool curve, std::function<void()> changed);
  virtual ~Access() = default;

  /// Reads the files and what lies in the journal, and looks after them from then on. Before it has come back nobody can be admitted.
  virtual asio::awaitable<Result<void>> start() = 0;
  /// Key in Z85, empty without CURVE. An Error says why not, for the log.
  virtual Result<Grant> grant(const std::string& key, const std::string& routing_id) = 0;
  /// A certificate (or a list of revocations, signed as well) that a client or the API brought: kept where it is good. An Error says what
  /// is wrong with it; with the code "superseded" nothing is, but that a later one of its key holds. Costs about 0.1 ms, good or not: a
  /// client that brings a bad one should be closed.
  virtual Result<void> take_certificate(const std::string& text) = 0;
  /// Policy `first`: forgets the key that an identity is pinned to, ends its connections, and pins the next other one. A second time: the
  /// next one, whatever it is. An Error where none is pinned.
  virtual Result<void> forget_pin(const std::string& identity) = 0;
  /// Policy `first` at several brokers. What is pinned or forgotten here from now on is told to the others by `tell`.
  virtual void share_pins(std::function<void(const Pins&)> tell) { static_cast<void>(tell); }
  /// What another broker has told. A pin of our own stays, but for one that is trusted there and not here.
  virtual void take_pins(const Pins& pins) { static_cast<void>(pins); }
  virtual Pins pins() const { return {}; }  ///< those that others need to know
  /// For `gorgonectl mcollective list` and the API: keys, pins, certificates, revocations; no secrets.
  virtual json::object describe() const = 0;
};

}  // namespace gorgone::mcollective
