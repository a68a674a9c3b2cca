#include "offer_budget.hpp"

#include <algorithm>

namespace gorgone::mcollective {

std::size_t OfferBudget::room(const std::string& identity, const std::string& topic, std::size_t next) {
  const auto place = of_each_.try_emplace(identity).first;
  auto& use = place->second;
  const bool is_free = use.bytes == 0 || use.bytes + next <= of_identity_max;
  // A large message would wait for ever if small ones went past it.
  const bool is_its_turn = use.waiting.empty() || use.waiting.begin()->second == topic;
  if (!is_free || !is_its_turn) {
    if (use.turns.try_emplace(topic, turns_ + 1).second) use.waiting[++turns_] = topic;
    return 0;
  }
  const auto room = std::max(next, of_identity_max - std::min(use.bytes, of_identity_max));
  forget(identity, topic);
  return room;
}

void OfferBudget::add(const std::string& identity, std::size_t bytes) {
  if (bytes > 0) of_each_[identity].bytes += bytes;
}

void OfferBudget::remove(const std::string& identity, std::size_t bytes) {
  const auto place = of_each_.find(identity);
  if (place == of_each_.end()) return;
  place->second.bytes -= std::min(bytes, place->second.bytes);
  trim(place);
}

void OfferBudget::offer(const std::string& identity, const std::function<bool(const std::string& topic)>& use) {
  for (;;) {
    const auto place = of_each_.find(identity);
    if (place == of_each_.end() || place->second.waiting.empty()) return;
    const auto topic = place->second.waiting.begin()->second;
    if (use(topic)) return;
    forget(identity, topic);
  }
}

void OfferBudget::forget(const std::string& identity, const std::string& topic) {
  const auto place = of_each_.find(identity);
  if (place == of_each_.end()) return;
  auto& use = place->second;
  if (const auto turn = use.turns.find(topic); turn != use.turns.end()) {
    use.waiting.erase(turn->second);
    use.turns.erase(turn);
  }
  trim(place);
}

std::size_t OfferBudget::offered(const std::string& identity) const {
  const auto place = of_each_.find(identity);
  return place == of_each_.end() ? 0 : place->second.bytes;
}

bool OfferBudget::is_waited_for(const std::string& identity) const {
  const auto place = of_each_.find(identity);
  return place != of_each_.end() && !place->second.waiting.empty();
}

void OfferBudget::trim(std::map<std::string, Use>::iterator place) {
  if (place->second.bytes == 0 && place->second.waiting.empty()) of_each_.erase(place);
}

}  // namespace gorgone::mcollective
