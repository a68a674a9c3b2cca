// Operations on the queue of a node, held against a plain model of what waits and what was sent, in each of its two lanes. Nothing may be
// lost, doubled or overtake another of its lane.

#include "modules/proxy/node_queue.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <array>
#include <map>

using namespace gorgone;
using namespace gorgone::fuzz;
using proxy::NodeQueue;
using Lane = NodeQueue::Lane;

namespace {

std::string action_of(std::size_t number) { return "ACTION" + std::to_string(number % 3); }

struct Known {
  std::size_t rank = 0;
  std::string id, action, token;
  std::size_t size = 0;
  std::int64_t until = 0;
  Lane lane = Lane::ordinary;
  bool is_stored = true, has_delivery = true;
  std::uint64_t sequence = 0;
};
using List = std::vector<Known>;

class Run {
 public:
  explicit Run(Input& input) : input_(input) {
    limits_.messages = 1 + input.below(20);
    limits_.bytes = 1 + input.byte() * 16;
    limits_.ttl_s = input.byte();
    limits_.in_flight = 1 + input.below(8);
    limits_.in_flight_bytes = 1 + input.byte() * 4;
    limits_.bulk_in_flight_bytes = 1 + input.byte() * 2;
    queue_.emplace(limits_);
  }

  void step() {
    switch (input_.below(15)) {
      case 0:
      case 1:
        push(Lane::ordinary);
        break;
      case 2:
        push(Lane::bulk);
        break;
      case 3:
      case 4:
        send();
        break;
      case 5:
        answer();
        break;
      case 6:
        lose();
        break;
      case 7:
        now_ += input_.byte();
        expire();
        break;
      case 8:
        if (input_.below(8) == 0) clear();
        break;
      case 9:
        refuse_action();
        break;
      case 10:
        put_back();
        break;
      case 11:
        withdraw();
        break;
      case 12:
        store();
        break;
      case 13:
        hold();
        break;
      default:
        take_sent();
    }
    compare();
  }

  void finish() {
    clear();
    compare();
    require(pushed_ == gone_, "every message that was taken came out again, once");
  }

 private:
  void push(Lane lane) {
    // The target is the message's own here; tokens repeat, for clients choose them.
    Known known;
    known.rank = ++rank_;
    known.id = std::to_string(known.rank);
    known.token = std::string(input_.below(3), 't');
    const std::string data(input_.byte(), 'd');
    known.action = action_of(data.size());
    known.size = data.size() + known.token.size() + known.action.size();
    known.lane = lane;
    known.is_stored = input_.below(4) != 1;
    known.until = now_ + 1 + input_.below(static_cast<unsigned>(limits_.ttl_s) + 1);
    Message message{known.action, known.token, known.id, Payload(data), {}};
    message.delivery = "delivery-" + known.id;
    const auto taken = queue_->push(std::move(message), known.until, known.is_stored, lane);
    const auto [count, bytes] = held(lane);
    const bool has_room = count < limits_.messages && (count == 0 || bytes + known.size <= limits_.bytes);
    require(taken.has_value() == has_room, "a message is taken where its lane has room, and only there");
    if (!taken) return require(taken.error().code == "busy", "a full queue answers busy");
    ranks_[known.id] = ++pushed_;
    waiting(lane).push_back(std::move(known));
  }

  bool may_go(Lane lane) {
    const auto& list = waiting(lane);
    if (list.empty() || !list.front().is_stored) return false;
    std::size_t count = 0, bytes = 0;
    for (const auto& known : sent_)
      if (known.lane == lane) ++count, bytes += known.size;
    const auto bytes_max = lane == Lane::bulk ? limits_.bulk_in_flight_bytes : limits_.in_flight_bytes;
    return count < limits_.in_flight && (count == 0 || bytes + list.front().size <= bytes_max);
  }

  // The list whose first message goes next.
  List* next() {
    if (may_go(Lane::ordinary)) return &waiting(Lane::ordinary);
    return may_go(Lane::bulk) ? &waiting(Lane::bulk) : nullptr;
  }

  void send() {
    const auto* entry = queue_->next();
    auto* list = next();
    require((entry != nullptr) == (list != nullptr), "a message goes when one waits that is stored and few enough are unanswered");
    if (entry == nullptr) return;
    require(entry->message.target == list->front().id, "messages go in the order in which they came, and bulk after the others");
    require(entry->message.delivery.empty() != list->front().has_delivery, "what was forgotten by the outbox has no delivery id");
    queue_->sent(entry->message.token);
    list->front().sequence = queue_->last_sequence();
    sent_.push_back(list->front());
    list->erase(list->begin());
  }

  void answer() {
    const std::string token(input_.below(4), 't');
    take(queue_->answered(token), [&](const Known& known) { return known.token == token; });
  }

  void refuse_action() {
    const auto action = action_of(input_.byte());
    take(queue_->unknown_action(action), [&](const Known& known) { return known.action == action; });
  }

  template <class Fits>
  void take(const std::optional<Message>& answered, Fits fits) {
    const auto expected = std::find_if(sent_.begin(), sent_.end(), fits);
    require(answered.has_value() == (expected != sent_.end()), "an answer fits what was sent, and nothing else");
    if (!answered) return;
    require(answered->target == expected->id, "an answer belongs to the oldest message that it fits");
    sent_.erase(expected);
    ++gone_;
  }

  void put_back() {
    const std::string token(input_.below(4), 't');
    queue_->put_back(token);
    const auto known = std::find_if(sent_.begin(), sent_.end(), [&](const Known& other) { return other.token == token; });
    if (known == sent_.end()) return;
    wait_again(*known);
    sent_.erase(known);
  }

  void wait_again(const Known& known) {
    auto& list = waiting(known.lane);
    list.push_back(known);
    std::sort(list.begin(), list.end(), [](const Known& left, const Known& right) { return left.rank < right.rank; });
  }

  void lose() {
    queue_->link_lost();
    for (const auto& known : sent_) wait_again(known);
    sent_.clear();
  }

  void withdraw() {
    const std::string token(input_.below(3), 't');
    queue_->withdraw(token);
    for (auto* list : {&sent_, &waiting(Lane::bulk)})
      gone_ += std::erase_if(*list, [&](const Known& known) { return known.lane == Lane::bulk && known.token == token; });
  }

  void store() {
    const bool is_kept = input_.below(3) != 1;
    for (auto& list : waiting_) {
      const auto known = std::find_if(list.begin(), list.end(), [](const Known& other) { return !other.is_stored; });
      if (known == list.end()) continue;
      const auto refused = queue_->stored("delivery-" + known->id, is_kept);
      require(refused.has_value() != is_kept, "what the outbox will not have comes out, and nothing else");
      if (is_kept) {
        known->is_stored = true;
      } else {
        require(refused->target == known->id, "it is the message that the outbox will not have");
        list.erase(known);
        ++gone_;
      }
      return;
    }
  }

  void hold() {
    auto* list = next();
    if (!list || !list->front().has_delivery) return;
    const auto delivery = queue_->hold_next();
    auto& known = list->front();
    require(delivery == "delivery-" + known.id, "the next message is held");
    known.is_stored = false;
    if (input_.flag()) return;  // it is stored again by store(), as one whose outbox has answered late
    queue_->forgotten(delivery);
    known.is_stored = true;
    known.has_delivery = false;
  }

  void take_sent() {
    const bool all = input_.flag();
    const auto until =
        all ? queue_->last_sequence() : queue_->last_sequence() - std::min<std::uint64_t>(queue_->last_sequence(), input_.below(6));
    const auto taken = all ? queue_->take_in_flight() : queue_->sent_until(until);
    for (const auto& message : taken) {
      require(!sent_.empty() && sent_.front().id == message.target && sent_.front().sequence <= until,
              "what was sent comes out in its order");
      sent_.erase(sent_.begin());
      ++gone_;
    }
    require(sent_.empty() || sent_.front().sequence > until, "all that was sent until then comes out");
  }

  void expire() {
    for (const auto& late : queue_->expired(now_)) {
      std::size_t found = 0;
      for (auto* list : {&sent_, &waiting_[0], &waiting_[1]})
        found += std::erase_if(*list, [&](const Known& known) { return known.id == late.target && known.until <= now_; });
      require(found == 1, "only what is too old expires");
      ++gone_;
    }
    for (const auto* list : {&sent_, &waiting_[0], &waiting_[1]})
      for (const auto& known : *list) require(known.until > now_, "nothing that is too old stays");
  }

  void clear() {
    lose_model();
    const auto all = queue_->clear(0);
    require(all.size() == waiting_[0].size() + waiting_[1].size(), "all that there is is cleared");
    std::size_t i = 0;
    for (auto& list : waiting_) {
      for (const auto& known : list) require(all[i++].target == known.id, "each lane is cleared in its order");
      list.clear();
    }
    gone_ += all.size();
  }

  void lose_model() {
    for (const auto& known : sent_) wait_again(known);
    sent_.clear();
  }

  void compare() const {
    require(queue_->waiting() == waiting_[0].size() + waiting_[1].size() && queue_->in_flight() == sent_.size(),
            "the queue counts what is in it");
    std::optional<std::int64_t> first;
    for (const auto* list : {&sent_, &waiting_[0], &waiting_[1]})
      for (const auto& known : *list) first = std::min(first.value_or(known.until), known.until);
    require(queue_->next_expiry() == first, "the next to expire is the one that has the least time");
    require(queue_->oldest_in_flight() == (sent_.empty() ? 0 : ranks_.at(sent_.front().id)), "the oldest that was sent is known");
  }

  std::pair<std::size_t, std::size_t> held(Lane lane) const {
    std::size_t count = 0, bytes = 0;
    for (const auto* list : {&sent_, &waiting_[0], &waiting_[1]})
      for (const auto& known : *list)
        if (known.lane == lane) ++count, bytes += known.size;
    return {count, bytes};
  }

  List& waiting(Lane lane) { return waiting_[static_cast<std::size_t>(lane)]; }

  Input& input_;
  NodeQueue::Limits limits_;
  std::optional<NodeQueue> queue_;
  std::array<List, 2> waiting_;  // by lane
  List sent_;                    // of both
  std::int64_t now_ = 0;
  std::map<std::string, std::uint64_t> ranks_;  // as the queue counts: those that were taken
  std::size_t rank_ = 0, pushed_ = 0, gone_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Run run(input);
  while (!input.at_end()) run.step();
  run.finish();
  return 0;
}
