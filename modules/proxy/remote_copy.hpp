#pragma once
// One try to bring a file or folder to a node by PROCESSCOPY messages: reads on the pool, sends as fast as the receiver confirms, and
// waits for the row that ends it. Memory is bounded by the window. On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "copy_order.hpp"
#include "copy_ways.hpp"

namespace gorgone::proxy {

class RemoteCopy {
 public:
  struct Outcome {
    enum class Kind { finished, failed, again } kind = Kind::again;
    Error why{"", ""};     ///< where it is not finished; code "content" where the receiver has got something else than was sent
    json::array warnings;  ///< of the receiver
  };
  struct Progress {
    std::uint64_t done = 0, total = 0;  ///< bytes of files
  };

  /// Where others lead to the target, the last piece may be lost unnoticed: it is repeated after so long without a word.
  static constexpr std::chrono::milliseconds end_repeated_after{60000};

  RemoteCopy(Agent& agent, CopyWays& ways, CopyOrder order, const std::string& job_token, std::string target, CopyWay way,
             std::size_t piece_bytes, std::chrono::milliseconds end_repeated = end_repeated_after);
  ~RemoteCopy();

  const std::string& token() const { return token_; }
  const CopyWay& way() const { return way_; }
  const Progress& progress() const { return progress_; }
  std::uint64_t confirmed() const { return confirmed_; }

  /// Called after each piece that was read.
  std::function<void()> on_progress;

  asio::awaitable<Outcome> run();
  /// The node has taken or refused the oldest piece that it had not.
  void answered(const Result<void>& outcome);
  /// Another try is needed.
  void interrupt(Error why);
  /// run() returns as soon as it can and asks nothing more of anybody.
  void stop();

 private:
  void on_row(const HistoryRow& row);
  void on_chunk_row(const json::value& data);
  void end(Outcome outcome);
  void advanced();
  bool has_room() const;
  asio::awaitable<void> send_next();
  asio::awaitable<void> pause();
  void look_at_clock();
  void repeat_end();
  void clean_up();

  Agent& agent_;
  CopyWays& ways_;
  CopyOrder order_;
  std::string token_, target_;
  CopyWay way_;
  std::size_t piece_bytes_;
  std::chrono::milliseconds end_repeated_;
  std::shared_ptr<CopyPacker> packer_;
  std::shared_ptr<void> watch_;
  asio::steady_timer wake_;
  std::optional<Outcome> outcome_;
  Progress progress_;
  std::uint64_t sent_ = 0, confirmed_ = 0;
  std::size_t unanswered_ = 0;
  std::string end_;  // the last piece, once it is sent
  bool is_all_sent_ = false, is_stopped_ = false, is_ended_there_ = false;
  std::chrono::steady_clock::time_point advanced_at_, asked_at_;
};

}  // namespace gorgone::proxy
