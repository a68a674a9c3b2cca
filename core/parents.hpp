#pragma once
// Those above this node: daemons that give it work and take its rows. Each way to them (a session of the listener, a link this node
// dialled) adds a function that tells it. On the loop.

#include <gorgone/message.hpp>

#include <functional>
#include <list>
#include <memory>

namespace gorgone {

class Parents {
 public:
  using Tell = std::function<void(const Message&)>;

  /// Told until the handle dies.
  std::shared_ptr<void> add(Tell tell) {
    auto kept = std::make_shared<Tell>(std::move(tell));
    list_.push_back(kept);
    return kept;
  }
  void tell(const Message& message) {
    list_.remove_if([](const auto& weak) { return weak.expired(); });
    // A copy: who is told may add another.
    for (const auto& weak : std::list(list_))
      if (const auto kept = weak.lock()) (*kept)(message);
  }

 private:
  std::list<std::weak_ptr<Tell>> list_;
};

}  // namespace gorgone
