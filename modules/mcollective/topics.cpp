#include "topics.hpp"

#include <utility>

#include "client.hpp"

namespace gorgone::mcollective {

Topic* Topics::find(std::string_view name) {
  const auto known = topics_.find(name);
  return known == topics_.end() ? nullptr : &known->second;
}

Subscription* Topics::find(Client& client, const Topic& topic) {
  // The shorter list of the two: a broadcast topic has many subscribers, few clients have many topics.
  if (client.subscriptions.size() <= topic.subscribers.size()) {
    for (auto& subscription : client.subscriptions)
      if (subscription.topic == &topic) return &subscription;
    return nullptr;
  }
  for (const auto& subscriber : topic.subscribers)
    if (subscriber.client == &client) return &client.subscriptions[subscriber.place];
  return nullptr;
}

Topic& Topics::add(Client& client, std::string_view name) {
  auto known = topics_.find(name);
  if (known == topics_.end()) {
    known = topics_.emplace(std::string(name), Topic{}).first;
    known->second.name = known->first;
  }
  auto& topic = known->second;
  const auto place = static_cast<std::uint32_t>(topic.subscribers.size());
  topic.subscribers.push_back({&client, static_cast<std::uint32_t>(client.subscriptions.size())});
  client.subscriptions.push_back({&topic, place, false});
  ++subscriptions_;
  return topic;
}

bool Topics::remove(Client& client, Topic& topic) {
  const auto* const found = find(client, topic);
  if (!found) return false;
  const auto [place, index] = std::pair(found->place, static_cast<std::uint32_t>(found - client.subscriptions.data()));
  // The last of each list takes the place that is free now, and whoever points at it learns of it.
  if (topic.subscribers.size() - 1 != place) {
    topic.subscribers[place] = topic.subscribers.back();
    const auto& moved = topic.subscribers[place];
    moved.client->subscriptions[moved.place].place = place;
  }
  topic.subscribers.pop_back();
  if (client.subscriptions.size() - 1 != index) {
    client.subscriptions[index] = client.subscriptions.back();
    const auto& moved = client.subscriptions[index];
    moved.topic->subscribers[moved.place].place = index;
  }
  client.subscriptions.pop_back();
  --subscriptions_;
  if (!topic.subscribers.empty()) return false;
  topics_.erase(topics_.find(topic.name));
  return true;
}

void Topics::for_each(const std::function<void(const Topic&)>& what) const {
  for (const auto& [name, topic] : topics_) what(topic);
}

}  // namespace gorgone::mcollective
