#pragma once
// Joins copies (copy_jobs.hpp) to the table of nodes: which way leads to a target, how its receiver is paced, whether it can sync
// content. On the loop.

#include <gorgone/agent.hpp>

#include <optional>
#include <string>

#include "copy_jobs.hpp"
#include "node.hpp"
#include "outbox.hpp"
#include "paths.hpp"

namespace gorgone::proxy {

/// The table of nodes, as copies need it.
class Routes {
 public:
  virtual ~Routes() = default;
  virtual std::optional<Paths::Step> step_to(const std::string& target) const = 0;
  virtual Node* node_of(const std::string& id) const = 0;
  virtual bool target_has(const std::string& target, const std::string& feature) const = 0;
  virtual void refuse_message(const Message& message, const Reply& reply, const Error& why, bool is_passed_on) = 0;
  /// A message of the outbox that no node can take now.
  virtual void keep(Message message, std::int64_t left_s) = 0;
  /// The outbox has been given a message of this id.
  virtual void stored(const std::string& delivery, const Result<bool>& is_new) = 0;
};

class CopyDesk final : public BulkOwner, private CopyWays {
 public:
  CopyDesk(Agent& agent, Routes& routes, CopyJobs::Limits limits) : agent_(agent), routes_(routes), jobs_(agent, *this, limits) {}

  /// Takes copies, and messages that must wait for the copies of their target; false where it is neither. `message.ttl_s` is set.
  bool take(Message& message, bool is_passed_on, Reply& reply);
  /// The same for a message to this node itself. One that may come again has its delivery id, by which it is taken once.
  bool take_own(Message& message, Reply& reply, std::int64_t ttl_s, bool may_come_again);
  /// The same for one of the outbox.
  bool restore(Message& message);
  void stop() { jobs_.stop(); }

  bool owns(const std::string& token) const override { return jobs_.owns(token); }
  void bulk_answered(const std::string& token, const Result<void>& outcome) override { jobs_.answered(token, outcome); }
  void way_changed(const std::string& node) override { jobs_.way_changed(node); }

 private:
  std::optional<CopyWay> way_to(const std::string& target) override;
  Result<void> send_piece(const CopyWay& way, Message message) override;
  void withdraw(const CopyWay& way, const std::string& token) override;
  void fetch_log(const std::string& target) override;
  bool runs_content(const std::string& target) override;
  void release(Message message, std::int64_t left_s) override;
  void stored(const std::string& delivery, const Result<bool>& is_new) override { routes_.stored(delivery, is_new); }
  void refuse_copy(const Message& message, const Reply& reply, const Error& why, bool is_passed_on) override {
    routes_.refuse_message(message, reply, why, is_passed_on);
  }

  bool is_own(const std::string& target) const { return target.empty() || target == agent_.node_id(); }
  bool has_content() const { return agent_.endpoint("POST", "/core/content/push").has_value(); }

  Agent& agent_;
  Routes& routes_;
  CopyJobs jobs_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::proxy
