#pragma once
// Who owns the queue of a topic, among all brokers of a backbone: one record of each topic in the stream of owners, "<claim> <identity>".
// A claim is a number of one subscription at one broker; the last one of an identity counts. On the loop.

#include <functional>
#include <memory>
#include <string>

#include "jet_stream.hpp"
#include "stream_names.hpp"

namespace gorgone::mcollective {

class QueueClaims {
 public:
  enum class Answer {
    ours,
    moved,
    not_ours,
    unknown
  };  ///< moved: the same identity, by a claim of another broker; unknown: the backbone is away
  /// `owner`: whose record it is where the answer is not_ours.
  using Done = std::function<void(Answer, const std::string& owner)>;

  QueueClaims(NatsConnection& connection, const StreamNames& names) : streams_(connection), names_(names) {}
  QueueClaims(const QueueClaims&) = delete;

  /// Takes the queue where nobody has it or the identity had it by whatever claim.
  void claim(const std::string& topic, const std::string& claim, const std::string& identity, Done done);
  /// Looks whether a claim still holds; claims anew where there is none, and where `is_renewed` so that it grows no older.
  void check(const std::string& topic, const std::string& claim, const std::string& identity, bool is_renewed, Done done);
  /// Gives it back where the identity has it. An Error: not now.
  void release(const std::string& topic, const std::string& identity, std::function<void(Result<void>)> done);

 private:
  struct Record {
    std::uint64_t sequence = 0;
    std::string claim, identity;
  };
  void look(const std::string& topic, std::function<void(Result<Record>)> done);
  void write(const std::string& topic, const std::string& claim, const std::string& identity, std::uint64_t after, int attempts, Done done);
  void try_claim(const std::string& topic, const std::string& claim, const std::string& identity, int attempts, Done done);

  JetStream streams_;
  const StreamNames& names_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::mcollective
