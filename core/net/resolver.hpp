#pragma once
// Looks names up beside the loop. Asio's own resolver has one thread for each loop, so that a name server which says nothing about one
// name would keep all others waiting. Here each name has at most one question under way, on a thread of its own: at most `at_once` that are
// quick, and `threads_max` with those that hang. A name that hung the last time waits behind the others. One for each loop; lives on it.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <gorgone/result.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace gorgone::net {

class Resolver final : public boost::asio::execution_context::service {
 public:
  static inline boost::asio::execution_context::id id;
  static constexpr std::size_t at_once = 16, threads_max = 64;
  static constexpr std::chrono::milliseconds hanging{1000};  // longer than a name server that works needs

  using Addresses = std::vector<boost::asio::ip::address>;
  using Done = std::function<void(const Result<Addresses>&)>;
  /// What a thread does: may take as long as it likes.
  using Ask = std::function<Result<Addresses>(const std::string& name)>;

  explicit Resolver(boost::asio::execution_context& loop);
  /// In place of the system's resolver, for tests.
  void set_ask(Ask ask) { ask_ = std::move(ask); }

  /// `done` comes on the loop, never from inside this call; with at least one address, or with an Error that says why there is none. An
  /// address is its own answer. Nobody can be told that it is not awaited any more: `done` looks for itself.
  void look_up(const std::string& name, Done done);

 private:
  struct Question {
    std::vector<Done> waiters;
    bool is_asked = false, is_hanging = false;
    std::chrono::steady_clock::time_point begin{};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;  // the loop does not end before it is told
  };
  struct Mailbox;
  void begin_more();
  void begin(const std::string& name);
  void answered(const std::string& name, const Result<Addresses>& outcome);
  void watch();
  void mark_hanging();
  void shutdown() override;

  boost::asio::io_context& loop_;
  Ask ask_;
  std::map<std::string, Question> questions_;
  std::deque<std::string> first_, last_;  // to be asked; last_: those that hung before
  std::set<std::string> has_hung_;        // names whose last question took long
  std::size_t running_ = 0, hanging_ = 0;
  boost::asio::steady_timer timer_;
  std::shared_ptr<Mailbox> mailbox_;
};

}  // namespace gorgone::net
