#pragma once
// The link to a node that dials: its session with our listener, and its id as the target of what is for the node itself, as deployed
// nodes are used to it. On the loop.

#include <gorgone/flow_watch.hpp>
#include <gorgone/link.hpp>

#include <memory>
#include <string>

namespace gorgone::pull {

class NodeLink final : public Link, public HasFlow {
 public:
  NodeLink(std::unique_ptr<Link> session, std::string node) : session_(std::move(session)), node_(std::move(node)) {}

  Result<void> send(const Message& message) override {
    if (!message.target.empty()) return session_->send(message);
    Message addressed = message;
    addressed.target = node_;
    return session_->send(addressed);
  }
  void reset(const std::string& why) override { session_->reset(why); }
  void set_takes_raw(bool takes_raw) override { session_->set_takes_raw(takes_raw); }
  bool is_up() const override { return session_->is_up(); }
  bool answers_requests() const override { return session_->answers_requests(); }
  std::string identity() const override { return session_->identity(); }
  LinkFlow flow() const override { return flow_of(session_.get()); }

 private:
  std::unique_ptr<Link> session_;
  std::string node_;
};

}  // namespace gorgone::pull
