#pragma once
// One push, at the receiving side: takes offers, manifests and pieces in the order they come, and answers by history rows. What it has
// is on the disk at any time, so it may end and begin again anywhere. On the loop; the disk is worked on by the pool, one job at a time.

#include <gorgone/agent.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "blobs.hpp"
#include "builder.hpp"
#include "event.hpp"
#include "ground.hpp"
#include "staging.hpp"
#include "swap.hpp"
#include "wire.hpp"

namespace gorgone::content {

/// Shared by all pushes of a node.
struct Ground {
  Options options;
  Destinations destinations;
  EndedPushes ended;
  std::set<std::string> told_by_files;  // destinations of which it was told that they are not put in place in one step
};

class Landing : public std::enable_shared_from_this<Landing> {
 public:
  Landing(Agent& agent, Ground& ground, std::string token);

  /// One of the push's messages. What is too much is dropped: the sender notices.
  void take(Message message);
  asio::awaitable<void> run();
  bool has_ended() const { return has_ended_; }

 private:
  // landing.cpp: the conversation
  asio::awaitable<Result<void>> handle(Message message);
  asio::awaitable<Result<void>> on_offer(const Message& message);
  asio::awaitable<Result<void>> on_manifest(const Message& message);
  asio::awaitable<Result<void>> on_data(Message message);
  asio::awaitable<Result<void>> open_place();
  asio::awaitable<void> find_wanted_owners();
  asio::awaitable<Result<void>> look_at_destination();
  asio::awaitable<Result<void>> plan();
  asio::awaitable<Result<void>> plan_and_go_on();
  Result<void> check_space(std::uint64_t lacking) const;
  bool is_same_offer(const Message& message) const;
  void answer(const char* stage);
  void tell_working();
  void end(int code, json::object data);
  bool yields();

  // landing_install.cpp: from complete content to the switch
  asio::awaitable<Result<void>> install();
  asio::awaitable<Result<void>> build_and_switch();
  asio::awaitable<Result<void>> build(std::shared_ptr<Builder> builder);
  asio::awaitable<Result<void>> check();
  Result<void> put_in_place(Builder& builder);
  Result<void> put_by_files(Switch& what);
  void tell_installed();
  asio::awaitable<void> tidy_up();

  Agent& agent_;
  Ground& ground_;
  std::string token_;
  std::string owner_;  // of the destination: another landing of the same token is another owner
  Event event_;
  std::deque<Message> inbox_;
  std::size_t inbox_bytes_ = 0;
  Clock::time_point heard_at_, answered_at_;
  bool has_ended_ = false, has_yielded_ = false, is_planning_ = false, is_installing_ = false, is_working_ = false;

  std::int64_t attempt_ = 0;
  Offer offer_;
  std::optional<Staging> staging_;
  std::optional<Blobs> blobs_store_;
  std::optional<Present> present_;
  std::shared_ptr<const Manifest> manifest_;  // of the offer, once it is here
  std::vector<std::string> parts_;            // of a manifest that comes
  std::size_t parts_bytes_ = 0;
  std::vector<Blob> blobs_;
  WantedOwners owners_;
  Notes notes_;
  bool is_streaming_ = false;
  std::size_t next_piece_ = 0;
  std::uint64_t files_of_ = 0, bytes_of_ = 0, lacking_bytes_ = 0, received_ = 0;
  std::string by_files_;  // why it is put in place file by file; empty: in one step
};

/// Puts the previous tree of a destination back, by the same steps; its row is written under `token`.
asio::awaitable<void> roll_back(Agent& agent, Ground& ground, std::string token, std::string destination);

}  // namespace gorgone::content
