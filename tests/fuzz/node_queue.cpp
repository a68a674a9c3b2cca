// Operations on the queue of a node, held against a plain model of what waits and what was sent, for each target in each of its two lanes.
// Nothing may be lost, doubled or overtake another of its lane and target, nor go while its target is set aside.

#include "modules/proxy/node_queue.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <functional>
#include <map>

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace std::chrono_literals;
using proxy::NodeQueue;
using Lane = NodeQueue::Lane;

namespace {

std::string action_of(std::size_t number) { return "ACTION" + std::to_string(number % 3); }

struct Known {
  std::size_t rank = 0;
  std::string id, target, action, token;
  std::size_t size = 0;
  std::int64_t until = 0;
  Lane lane = Lane::ordinary;
  bool is_stored = true, has_delivery = true;
  bool may_have_come = false;
  NodeQueue::Form form = NodeQueue::Form::plain;
  std::uint64_t sequence = 0;
  NodeQueue::Clock::time_point sent_at = {};
};
using List = std::vector<Known>;

// What waits for a target in a lane, and whether it was refused.
struct Way {
  List waiting;
  enum { open, paused, due, tried } state = open;
  std::int64_t pause_s = 0, until = 0;
};

// Its data begins with it.
std::string id_of(const Message& message) { return message.data.text().substr(0, message.data.text().find(' ')); }

class Run {
 public:
  explicit Run(Input& input) : input_(input) {
    limits_.messages = 1 + input.below(20);
    limits_.bytes = 1 + input.byte() * 16;
    limits_.ttl_s = input.byte();
    limits_.in_flight = 1 + input.below(8);
    limits_.in_flight_bytes = 1 + input.byte() * 4;
    limits_.bulk_in_flight_bytes = 1 + input.byte() * 2;
    window_ = proxy::BulkWindow(limits_.bulk_in_flight_bytes);
    queue_.emplace(limits_);
  }

  void step() {
    time_ += 5ms;
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
        now_ += input_.flag() ? input_.byte() : 1;
        expire();
        resume();
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
  using Key = std::pair<Lane, std::string>;  // and target

  void push(Lane lane) {
    // Tokens repeat, for clients choose them.
    Known known;
    known.rank = ++rank_;
    known.id = std::to_string(known.rank);
    known.token = std::string(input_.below(3), 't');
    known.target = std::string(input_.below(3), 'n');
    const auto data = known.id + ' ' + std::string(input_.byte(), 'd');
    known.action = action_of(data.size());
    known.size = data.size() + known.token.size() + known.action.size();
    known.lane = lane;
    known.is_stored = input_.below(4) != 1;
    known.until = now_ + 1 + input_.below(static_cast<unsigned>(limits_.ttl_s) + 1);
    Message message{known.action, known.token, known.target, Payload(data), {}};
    message.delivery = "delivery-" + known.id;
    const auto taken = queue_->push(std::move(message), known.until, known.is_stored, lane);
    const auto [count, bytes] = held(lane, known.target);
    const bool has_room = count < limits_.messages && (count == 0 || bytes + known.size <= limits_.bytes);
    require(taken.has_value() == has_room, "a message is taken where its target has room, and only there");
    if (!taken) return require(taken.error().code == "busy", "a full queue answers busy");
    ranks_[known.id] = ++pushed_;
    way_of(known).waiting.push_back(std::move(known));
  }

  std::size_t in_flight(const Key& key) const {
    return static_cast<std::size_t>(std::ranges::count_if(sent_, [&](const Known& known) { return key == Key(known.lane, known.target); }));
  }

  bool fits(const Known& known) const {
    std::size_t count = 0, bytes = 0;
    for (const auto& other : sent_)
      if (other.lane == known.lane) ++count, bytes += other.size;
    const auto bytes_max = known.lane == Lane::bulk ? window_.bytes() : limits_.in_flight_bytes;
    return count < limits_.in_flight && (count == 0 || bytes + known.size <= bytes_max);
  }

  // The ways of a lane whose turn it may be.
  std::vector<Way*> ready(Lane lane) {
    std::vector<Way*> found;
    for (auto& [key, way] : ways_) {
      const bool takes = way.state == Way::open || (way.state == Way::due && in_flight(key) == 0);
      if (key.first == lane && takes && !way.waiting.empty() && way.waiting.front().is_stored) found.push_back(&way);
    }
    return found;
  }

  // Whether a lane has to send: one that may go fits, whichever's turn it is.
  bool must_go(Lane lane) {
    const auto ways = ready(lane);
    return !ways.empty() && std::ranges::all_of(ways, [this](const Way* way) { return fits(way->waiting.front()); });
  }

  // The way whose first message goes next, as the queue says; nullptr where none goes.
  Way* next() {
    const auto* entry = queue_->next();
    if (!entry) {
      require(!must_go(Lane::ordinary) && !must_go(Lane::bulk), "a message goes when one waits that may and few enough are unanswered");
      return nullptr;
    }
    require(entry->lane == Lane::ordinary || !must_go(Lane::ordinary), "bulk goes after the others");
    for (auto* way : ready(entry->lane)) {
      const auto& first = way->waiting.front();
      if (first.id != id_of(entry->message)) continue;
      require(fits(first), "few enough are unanswered");
      require(entry->message.delivery.empty() != first.has_delivery, "what was forgotten by the outbox has no delivery id");
      return way;
    }
    require(false, "messages of a target go in the order in which they came, when it is not set aside");
    return nullptr;
  }

  void send() {
    const auto form = static_cast<NodeQueue::Form>(input_.below(3));
    auto* way = next();
    if (!way) return;
    way->waiting.front().form = form;
    queue_->sent(queue_->next()->message.token, form, time_);
    if (way->state == Way::due) way->state = Way::tried;
    way->waiting.front().sequence = queue_->last_sequence();
    way->waiting.front().sent_at = time_;
    sent_.push_back(way->waiting.front());
    way->waiting.erase(way->waiting.begin());
  }

  // A way of which nothing is left is forgotten; one whose trial came to nothing may be tried again.
  void tidy() {
    std::erase_if(ways_, [this](const auto& entry) { return entry.second.waiting.empty() && in_flight(entry.first) == 0; });
    for (auto& [key, way] : ways_)
      if (way.state == Way::tried && in_flight(key) == 0) way.state = Way::due;
  }

  void resume() {
    tidy();
    queue_->resume(now_);
    std::optional<std::int64_t> next;
    for (auto& [key, way] : ways_) {
      if (way.state == Way::paused && way.until <= now_) way.state = Way::due;
      if (way.state == Way::paused) next = std::min(next.value_or(way.until), way.until);
    }
    require(queue_->next_pause_end() == next, "the next pause to end is known");
  }

  void answer() {
    const std::string token(input_.below(4), 't');
    const auto fits = [&](const Known& known) { return known.token == token; };
    const auto known = std::ranges::find_if(sent_, fits);
    if (known != sent_.end() && known->lane == Lane::bulk) window_.answered(known->size, time_ - known->sent_at);
    take(queue_->answered(token, time_), fits);
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
    require(id_of(*answered) == expected->id, "an answer belongs to the oldest message that it fits");
    took(*expected);
    sent_.erase(expected);
    ++gone_;
  }

  void took(const Known& known) {
    auto& way = way_of(known);
    if (way.state != Way::tried) return;
    way.state = Way::open;
    way.pause_s = 0;
  }

  void put_back() {
    const std::string token(input_.below(4), 't');
    queue_->put_back(token, now_);
    const auto known = std::find_if(sent_.begin(), sent_.end(), [&](const Known& other) { return other.token == token; });
    if (known == sent_.end()) return;
    auto& way = way_of(*known);
    if (way.state == Way::open || way.state == Way::tried) {
      way.pause_s = way.pause_s == 0 ? 1 : std::min<std::int64_t>(4, 2 * way.pause_s);
      way.state = Way::paused;
      way.until = now_ + way.pause_s;
    }
    wait_again(*known);
    sent_.erase(known);
  }

  void wait_again(const Known& known) {
    auto& list = way_of(known).waiting;
    list.push_back(known);
    std::sort(list.begin(), list.end(), [](const Known& left, const Known& right) { return left.rank < right.rank; });
  }

  void lose() {
    const bool all = input_.flag();
    if (all)
      queue_->link_lost();
    else
      queue_->put_back_wrapped();
    if (all) window_.reset();
    if (all)
      for (auto& known : sent_) known.may_have_come = true;
    lose_model([all](const Known& known) { return all || known.form == NodeQueue::Form::wrapped; });
  }

  void withdraw() {
    const std::string token(input_.below(3), 't');
    queue_->withdraw(token);
    for (auto* list : lists())
      gone_ += std::erase_if(*list, [&](const Known& known) { return known.lane == Lane::bulk && known.token == token; });
  }

  void store() {
    const bool is_kept = input_.below(3) != 1;
    for (auto& [key, way] : ways_) {
      auto& list = way.waiting;
      const auto known = std::find_if(list.begin(), list.end(), [](const Known& other) { return !other.is_stored; });
      if (known == list.end()) continue;
      const auto refused = queue_->stored("delivery-" + known->id, is_kept);
      require(refused.has_value() != is_kept, "what the outbox will not have comes out, and nothing else");
      if (is_kept) {
        known->is_stored = true;
      } else {
        require(id_of(*refused) == known->id, "it is the message that the outbox will not have");
        list.erase(known);
        ++gone_;
      }
      return;
    }
  }

  void hold() {
    const bool answers_late = input_.flag();
    auto* way = next();
    if (!way || !way->waiting.front().has_delivery) return;
    const auto delivery = queue_->hold_next();
    auto& known = way->waiting.front();
    require(delivery == "delivery-" + known.id, "the next message is held");
    known.is_stored = false;
    if (answers_late) return;  // it is stored again by store(), as one whose outbox has answered late
    queue_->forgotten(delivery);
    known.is_stored = true;
    known.has_delivery = false;
  }

  void take_sent() {
    const auto until = queue_->last_sequence() - std::min<std::uint64_t>(queue_->last_sequence(), input_.below(6));
    if (input_.flag())
      took_all(queue_->take_sent_once(), [](const Known& known) { return !known.has_delivery; });
    else
      took_all(queue_->silent_until(until),
               [until](const Known& known) { return known.form == NodeQueue::Form::silent && known.sequence <= until; });
  }

  void took_all(const std::vector<Message>& taken, const std::function<bool(const Known&)>& fits) {
    for (const auto& message : taken) {
      const auto known = std::ranges::find_if(sent_, fits);
      require(known != sent_.end() && known->id == id_of(message), "what fits of what was sent comes out in its order");
      took(*known);
      sent_.erase(known);
      ++gone_;
    }
    require(std::ranges::none_of(sent_, fits), "all of it comes out");
  }

  void expire() {
    for (const auto& late : queue_->expired(now_)) {
      std::size_t found = 0;
      for (auto* list : lists())
        found += std::erase_if(*list, [&](const Known& known) {
          if (known.id != id_of(late.message) || known.until > now_) return false;
          require(late.may_have_come == (list == &sent_ || known.may_have_come), "whether it may have come is known");
          return true;
        });
      require(found == 1, "only what is too old expires");
      ++gone_;
    }
    for (const auto* list : lists())
      for (const auto& known : *list) require(known.until > now_, "nothing that is too old stays");
  }

  void clear() {
    lose_model([](const Known&) { return true; });
    const auto all = queue_->clear(0);
    window_.reset();
    List expected;
    for (auto* list : lists()) expected.insert(expected.end(), list->begin(), list->end()), list->clear();
    std::ranges::sort(expected, {}, [](const Known& known) { return std::pair(known.lane, known.rank); });
    const bool is_same = std::ranges::equal(all, expected, {}, id_of, &Known::id);
    require(is_same, "all that there is is cleared, each lane in its order");
    gone_ += all.size();
  }

  void lose_model(const std::function<bool(const Known&)>& is_lost) {
    for (const auto& known : sent_)
      if (is_lost(known)) wait_again(known);
    std::erase_if(sent_, is_lost);
  }

  void compare() {
    tidy();
    std::size_t all = 0;
    std::optional<std::int64_t> first;
    for (const auto* list : lists()) {
      all += list->size();
      for (const auto& known : *list) first = std::min(first.value_or(known.until), known.until);
    }
    require(queue_->waiting() == all - sent_.size() && queue_->in_flight() == sent_.size(), "the queue counts what is in it");
    const auto is_silent = [](const Known& known) { return known.form == NodeQueue::Form::silent; };
    require(queue_->silent() == static_cast<std::size_t>(std::ranges::count_if(sent_, is_silent)),
            "what has no answer of its own is counted");
    require(queue_->next_expiry() == first, "the next to expire is the one that has the least time");
    require(queue_->oldest_in_flight() == (sent_.empty() ? 0 : ranks_.at(sent_.front().id)), "the oldest that was sent is known");
  }

  std::pair<std::size_t, std::size_t> held(Lane lane, const std::string& target) {
    std::size_t count = 0, bytes = 0;
    for (const auto* list : lists())
      for (const auto& known : *list)
        if (known.lane == lane && known.target == target) ++count, bytes += known.size;
    return {count, bytes};
  }

  Way& way_of(const Known& known) { return ways_[Key(known.lane, known.target)]; }
  std::vector<List*> lists() {
    std::vector<List*> all{&sent_};
    for (auto& [key, way] : ways_) all.push_back(&way.waiting);
    return all;
  }

  Input& input_;
  NodeQueue::Limits limits_;
  std::optional<NodeQueue> queue_;
  std::map<Key, Way> ways_;
  List sent_;  // of all
  std::int64_t now_ = 0;
  std::map<std::string, std::uint64_t> ranks_;  // as the queue counts: those that were taken
  std::size_t rank_ = 0, pushed_ = 0, gone_ = 0;
  proxy::BulkWindow window_{1};
  NodeQueue::Clock::time_point time_ = {};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Run run(input);
  while (!input.at_end()) run.step();
  run.finish();
  return 0;
}
