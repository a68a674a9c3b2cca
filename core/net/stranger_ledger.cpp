#include "core/net/stranger_ledger.hpp"

#include <algorithm>
#include <tuple>

namespace gorgone::net {
namespace {

// Greetings and what stands before each frame: nobody is taken for one who holds something because of them.
constexpr std::uint64_t little_bytes = 4096;
// Those with a session may send that much each second beside messages: a PING of ZMTP is never handed out.
constexpr std::int64_t commands_per_s = 16;
// What a byte on the wire may come to in memory.
constexpr std::uint64_t swell_max = 32;
// How many times the bound memory may grow before a stranger, and before one with a session, is taken for the cause: what is worked on in
// the daemon grows it too.
constexpr std::uint64_t suspect_times = 2, trusted_times = 4;

}  // namespace

void StrangerLedger::came(int connection) {
  left(connection);
  Client client;
  client.place = ++last_place_;
  strangers_.emplace(client.place, connection);
  clients_.emplace(connection, client);
}

void StrangerLedger::left(int connection) {
  const auto found = clients_.find(connection);
  if (found == clients_.end()) return;
  strangers_.erase(found->second.place);
  clients_.erase(found);
}

void StrangerLedger::known(int connection) {
  const auto found = clients_.find(connection);
  if (found == clients_.end() || found->second.is_known) return;
  strangers_.erase(found->second.place);
  found->second.is_known = true;
}

void StrangerLedger::delivered(int connection, std::uint64_t wire_bytes) {
  if (const auto found = clients_.find(connection); found != clients_.end()) found->second.delivered += wire_bytes;
}

void StrangerLedger::received(int connection, std::uint64_t bytes, std::int64_t now) {
  const auto found = clients_.find(connection);
  if (found == clients_.end()) return;
  auto& client = found->second;
  const auto before = client.held;
  if (client.seen == 0) client.seen = now;
  const auto commands = client.is_known ? static_cast<std::uint64_t>((now - client.seen) / 1000 * commands_per_s) : 0;
  const auto whole = client.delivered + commands;
  client.held = bytes > whole + little_bytes ? bytes - whole : 0;
  if (before == 0) client.since = now;
}

std::vector<int> StrangerLedger::strangers() const {
  std::vector<int> all;
  all.reserve(strangers_.size());
  for (const auto& [place, connection] : strangers_) all.push_back(connection);
  return all;
}

std::vector<int> StrangerLedger::with_session() const {
  std::vector<int> all;
  for (const auto& [connection, client] : clients_)
    if (client.is_known) all.push_back(connection);
  return all;
}

std::uint64_t StrangerLedger::held() const {
  std::uint64_t sum = 0;
  for (const auto& [place, connection] : strangers_) sum += clients_.at(connection).held;
  return sum;
}

std::uint64_t StrangerLedger::held_with_session() const {
  std::uint64_t sum = 0;
  for (const auto& [connection, client] : clients_)
    if (client.is_known) sum += client.held;
  return sum;
}

std::vector<StrangerLedger::Cut> StrangerLedger::cut_down(bool is_known, std::uint64_t bytes_max) {
  auto sum = is_known ? held_with_session() : held();
  if (sum <= bytes_max) return {};
  std::vector<std::tuple<std::int64_t, std::uint64_t, int>> holding;  // sorted: for longest first, then what holds most
  for (const auto& [connection, client] : clients_)
    if (client.is_known == is_known && client.held > 0) holding.emplace_back(client.since, ~client.held, connection);
  std::sort(holding.begin(), holding.end());
  std::vector<Cut> cut;
  for (const auto& [since, inverse, connection] : holding) {
    if (sum <= bytes_max) break;
    cut.push_back({connection, ~inverse});
    sum -= ~inverse;
    left(connection);
  }
  return cut;
}

std::vector<StrangerLedger::Cut> StrangerLedger::surplus() { return cut_down(false, limits_.bytes); }

std::vector<StrangerLedger::Cut> StrangerLedger::crowd(std::size_t nodes) {
  std::vector<Cut> cut;
  while (strangers_.size() > limits_.connections && strangers_.size() - limits_.connections > nodes) {
    const int connection = strangers_.begin()->second;
    cut.push_back({connection, clients_.at(connection).held});
    left(connection);
  }
  return cut;
}

std::vector<StrangerLedger::Cut> StrangerLedger::swollen(std::uint64_t grown) {
  if (grown <= suspect_times * limits_.bytes + swell_usual * (held() + held_with_session())) return {};
  auto cut = cut_down(false, limits_.bytes / swell_max);
  // A large answer that is being written grows the process too, and whoever has a session may have much on its way.
  if (!cut.empty() || grown <= trusted_times * limits_.bytes) return cut;
  return cut_down(true, limits_.bytes / swell_max);
}

bool StrangerLedger::has_suspects() const {
  const auto least = limits_.bytes / swell_max;
  return held() > least || held_with_session() > least;
}

}  // namespace gorgone::net
