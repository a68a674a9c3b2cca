// Operations on the queue of a node, held against a plain model of what waits and what was sent. Nothing may be lost, doubled or
// overtake another.

#include "modules/proxy/node_queue.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

using namespace gorgone;
using namespace gorgone::fuzz;
using proxy::NodeQueue;

namespace {

std::string action_of(unsigned number) { return "ACTION" + std::to_string(number % 3); }

struct Known {
  std::string id, action, token;
  std::size_t size;
  std::int64_t until;
};

class Run {
 public:
  explicit Run(Input& input) : input_(input) {
    limits_.messages = 1 + input.below(20);
    limits_.bytes = 1 + input.byte() * 16;
    limits_.ttl_s = input.byte();
    limits_.in_flight = 1 + input.below(8);
    limits_.in_flight_bytes = 1 + input.byte() * 4;
    queue_.emplace(limits_);
  }

  void step() {
    switch (input_.below(8)) {
      case 0:
      case 1:
        push();
        break;
      case 2:
        send();
        break;
      case 3:
        answer();
        break;
      case 4:
        queue_->link_lost();
        waiting_.insert(waiting_.begin(), sent_.begin(), sent_.end());
        sent_.clear();
        break;
      case 5:
        now_ += input_.byte();
        expire();
        break;
      case 6:
        if (input_.below(8) == 0) clear();
        break;
      default:
        refuse_action();
    }
    compare();
  }

  void finish() {
    clear();
    compare();
    require(pushed_ == gone_, "every message that was taken came out again, once");
  }

 private:
  void push() {
    // The target is the message's own here; tokens repeat, for clients choose them.
    const auto id = std::to_string(pushed_);
    const std::string token(input_.below(3), 't');
    const std::string data(input_.byte(), 'd');
    const auto action = action_of(data.size());
    const std::size_t size = data.size() + token.size() + action.size();
    const auto taken = queue_->push(Message{action, token, id, Payload(data), {}}, now_ + limits_.ttl_s, true);
    const auto count = waiting_.size() + sent_.size();
    const bool has_room = count < limits_.messages && (count == 0 || bytes() + size <= limits_.bytes);
    require(taken.has_value() == has_room, "a message is taken where there is room, and only there");
    if (!taken) return require(taken.error().code == "busy", "a full queue answers busy");
    ++pushed_;
    waiting_.push_back({id, action, token, size, now_ + limits_.ttl_s});
  }

  void send() {
    const auto* next = queue_->next();
    std::size_t in_flight = 0;
    for (const auto& known : sent_) in_flight += known.size;
    const bool may_go = !waiting_.empty() && sent_.size() < limits_.in_flight &&
                        (sent_.empty() || in_flight + waiting_.front().size <= limits_.in_flight_bytes);
    require((next != nullptr) == may_go, "a message goes when one waits and few enough are unanswered");
    if (next == nullptr) return;
    require(next->message.target == waiting_.front().id, "messages go in the order in which they came");
    queue_->sent(next->message.token);
    sent_.push_back(waiting_.front());
    waiting_.erase(waiting_.begin());
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

  void expire() {
    for (const auto& late : queue_->expired(now_)) {
      auto& from = !sent_.empty() && sent_.front().id == late.target ? sent_ : waiting_;
      require(!from.empty() && from.front().id == late.target && from.front().until <= now_, "only what is too old expires");
      from.erase(from.begin());
      ++gone_;
    }
    for (const auto* left : {&sent_, &waiting_})
      for (const auto& known : *left) require(known.until > now_, "nothing that is too old stays");
  }

  void clear() {
    auto expected = sent_;
    expected.insert(expected.end(), waiting_.begin(), waiting_.end());
    const auto all = queue_->clear(0);
    require(all.size() == expected.size(), "all that there is is cleared");
    for (std::size_t i = 0; i < all.size(); ++i) require(all[i].target == expected[i].id, "what was sent is cleared first");
    gone_ += all.size();
    sent_.clear();
    waiting_.clear();
  }

  void compare() const {
    require(queue_->waiting() == waiting_.size() && queue_->in_flight() == sent_.size(), "the queue counts what is in it");
    const auto expiry = queue_->next_expiry();
    const auto& oldest = sent_.empty() ? waiting_ : sent_;
    require(expiry.has_value() == !oldest.empty(), "what is in the queue has a time at which it expires");
    if (expiry) require(*expiry == oldest.front().until, "the next to expire is the oldest");
  }

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& known : waiting_) sum += known.size;
    for (const auto& known : sent_) sum += known.size;
    return sum;
  }

  Input& input_;
  NodeQueue::Limits limits_;
  std::optional<NodeQueue> queue_;
  std::vector<Known> waiting_, sent_;
  std::int64_t now_ = 0;
  std::size_t pushed_ = 0, gone_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Run run(input);
  while (!input.at_end()) run.step();
  run.finish();
  return 0;
}
