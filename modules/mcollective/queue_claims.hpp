#pragma once
// Who owns the queue of a topic, among all brokers of a backbone: one record of each topic in the stream of owners, "<claim> <identity>"
// and, where identities belong to keys, " <key>". A claim is a number of one subscription at one broker; the last one of an identity
// counts, under the same key. On the loop.

#include <functional>
#include <memory>
#include <string>

#include "identity_key.hpp"
#include "jet_stream.hpp"
#include "stream_names.hpp"

namespace gorgone::mcollective {

class QueueClaims {
 public:
  enum class Answer {
    ours,
    moved,
    not_ours,
    other_key,
    unknown
  };  ///< moved: the same identity, by a claim of another broker; other_key: it, by another key; unknown: the backbone is away
  /// `owner`: whose record it is where the answer is not_ours.
  using Done = std::function<void(Answer, const std::string& owner)>;

  struct Claim {
    std::string number, identity;
    IdentityKey key;
  };

  QueueClaims(NatsConnection& connection, const StreamNames& names) : streams_(connection), names_(names) {}
  QueueClaims(const QueueClaims&) = delete;

  /// Takes the queue where nobody has it or the identity had it, by whatever claim of the same key.
  void claim(const std::string& topic, const Claim& claim, Done done);
  /// Looks whether a claim still holds; claims anew where there is none, and where `is_renewed` so that it grows no older.
  void check(const std::string& topic, const Claim& claim, bool is_renewed, Done done);
  /// Whether nobody has it; false where that is not known.
  void is_free(const std::string& topic, std::function<void(bool)> done);
  /// Gives it back where the identity has it, under this key. An Error: not now.
  void release(const std::string& topic, const Claim& claim, std::function<void(Result<void>)> done);

 private:
  struct Record {
    std::uint64_t sequence = 0;
    std::string claim, identity, key;
  };
  static bool is_of_other_key(const Record& record, const Claim& claim);
  void look(const std::string& topic, std::function<void(Result<Record>)> done);
  void write(const std::string& topic, const Claim& claim, std::uint64_t after, int attempts, Done done);
  void try_claim(const std::string& topic, const Claim& claim, int attempts, Done done);

  JetStream streams_;
  const StreamNames& names_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::mcollective
