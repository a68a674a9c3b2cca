#pragma once
// Puts messages of persistent topics into their streams, one of each topic after the other so that their order holds. While the backbone
// is away they go into the journal, and from there into the stream before newer ones. On the loop.

#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "jet_stream.hpp"
#include "kept_store.hpp"
#include "offer_budget.hpp"
#include "stream_names.hpp"

namespace gorgone::mcollective {

class QueueWriter {
 public:
  static constexpr std::size_t waiting_max = 10'000, waiting_bytes_max = std::size_t{64} << 20;

  /// `stored` is called when a message has come into the stream of a topic.
  QueueWriter(Agent& agent, NatsConnection& connection, KeptStore& store, const StreamNames& names,
              std::function<void(const std::string& topic)> stored);
  QueueWriter(const QueueWriter&) = delete;

  void put(const std::string& topic, SharedFrames message, std::function<void(Result<void>)> done);
  /// Whether the streams are there.
  void set_ready(bool is_ready);
  /// What waits goes into the journal under its id, for whether it is in a stream is not known; the servers' answers are not waited for.
  void stop();

  std::uint64_t refused() const { return refused_; }  ///< by the streams
  std::uint64_t lost() const { return lost_; }  ///< larger than the servers take, not in the journal's file, or no room there at a stop
  std::size_t waiting() const;                  ///< for the stream's word, in memory

 private:
  struct Pending {
    Envelope envelope;
    std::size_t bytes = 0;
    std::function<void(Result<void>)> done;
  };
  struct Topic {
    std::deque<Pending> waiting;
    std::deque<KeptStore::Stored> moving;  ///< read from the journal, not yet in the stream
    bool is_busy = false;
  };

  void spool(const std::string& topic, const Envelope& envelope, std::function<void(Result<void>)> done);
  /// True: the topic waits until others that were read from the journal are stored.
  bool pump(const std::string& topic);
  void send(const std::string& topic, Topic& state);
  void sent(const std::string& topic, const Result<std::uint64_t>& result);
  bool read(const std::string& topic, Topic& state);
  void pop_moving(Topic& state);
  void let_others_go_on();
  void move(const std::string& topic, Topic& state);
  void moved(const std::string& topic, const Result<std::uint64_t>& result);
  void lose(const std::string& topic, Topic& state, const std::string& why);
  void complain(const std::string& topic, const std::string& why);
  void pause(const std::string& topic, std::chrono::milliseconds time);

  Agent& agent_;
  NatsConnection& connection_;
  JetStream streams_;
  KeptStore& store_;
  const StreamNames& names_;
  std::function<void(const std::string&)> stored_;
  const std::string instance_;
  std::uint64_t ids_ = 0, refused_ = 0, lost_ = 0;
  std::chrono::steady_clock::time_point complain_after_{};
  std::size_t waiting_bytes_ = 0;
  bool is_ready_ = false;
  std::map<std::string, Topic> topics_;
  OfferBudget budget_;  ///< of what was read from the journal, for all topics as if they were one identity's
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::mcollective
