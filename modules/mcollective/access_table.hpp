#pragma once
// Decides who may connect and what he may do, from what the files, the journal and the clients themselves brought. Without I/O; the caller
// brings the time, in seconds since 1970.

#include <gorgone/json.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "access.hpp"
#include "access_files.hpp"

namespace gorgone::mcollective {

enum class AccessPolicy { any, listed, first };

struct AccessRules {
  AccessPolicy policy = AccessPolicy::any;
  bool has_authority = false;  ///< certificates are taken
  std::vector<TopicRule> topics;
  std::size_t pins_max = 0;
  bool is_plain = false;  ///< without CURVE: nobody has a key
};

class AccessTable {
 public:
  explicit AccessTable(AccessRules rules) : rules_(std::move(rules)) {}

  void set_files(std::shared_ptr<const AccessFiles> files);
  const AccessFiles& files() const { return *files_; }

  /// Pins the identity where the policy is `first` and it has no pin yet: see take_new_pins().
  Result<Grant> grant(const std::string& key, const std::string& routing_id, std::int64_t now_s);

  /// Identities pinned since the last call, with their keys.
  Pins take_new_pins() { return std::exchange(new_pins_, {}); }
  void set_pins(std::map<std::string, std::string> pins);
  /// What another broker has pinned or forgotten. `differs`: our own is of another key, and stays.
  enum class Learnt { nothing, added, replaced, differs };
  Learnt learn_pin(const std::string& identity, const std::string& pin);
  /// To be told to other brokers; nothing where the policy is another one.
  Pins pins() const;
  /// As it is to be kept; empty: there is none.
  std::string pin_of(const std::string& identity) const;
  /// Another key than the one that was pinned is pinned next; forgotten a second time, any key is. The pin as it is to be kept from now on,
  /// empty: not at all. An Error where there was none.
  Result<std::string> forget_pin(const std::string& identity);

  bool has(const Certificate& certificate) const;
  /// A certificate that did not come from a file. The serials that have no more use, perhaps its own: of the same
  /// key, what is older than the newest one that is valid now.
  std::vector<std::string> take(Certificate certificate, std::int64_t now_s);
  /// An Error where a newer list of that issuer is known or, with the code "differs", another one of the same number.
  Result<void> take(Revocations revocations);
  /// The same of a list that is there anyhow, in a file or in the journal: whose entries differ under a number that is known is an Error,
  /// but nobody is let in because of the order in which they were read: what either of them revokes is revoked.
  Result<void> take_kept(const Revocations& revocations);
  /// Those of the files, and lists in them that are not taken.
  std::vector<std::string> problems() const;
  /// Removes what did not come from files and has ended: their serials.
  std::vector<std::string> drop_ended(std::int64_t now_s);
  bool is_revoked(const Certificate& certificate) const;

  /// The next second in which a certificate begins or ends, 0 where none does.
  std::int64_t next_change_s(std::int64_t now_s) const;

  json::object describe(std::int64_t now_s) const;

 private:
  const HeldCertificate* best_of(const std::string& key, std::int64_t now_s) const;
  bool is_valid(const Certificate& certificate, std::int64_t now_s) const;
  const Revocations* revoker_of(std::string_view key) const;
  std::string state_of(const Certificate& certificate, std::int64_t now_s) const;
  Result<Grant> pinned(const std::string& key, const std::string& identity, Grant grant);
  bool has_room_for(const std::string& identity) const { return pins_.contains(identity) || pins_.size() < rules_.pins_max; }
  void pin_if_free(const std::string& key, const std::string& identity);
  void finish(Grant& grant, const TopicPermits& own, std::string_view client, std::string_view identity) const;
  template <class F>
  void each_certificate(F see) const;

  AccessRules rules_;
  std::shared_ptr<const AccessFiles> files_ = std::make_shared<AccessFiles>();
  CertificatesByKey taken_;
  std::vector<std::string> differing_;       ///< lists of the files that differ from those that hold
  RevocationsByIssuer revocations_;          ///< of the files too: a list that vanishes revokes on
  std::map<std::string, std::string> pins_;  ///< see Pins
  std::set<std::string> opened_;             ///< forgotten twice, and not pinned since
  Pins new_pins_;
};

}  // namespace gorgone::mcollective
