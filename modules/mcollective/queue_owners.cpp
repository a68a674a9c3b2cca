#include "queue_owners.hpp"

#include <fmt/format.h>

#include <charconv>

#include "kept_store.hpp"
#include "subjects.hpp"

namespace gorgone::mcollective {
namespace {

const std::string collection = "mcollective.owner";

}  // namespace

asio::awaitable<Result<void>> QueueOwners::start() {
  KeptRange all;
  auto records = co_await kept_records(agent_.journal(), collection, all);
  if (!records) co_return Error{"the owners of queues cannot be read from the journal: " + records.error().message};
  for (const auto& [subject, data] : *records) {
    const auto topic = topic_of(subject);
    const auto space = data.find(' ');
    if (!topic || space == std::string::npos) {
      agent_.journal().drop_kept(collection, subject);
      continue;
    }
    Owner owner{data.substr(space + 1), 0};
    std::from_chars(data.data(), data.data() + space, owner.seen_s);
    owners_[*topic] = std::move(owner);
  }
  co_return Result<void>{};
}

const std::string* QueueOwners::owner(const std::string& topic) const {
  const auto found = owners_.find(topic);
  return found == owners_.end() ? nullptr : &found->second.identity;
}

void QueueOwners::set(const std::string& topic, const std::string& identity, std::int64_t now_s) {
  auto& owner = owners_[topic];
  if (owner.identity == identity && owner.seen_s == now_s) return;
  owner = Owner{identity, now_s};
  agent_.journal().keep(collection, subject_of(topic), fmt::format("{} {}", now_s, identity));
}

void QueueOwners::remove(const std::string& topic) {
  if (owners_.erase(topic) > 0) agent_.journal().drop_kept(collection, subject_of(topic));
}

void QueueOwners::expire(const std::function<std::int64_t(const std::string& topic)>& limit) {
  for (auto next = owners_.begin(); next != owners_.end();) {
    const auto place = next++;
    if (place->second.seen_s < limit(place->first)) remove(std::string(place->first));
  }
}

}  // namespace gorgone::mcollective
