#pragma once
// The two sides of NatsThread: the gate, through which the client's threads tell what has come in, and the worker, the one thread that
// calls the client.

#include <nats/nats.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "nats_thread.hpp"

namespace gorgone::mcollective {

/// On any thread.
class NatsGate {
 public:
  /// Lives until the process ends.
  static NatsGate* make(std::function<void()> wake);

  void link(NatsNews::Link link);
  void message(NatsMessage message);
  void failure(std::string what);
  void count_unsent(std::uint64_t count);
  /// The client has given up its connection.
  void closed();
  void on_closed(std::function<void()> call);

  NatsNews take();
  void shut();

 private:
  void wake(std::unique_lock<std::mutex> lock);

  std::mutex mutex_;
  std::function<void()> wake_, on_closed_;
  bool is_awake_ = false, is_shut_ = false;
  std::size_t bytes_ = 0;
  NatsNews news_;
};

struct NatsJob {
  enum class Kind { publish, subscribe, unsubscribe };
  Kind kind;
  NatsOutgoing message;
};

class NatsWorker {
 public:
  NatsWorker(NatsSpec spec, NatsGate& gate);
  ~NatsWorker();

  /// False where too much waits.
  bool push(NatsJob job);

 private:
  void run();
  bool is_ending();
  /// Waits for jobs, the end or `closed`; what is to be done.
  std::deque<NatsJob> wait();
  void connect();
  void disconnect();
  std::string set_options(natsOptions* options) const;
  void perform(NatsJob& job);
  void publish(const NatsOutgoing& message);
  void subscribe(const std::string& subject);
  void failed(const std::string& what, natsStatus status);

  const NatsSpec spec_;
  NatsGate& gate_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<NatsJob> jobs_;
  std::size_t bytes_ = 0;
  bool is_ending_ = false, is_closed_ = false;
  natsConnection* connection_ = nullptr;
  std::map<std::string, natsSubscription*> subscriptions_;
  std::thread thread_;
};

}  // namespace gorgone::mcollective
