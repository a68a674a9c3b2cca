#pragma once
// Copies to nodes (REMOTECOPY, CONTENTPUSH), one line for each target: they run one after the other in the order they were accepted, and
// messages with "after_copies" wait in the same line for those before them. All that stands in a line is in the outbox until it
// has ended. A copy of a folder to a node that can sync content is run by the module content. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "copy_ways.hpp"
#include "remote_copy.hpp"

namespace gorgone::proxy {

/// REMOTECOPY and CONTENTPUSH.
bool starts_copy(const Message& message);
/// Whether it is to be sent after the copies before it: `after_copies` in its data, or as a parameter of the API.
bool is_after_copies(const Message& message);

class CopyJobs {
 public:
  struct Limits {
    std::size_t piece_bytes = 150000;
    std::size_t running = 16;
    std::size_t waiting = 10000;  ///< in one line
  };
  CopyJobs(Agent& agent, CopyWays& ways, Limits limits);

  /// A line's key is the message's target; an empty one is this node itself.
  bool has_line(const std::string& target) const { return lines_.contains(target); }
  /// Takes a copy, or a message that waits for copies, into the line of its target and the outbox; the answer comes when it is there and,
  /// for a copy, its source was looked at. The message has its delivery id.
  void accept(Message message, bool is_passed_on, Reply reply);
  /// One of the outbox, from before the start.
  void restore(Message message);
  void stop();

  /// See BulkOwner.
  bool owns(const std::string& token) const { return tries_.contains(token); }
  void answered(const std::string& token, const Result<void>& outcome);
  void way_changed(const std::string& node);

 private:
  struct Item {
    Message message;
    std::int64_t until = 0;  // now_s()
    bool is_copy = true, is_stored = false, is_checked = false;
    bool is_counted = false;  // among those that run
    int tries = 0, wrong_contents = 0;
    std::uint64_t best = 0;  // confirmed bytes of the best try
  };
  struct Line {
    std::list<std::shared_ptr<Item>> items;
    bool is_running = false;
    std::int64_t paused_until = 0;
  };
  struct Acceptance;

  void settle(const std::shared_ptr<Acceptance>& acceptance);
  void drop(const std::string& target, const std::shared_ptr<Item>& item);
  void pump(const std::string& target);
  void leave(const std::string& target, Item& item);
  void count(Item& item, bool is_counted);
  void pump_all();
  void pump_all_soon();
  void tick();
  bool give_up_if_late(Line& line, const std::shared_ptr<Item>& item);
  asio::awaitable<void> run(std::string target, std::shared_ptr<Item> item, CopyWay way);
  asio::awaitable<void> run_archive(const std::string& target, const std::shared_ptr<Item>& item, CopyOrder order, CopyWay way);
  bool has_content() const;
  asio::awaitable<Result<bool>> run_content(const std::string& target, const std::shared_ptr<Item>& item);
  void ended(const std::shared_ptr<Item>& item, const RemoteCopy::Outcome& outcome, const CopyOrder& order, std::uint64_t bytes);
  void end_badly(const std::shared_ptr<Item>& item, const std::string& why);
  void row(const Item& item, int code, json::object data);

  Agent& agent_;
  CopyWays& ways_;
  Limits limits_;
  std::map<std::string, Line> lines_;
  std::map<std::string, RemoteCopy*> tries_;  // by their tokens
  std::size_t running_ = 0, held_up_ = 0;     // of the lines that are at work: whose copy is counted, and whose is not
  asio::steady_timer timer_;
  bool is_ticking_ = false, is_stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::proxy
