#pragma once
// Streams of a NATS cluster: made, written, read and emptied by questions to the servers' JetStream API. The C client's own functions for
// these wait for their answers, which the loop may not. On the loop; see NatsConnection::ask() for "away".

#include <functional>
#include <optional>
#include <string>

#include "nats_connection.hpp"

namespace gorgone::mcollective {

class JetStream {
 public:
  struct Record {
    std::uint64_t sequence = 0;
    std::string data;
  };
  template <class T>
  using Done = std::function<void(Result<T>)>;

  explicit JetStream(NatsConnection& connection) : connection_(connection) {}

  /// Makes a stream, or gives it this configuration.
  void ensure(json::object configuration, Done<void> done);
  /// Stores a message; its sequence comes when it is safe. `after`: only where this is the sequence of the newest message of the subject,
  /// 0 where there must be none. Codes of an Error: "full", "changed" (`after` did not hold), "too_large", "away" (whether it is stored is
  /// not known), or empty: refused, for how long is not known.
  void store(const std::string& subject, const std::string& id, std::string payload, std::optional<std::uint64_t> after,
             Done<std::uint64_t> done);
  /// The first message of a subject from a sequence on.
  void next(const std::string& stream, const std::string& subject, std::uint64_t from, Done<std::optional<Record>> done);
  /// The newest message of a subject, as the stream's leader knows it.
  void last(const std::string& stream, const std::string& subject, Done<std::optional<Record>> done);
  /// Done too where it is not there any more.
  void remove(const std::string& stream, std::uint64_t sequence, Done<void> done);
  /// How many messages and bytes a stream holds, and the sequence of the newest message that it has ever had. The code of an Error is
  /// "no_stream" where there is no such stream.
  struct Use {
    std::uint64_t messages = 0, bytes = 0;
    std::uint64_t newest = 0;
  };
  void use(const std::string& stream, Done<Use> done);

 private:
  void ask(const std::string& what, const json::object& question, Done<json::object> done);

  NatsConnection& connection_;
};

}  // namespace gorgone::mcollective
