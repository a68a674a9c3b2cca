#pragma once
// Who subscribes to what. A topic's name is held once, a subscription takes 16 bytes on either side, and is found and ended without a
// search however many there are. On the loop.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gorgone::mcollective {

struct Client;
struct Topic;

struct Subscription {
  Topic* topic = nullptr;
  std::uint32_t place = 0;  ///< among the topic's subscribers
  bool is_stale = false;    ///< of the time before the client's last CONNECT, and not asked for again yet
};

struct Subscriber {
  Client* client = nullptr;
  std::uint32_t place = 0;  ///< among the client's subscriptions
};

struct Topic {
  std::string_view name;
  std::vector<Subscriber> subscribers;
  Client* owner = nullptr;  ///< to whom the queue of a persistent topic is offered
  bool is_persistent = false;
  bool is_unkept = false;  ///< persistent, but too many have owners for its subscribers to be given the queue
};

class Topics {
 public:
  /// nullptr where nobody subscribes to it.
  Topic* find(std::string_view name);
  /// The client's subscription, nullptr where it has none.
  static Subscription* find(Client& client, const Topic& topic);
  /// The topic, of which `client` is a subscriber now; it was none before.
  Topic& add(Client& client, std::string_view name);
  /// Ends a subscription. True: it was the topic's last, and the topic is gone.
  bool remove(Client& client, Topic& topic);

  std::size_t size() const { return topics_.size(); }
  std::size_t subscriptions() const { return subscriptions_; }
  void for_each(const std::function<void(const Topic&)>& what) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, Topic, Hash, std::equal_to<>> topics_;
  std::size_t subscriptions_ = 0;
};

}  // namespace gorgone::mcollective
