#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <set>

#include "client.hpp"

using namespace gorgone::mcollective;

TEST_CASE("subscriptions are the same on both sides however they come and go") {
  std::mt19937 random(7);
  Topics topics;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(std::make_unique<Client>());
  std::map<std::size_t, std::set<std::string>> model;
  for (int step = 0; step < 5000; ++step) {
    const auto who = random() % clients.size();
    const auto name = "topic " + std::to_string(random() % 30);
    auto* const topic = topics.find(name);
    const bool has = model[who].contains(name);
    REQUIRE((topic != nullptr && Topics::find(*clients[who], *topic) != nullptr) == has);
    if (has) {
      model[who].erase(name);
      const bool is_last = topic->subscribers.size() == 1;
      REQUIRE(topics.remove(*clients[who], *topic) == is_last);
    } else {
      model[who].insert(name);
      topics.add(*clients[who], name);
    }
  }
  std::size_t subscriptions = 0;
  std::set<std::string> names;
  for (std::size_t who = 0; who < clients.size(); ++who) {
    std::set<std::string> found;
    for (std::uint32_t i = 0; i < clients[who]->subscriptions.size(); ++i) {
      const auto& subscription = clients[who]->subscriptions[i];
      found.emplace(subscription.topic->name);
      CHECK(subscription.topic->subscribers[subscription.place].client == clients[who].get());
      CHECK(subscription.topic->subscribers[subscription.place].place == i);
    }
    CHECK(found == model[who]);
    subscriptions += found.size();
    names.merge(found);
  }
  CHECK(topics.subscriptions() == subscriptions);
  names.clear();
  for (const auto& [who, all] : model) names.insert(all.begin(), all.end());
  CHECK(topics.size() == names.size());
}
