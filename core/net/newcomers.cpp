#include "core/net/newcomers.hpp"

#include <fmt/format.h>

#include <zmq.h>
#include <algorithm>
#include <utility>

namespace gorgone::net {
namespace {

// The library's clock and ours are not read at the same moment.
constexpr std::int64_t late_ms = 1000;
// Who greets and ends sooner than this, without a message, is taken for one whose first frame was too large.
constexpr std::int64_t short_ms = 1000;
// Messages that came before an end may be read so long after it.
constexpr std::int64_t unread_ms = 2000;
constexpr std::size_t ended_max = 1000;

constexpr auto expected = "expected a greeting of ZMTP 3 with the mechanism NULL";

}  // namespace

void Newcomers::came(int connection, std::int64_t now) {
  Newcomer newcomer;
  newcomer.since = now;
  newcomer.greetings_before = greetings_;
  newcomers_[connection] = std::move(newcomer);
}

void Newcomers::is_from(int connection, std::string host, int port) {
  const auto found = newcomers_.find(connection);
  if (found == newcomers_.end()) return;
  found->second.host = std::move(host);
  found->second.port = port;
}

void Newcomers::received(int connection, std::uint64_t bytes) {
  if (const auto found = newcomers_.find(connection); found != newcomers_.end()) found->second.bytes = bytes;
}

void Newcomers::forget(int connection) {
  newcomers_.erase(connection);
  if (!ended_.empty()) std::erase_if(ended_, [connection](const Ended& ended) { return ended.connection == connection; });
}

std::optional<Newcomers::Refusal> Newcomers::left(int connection, std::int64_t now) {
  const auto failure = std::exchange(failure_, std::nullopt);
  auto found = newcomers_.extract(connection);
  if (found.empty()) return {};
  auto& newcomer = found.mapped();
  if (failure) {
    auto why = failure_of(newcomer, *failure, now);
    if (why.empty()) return {};
    return refusal_of(newcomer, std::move(why));
  }
  // Nobody has greeted meanwhile, so it has not, and it did not go by itself: of that ZeroMQ tells.
  if (newcomer.greetings_before == greetings_)
    return refusal_of(newcomer, fmt::format("what it sent is no ZMTP, or a frame of more than {} bytes (max_message_size); {}",
                                            limits_.message_size_max, expected));
  if (now - newcomer.since < short_ms && ended_.size() < ended_max) ended_.push_back({connection, now, std::move(newcomer)});
  return {};
}

std::vector<Newcomers::Refusal> Newcomers::due(std::int64_t now) {
  std::vector<Refusal> refusals;
  auto it = ended_.begin();
  for (; it != ended_.end() && it->when + unread_ms <= now; ++it)
    refusals.push_back(
        refusal_of(it->newcomer, fmt::format("it has ended without a whole message: it went away, or sent a frame of more than {} bytes "
                                             "(max_message_size)",
                                             limits_.message_size_max)));
  ended_.erase(ended_.begin(), it);
  return refusals;
}

// Nothing of one that came and went without a byte: so do those who look whether the port is open.
std::string Newcomers::failure_of(const Newcomer& newcomer, FailureTold failure, std::int64_t now) const {
  if (failure.kind == Failure::protocol && failure.value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
    return fmt::format("its greeting names another security mechanism; {}", expected);
  if (failure.kind == Failure::protocol) return fmt::format("its handshake is broken (ZeroMQ's error {:#x}); {}", failure.value, expected);
  if (now - newcomer.since + late_ms >= limits_.greeting_ms)
    return fmt::format("it has not greeted within {} s; {}", limits_.greeting_ms / 1000, expected);
  if (newcomer.bytes == 0) return {};
  return fmt::format("it went away after {} bytes, in the middle of its greeting; {}", newcomer.bytes, expected);
}

Newcomers::Refusal Newcomers::refusal_of(const Newcomer& newcomer, std::string why) {
  if (newcomer.host.empty()) return {{}, "somebody who had gone before his address was read", std::move(why)};
  return {newcomer.host, fmt::format("{}:{}", newcomer.host, newcomer.port), std::move(why)};
}

}  // namespace gorgone::net
