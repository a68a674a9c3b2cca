#pragma once
// Persistent topics in the streams of a backbone, and in the journal while it is away. On the loop.

#include <boost/asio/steady_timer.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "queue_reader.hpp"
#include "queue_writer.hpp"

namespace gorgone::mcollective {

class StreamQueues final : public KeptQueues {
 public:
  /// `connection` outlives it.
  StreamQueues(Agent& agent, NatsConnection& connection, std::vector<KeptLimits> limits, const std::string& prefix, int replicas);

  asio::awaitable<Result<void>> start(Events events) override;
  bool is_persistent(std::string_view topic) const override { return limits_of(limits_, topic) != nullptr; }
  void put(const std::string& topic, SharedFrames message, std::function<void(Result<void>)> done) override;
  bool attach(const std::string& topic, const std::string& identity, const IdentityKey& key) override;
  bool has_room(const std::string&, const std::string&) const override { return true; }
  void detach(const std::string& topic, const std::string& identity) override { reader_.detach(topic, identity); }
  void disown(const std::string& topic, const std::string& identity) override { reader_.disown(topic, identity); }
  void nobody_here(const std::string& topic) override { reader_.nobody_here(topic); }
  void taken(const std::string& topic, std::uint64_t number) override { reader_.taken(topic, number); }
  json::array describe() const override;
  asio::awaitable<void> stop() override {
    writer_.stop();
    return store_.settle();
  }

 private:
  /// What lies in the journal of topics that no entry of `persistent` matches any more.
  void tell_unmatched();
  void changed(bool is_up);
  /// Makes the streams, one after the other; then the queues are ready.
  void ensure(std::size_t place, std::uint64_t connects);
  void set_ready(bool is_ready);
  void look();
  void ask_use();
  void stored(const std::string& topic);

  Agent& agent_;
  NatsConnection& connection_;
  const std::vector<KeptLimits> limits_;
  const StreamNames names_;
  JetStream streams_;
  KeptStore store_;
  Events events_;
  QueueWriter writer_;
  QueueReader reader_;
  bool is_ready_ = false, were_made_ = false;
  std::string last_error_;
  std::map<std::string, JetStream::Use> uses_;
  std::chrono::steady_clock::time_point complain_after_{};
  asio::steady_timer ages_, again_;
  std::int64_t renew_at_s_ = 0, ask_use_at_s_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::mcollective
