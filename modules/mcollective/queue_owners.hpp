#pragma once
// Who owns the queue of a topic, in the journal: collection "mcollective.owner", keys are the subjects of topics, a record is
// "<seconds since 1970 when he was here last> <identity>"; under the key "!", which is no subject, when the broker was here last. On the
// loop.

#include <gorgone/agent.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gorgone::mcollective {

class QueueOwners {
 public:
  /// Whoever may subscribe can make records, and they outlive him: of all identities together, and of one.
  static constexpr std::size_t owners_max = 100'000, of_one_max = 10'000;

  explicit QueueOwners(Agent& agent) : agent_(agent) {}

  /// The time since the broker was here last is added to all: while there was none nobody could be here.
  asio::awaitable<Result<void>> start(std::int64_t now_s);
  /// nullptr where nobody owns it.
  const std::string* owner(const std::string& topic) const;
  /// False where there are too many already, and this would be one more.
  bool has_room(const std::string& topic, const std::string& identity) const;
  /// He is here now. False where there is no room.
  bool set(const std::string& topic, const std::string& identity, std::int64_t now_s);
  void remove(const std::string& topic);
  /// The broker is here now.
  void note_time(std::int64_t now_s);
  /// Forgets those that were here last before `limit(topic)`, seconds since 1970, and names their topics. Looks at a portion of all, at the
  /// next ones the next time.
  std::vector<std::string> expire(const std::function<std::int64_t(const std::string& topic)>& limit);
  std::size_t size() const { return owners_.size(); }

 private:
  struct Owner {
    std::string identity;
    std::int64_t seen_s = 0;
  };
  void write(const std::string& topic, const Owner& owner);

  Agent& agent_;
  std::map<std::string, Owner> owners_;
  std::map<std::string, std::size_t> of_each_;  ///< identity → topics
  std::string looked_at_;                       ///< the last topic
};

}  // namespace gorgone::mcollective
