#pragma once
// Brings a node's history here. A deployed node is asked (GETLOG) now and then and whenever somebody wishes; one of our own holds
// the question until it has new rows, so that they come as they are written (docs/protocol.md, "Rows as they are written"). One
// question is under way at a time, and what was stored last is remembered in the journal: nothing is fetched twice, nothing missed.
// Times are seconds of a steady clock. On the loop.

#include <gorgone/agent.hpp>
#include <gorgone/flow_watch.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gorgone::proxy {

class LogSync {
 public:
  struct Limits {
    std::int64_t every_s = 60;
    std::int64_t answer_s = 30;  ///< more while the answer is on its way
  };
  using Done = std::function<void(Result<void>)>;
  using Send = std::function<Result<void>(const Message&)>;

  using Flow = std::function<LinkFlow()>;

  LogSync(
      Agent& agent, std::string node, Limits limits, Send send, Flow flow = [] { return LinkFlow(); });

  void link_up(std::int64_t now);
  void link_down(const std::string& why);
  /// Whether the node holds the question.
  void set_can_hold(bool can_hold) { can_hold_ = can_hold; }
  /// Which journal the node has. Another one than before begins anew, and what was stored last of the old one says nothing about it.
  void set_journal(const std::string& id);

  /// `done` (may be empty) comes when the rows that the node has now are stored here, or with an Error. `subnode`: a node behind it.
  void fetch(const std::string& subnode, Done done, std::int64_t now);
  /// True where the message is the answer to the question under way; then it has been dealt with.
  bool take_answer(const Message& message, std::int64_t now);

  std::optional<std::int64_t> deadline() const;
  void on_clock(std::int64_t now);

 private:
  using Waiters = std::vector<Done>;
  struct Question {  // under way
    std::uint64_t number = 0;
    std::vector<std::string> tokens;  // one each time it was asked; whichever is answered first counts
    std::string subnode;
    std::int64_t asked = 0, again = 0, deadline = 0;
    bool is_held = false;  // the node answers when it has something
    FlowWatch flow;
    Waiters waiters;
  };
  void ask(std::int64_t now);
  void send_question();
  void compare_journal(const std::string& id);
  void on_data(const json::value* data, std::int64_t now);
  void store(const json::array& rows, bool has_more, std::int64_t now);
  void wait_for_what_comes(std::int64_t now);
  void finish(const Result<void>& outcome, std::int64_t now, bool has_more = false);

  Agent& agent_;
  std::string node_;
  Limits limits_;
  Send send_;
  Flow flow_;
  bool is_up_ = false, can_hold_ = false;
  bool is_caught_up_ = false;  // the last answer left nothing behind
  bool is_storing_ = false;    // its rows, which the journal may refuse: no question goes meanwhile
  std::optional<Question> question_;
  std::map<std::string, Waiters> wishes_;  // for the next questions, by subnode
  std::uint64_t questions_ = 0;
  std::optional<double> fetched_until_;
  std::optional<std::string> journal_;  // the one that fetched_until_ is of; empty: not told yet
  bool is_from_the_beginning_ = false;  // rows of a journal may be here already
  std::int64_t next_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::proxy
