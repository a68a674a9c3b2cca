#pragma once
// Who owns the queue of a topic, in the journal: collection "mcollective.owner", keys are the subjects of topics, a record is
// "<seconds since 1970 when he was here last> <identity>". On the loop.

#include <gorgone/agent.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace gorgone::mcollective {

class QueueOwners {
 public:
  explicit QueueOwners(Agent& agent) : agent_(agent) {}

  asio::awaitable<Result<void>> start();
  /// nullptr where nobody owns it.
  const std::string* owner(const std::string& topic) const;
  /// He is here now.
  void set(const std::string& topic, const std::string& identity, std::int64_t now_s);
  void remove(const std::string& topic);
  /// Forgets those that were here last before `limit(topic)`, seconds since 1970.
  void expire(const std::function<std::int64_t(const std::string& topic)>& limit);

 private:
  struct Owner {
    std::string identity;
    std::int64_t seen_s = 0;
  };
  Agent& agent_;
  std::map<std::string, Owner> owners_;
};

}  // namespace gorgone::mcollective
