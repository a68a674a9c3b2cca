#pragma once
// Who may connect, and what he may publish and subscribe to: authorized keys, pinned keys, certificates, topic rules. Decides; the broker
// performs. On the loop; files are read at the start and at reload, and looked at every second so that a revocation holds within 5 s.

#include <gorgone/agent.hpp>
#include <gorgone/config.hpp>
#include <gorgone/result.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gorgone::mcollective {

/// Part of a module's schema: `clients` (any, listed, first), `authorized_keys`, `certificates`, `certificate_authority`, `revoked`,
/// `topics`.
Schema access_schema();
std::vector<Problem> check_access(const Settings& settings);

/// The identity in a connector's routing id, "<identity> <pid> #<Thread…>": all before the first space.
std::string identity_of(std::string_view routing_id);

/// "mcollective * *" matches topic "mcollective nodes web1": words by words, `*` is one word or a part of one, `**` at the end any number.
/// `%i` in a rule is the client's identity.
bool topic_matches(std::string_view pattern, std::string_view topic);

/// What one client may do. Cheap to copy.
struct Grant {
  std::string name;          ///< of the key, as in the list or the certificate, for people; may be empty
  std::string source;        ///< "any", "listed in authorized_keys:3", "pinned", "certificate 7f3a… until 2026-12-01T00:00:00Z"
  std::int64_t until_s = 0;  ///< since 1970: the connection ends then; 0: never
  /// Known only as the owner of a key: it may CONNECT with a certificate and nothing else.
  bool awaits_certificate = false;
  std::vector<std::string> publish, subscribe;  ///< patterns, `%i` already replaced

  bool may_publish(std::string_view topic) const;
  bool may_subscribe(std::string_view topic) const;
};

class Access {
 public:
  /// Reads the files. `changed` is called whenever somebody's grant may have become another one: ask for all anew.
  static Result<std::unique_ptr<Access>> make(Agent& agent, const Settings& settings, bool curve, std::function<void()> changed);
  virtual ~Access() = default;

  /// Pinned keys are known (they lie in the journal); before that nobody can be admitted under the policy `first`.
  virtual asio::awaitable<Result<void>> start() = 0;
  /// Key in Z85, empty without CURVE. An Error says why not, for the log.
  virtual Result<Grant> grant(const std::string& key, const std::string& routing_id) = 0;
  /// A certificate that a client or the API brought: kept where it is good. An Error says what is wrong with it.
  virtual Result<void> take_certificate(const std::string& text) = 0;
  /// For `gorgonectl mcollective list` and the API: keys, pins, certificates, revocations; no secrets.
  virtual json::object describe() const = 0;
};

}  // namespace gorgone::mcollective
