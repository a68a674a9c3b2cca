#pragma once
// The connection to a NATS cluster as the loop sees it: up or down, messages out, messages in, questions with their answers. Lives on the
// loop; never calls back from inside a call.

#include <gorgone/agent.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "nats_thread.hpp"

namespace gorgone::mcollective {

class NatsConnection {
 public:
  using Handler = std::function<void(const NatsMessage&)>;
  using Answer = std::function<void(Result<NatsMessage>)>;
  static constexpr auto answer_within = std::chrono::seconds(3);

  struct Status {
    bool is_up = false;
    std::string server, last_error;
    std::int64_t since_s = 0;  ///< since 1970: up or down since then
    std::uint64_t connects = 0, in = 0, out = 0, dropped_in = 0, dropped_out = 0;
  };

  NatsConnection(Agent& agent, NatsSpec spec);
  ~NatsConnection();
  NatsConnection(const NatsConnection&) = delete;

  /// Connects, and again for ever.
  void start();
  /// See Backbone::stop(). Whoever waits for an answer gets none.
  asio::awaitable<void> stop();
  /// Called at each change, in the order of these calls.
  void on_change(std::function<void(bool is_up)> call) { listeners_.push_back(std::move(call)); }
  bool is_up() const { return status_.is_up; }
  std::size_t payload_max() const { return payload_max_; }

  /// False where it is down or too much waits.
  bool send(NatsOutgoing message);
  /// The code of an Error is "away": the connection is down, went, or gave no answer in time; whether the message arrived is not known.
  void ask(NatsOutgoing question, Answer answer);
  /// One handler for each subject, which holds no wildcards.
  void subscribe(const std::string& subject, Handler handler);
  void unsubscribe(const std::string& subject);
  const Status& status() const { return status_; }

 private:
  struct Waiting {
    Answer answer;
    std::chrono::steady_clock::time_point until;
  };

  void look();
  void changed(NatsNews::Link link);
  void received(const NatsMessage& message);
  void answered(std::uint64_t question, Result<NatsMessage> answer);
  void fail_all(const std::string& why);
  void watch_time();

  Agent& agent_;
  NatsSpec spec_;
  std::string inbox_;
  Status status_;
  std::size_t payload_max_ = std::size_t{1} << 20;
  std::vector<std::function<void(bool)>> listeners_;
  std::unordered_map<std::string, Handler> handlers_;
  std::map<std::uint64_t, Waiting> waiting_;  ///< the oldest first: all may take equally long
  std::uint64_t questions_ = 0;
  asio::steady_timer limit_;
  bool is_watching_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<NatsThread> thread_;
};

}  // namespace gorgone::mcollective
