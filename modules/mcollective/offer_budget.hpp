#pragma once
// How many bytes of queues are offered and not taken yet: of one queue, and of all queues of one identity together, which may be thousands.
// One message is let through whatever its size. Topics that find no room get it in turn. On the loop.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace gorgone::mcollective {

class OfferBudget {
 public:
  static constexpr std::size_t of_queue_max = std::size_t{4} << 20, of_identity_max = std::size_t{16} << 20;

  /// How many bytes may be read for a queue whose next message has `next`, never less than that. 0: the topic waits for its turn.
  std::size_t room(const std::string& identity, const std::string& topic, std::size_t next);
  void add(const std::string& identity, std::size_t bytes);
  void remove(const std::string& identity, std::size_t bytes);
  /// There is room again: the topics that wait are asked in turn whether they use it, until one does. The others do not wait any more.
  void offer(const std::string& identity, const std::function<bool(const std::string& topic)>& use);
  /// It does not wait any more.
  void forget(const std::string& identity, const std::string& topic);
  std::size_t offered(const std::string& identity) const;
  /// By a topic that has found no room.
  bool is_waited_for(const std::string& identity) const;

 private:
  struct Use {
    std::size_t bytes = 0;
    std::map<std::uint64_t, std::string> waiting;  ///< by their turn
    std::map<std::string, std::uint64_t> turns;
  };
  void trim(std::map<std::string, Use>::iterator place);

  std::map<std::string, Use> of_each_;
  std::uint64_t turns_ = 0;
};

}  // namespace gorgone::mcollective
