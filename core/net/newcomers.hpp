#pragma once
// Connections over which no whole message has come yet, and why they end: ZeroMQ drops what does not greet as it expects and tells no more
// than a number, and nothing at all of some of them. Without I/O; on the loop. Times are milliseconds of a steady clock.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace gorgone::net {

class Newcomers {
 public:
  struct Limits {
    std::int64_t greeting_ms;       ///< after which ZeroMQ closes what has not greeted
    std::int64_t message_size_max;  ///< of a frame
  };
  enum class Failure { protocol, other };
  struct Refusal {
    std::string host;     ///< of the peer; empty where it had gone before it could be asked for
    std::string address;  ///< with its port, or words in its place
    std::string why;
  };
  explicit Newcomers(Limits limits) : limits_(limits) {}

  void came(int connection, std::int64_t now);
  void is_from(int connection, std::string host, int port);
  /// So many bytes have come over it.
  void received(int connection, std::uint64_t bytes);
  /// Somebody has greeted: ZeroMQ does not say who.
  void greeted() { ++greetings_; }
  /// The connection that ends next has not greeted well; `value` is ZeroMQ's.
  void failed(Failure kind, std::uint32_t value) { failure_ = {kind, value}; }
  /// A whole message came over it, or somebody else tells of its end: it is no newcomer any more.
  void forget(int connection);
  /// It has ended: what there is to tell at once.
  std::optional<Refusal> left(int connection, std::int64_t now);
  /// Of those that ended a while ago, and of which no message was read since.
  std::vector<Refusal> due(std::int64_t now);

 private:
  struct Newcomer {
    std::string host;
    int port = 0;
    std::uint64_t bytes = 0, greetings_before = 0;
    std::int64_t since = 0;
  };
  struct FailureTold {
    Failure kind;
    std::uint32_t value;
  };
  struct Ended {
    int connection;
    std::int64_t when;
    Newcomer newcomer;
  };
  std::string failure_of(const Newcomer& newcomer, FailureTold failure, std::int64_t now) const;
  static Refusal refusal_of(const Newcomer& newcomer, std::string why);

  Limits limits_;
  std::unordered_map<int, Newcomer> newcomers_;
  std::vector<Ended> ended_;
  std::uint64_t greetings_ = 0;
  std::optional<FailureTold> failure_;
};

}  // namespace gorgone::net
