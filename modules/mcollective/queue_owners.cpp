#include "queue_owners.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "kept_store.hpp"
#include "subjects.hpp"

namespace gorgone::mcollective {
namespace {

const std::string collection = "mcollective.owner", broker_key = "!";
constexpr std::size_t portion = 5000;
constexpr std::int64_t down_not_written_s = 60;

}  // namespace

asio::awaitable<Result<void>> QueueOwners::start(std::int64_t now_s) {
  KeptRange all;
  auto records = co_await kept_records(agent_.journal(), collection, all);
  if (!records) co_return Error{"the owners of queues cannot be read from the journal: " + records.error().message, "database"};
  std::int64_t newest = 0;
  for (const auto& [subject, data] : *records) {
    if (subject == broker_key) {
      std::int64_t seen_s = 0;
      std::from_chars(data.data(), data.data() + data.size(), seen_s);
      newest = std::max(newest, seen_s);
      continue;
    }
    const auto topic = topic_of(subject);
    const auto space = data.find(' ');
    if (!topic || space == std::string::npos) {
      agent_.journal().drop_kept(collection, subject);
      continue;
    }
    Owner owner{data.substr(space + 1), 0};
    std::from_chars(data.data(), data.data() + space, owner.seen_s);
    newest = std::max(newest, owner.seen_s);
    ++of_each_[owner.identity];
    owners_[*topic] = std::move(owner);
  }
  const auto down = now_s - newest;
  for (auto& [topic, owner] : owners_) {
    owner.seen_s += down;
    if (std::abs(down) >= down_not_written_s) write(topic, owner);
  }
  co_return Result<void>{};
}

const std::string* QueueOwners::owner(const std::string& topic) const {
  const auto found = owners_.find(topic);
  return found == owners_.end() ? nullptr : &found->second.identity;
}

bool QueueOwners::has_room(const std::string& topic, const std::string& identity) const {
  const auto known = owners_.find(topic);
  if (known != owners_.end() && known->second.identity == identity) return true;
  const auto has = of_each_.find(identity);
  if (has != of_each_.end() && has->second >= of_one_max) return false;
  return known != owners_.end() || owners_.size() < owners_max;
}

bool QueueOwners::set(const std::string& topic, const std::string& identity, std::int64_t now_s) {
  const auto known = owners_.find(topic);
  if (known == owners_.end() || known->second.identity != identity) {
    if (!has_room(topic, identity)) return false;
    remove(topic);
    ++of_each_[identity];
  } else if (known->second.seen_s == now_s) {
    return true;
  }
  auto& owner = owners_[topic];
  owner = Owner{identity, now_s};
  write(topic, owner);
  return true;
}

void QueueOwners::write(const std::string& topic, const Owner& owner) {
  agent_.journal().keep(collection, subject_of(topic), fmt::format("{} {}", owner.seen_s, owner.identity));
}

void QueueOwners::remove(const std::string& topic) {
  const auto known = owners_.find(topic);
  if (known == owners_.end()) return;
  const auto has = of_each_.find(known->second.identity);
  if (--has->second == 0) of_each_.erase(has);
  agent_.journal().drop_kept(collection, subject_of(topic));
  owners_.erase(known);
}

void QueueOwners::note_time(std::int64_t now_s) { agent_.journal().keep(collection, broker_key, std::to_string(now_s)); }

std::vector<std::string> QueueOwners::expire(const std::function<std::int64_t(const std::string& topic)>& limit) {
  std::vector<std::string> expired;
  auto next = owners_.upper_bound(looked_at_);
  for (std::size_t i = 0; i < portion && next != owners_.end(); ++i, ++next) {
    if (next->second.seen_s < limit(next->first)) expired.push_back(next->first);
    looked_at_ = next->first;
  }
  if (next == owners_.end()) looked_at_.clear();
  for (const auto& topic : expired) remove(topic);
  return expired;
}

}  // namespace gorgone::mcollective
