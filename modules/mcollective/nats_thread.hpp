#pragma once
// The C client of NATS on a thread of its own: what it is given to send is done there in order, and what comes in is collected for the
// loop. Nothing of the caller runs on the client's threads.

#include <gorgone/result.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gorgone::mcollective {

struct NatsSpec {
  std::vector<std::string> servers;  ///< nats:// or tls:// URLs
  std::string name;                  ///< as the servers' monitoring shows it
  std::string credentials;           ///< file with JWT and seed
  std::string user, password, token;
  bool tls = false, tls_verify = true;
  std::string tls_ca, tls_cert, tls_key;
};

struct NatsOutgoing {
  std::string subject, reply, payload;
  std::vector<std::pair<std::string, std::string>> headers = {};
};

struct NatsMessage {
  std::string subject, data;
  int status = 0;              ///< of the server in place of a message: 503 nobody answers, 404 there is none
  std::uint64_t sequence = 0;  ///< in its stream, for messages read from one
};

/// What has happened since the last look, in this order: connection, then messages.
struct NatsNews {
  struct Link {
    bool is_up = false;
    std::string server;           ///< without credentials
    std::size_t payload_max = 0;  ///< the largest payload that it takes
    std::string why;              ///< it is down
  };
  std::vector<Link> links;
  std::vector<NatsMessage> messages;
  std::vector<std::string> failures;  ///< of sending, for the status
  std::uint64_t dropped_in = 0;       ///< the loop was too slow
  std::uint64_t dropped_out = 0;      ///< the connection went before they were sent
};

class NatsGate;
class NatsWorker;

class NatsThread {
 public:
  static constexpr std::size_t waiting_bytes_max = std::size_t{64} << 20, waiting_max = 100'000;

  /// `wake` is called on any thread, once until take() is called.
  NatsThread(NatsSpec spec, std::function<void()> wake);
  /// Nothing is told from now on.
  void shut();
  /// Ends the connection, on any thread; takes as long as an attempt to connect to each server that is under way.
  ~NatsThread();
  NatsThread(const NatsThread&) = delete;

  /// False where too much waits to be sent.
  bool send(NatsOutgoing message);
  void subscribe(std::string subject);
  void unsubscribe(std::string subject);
  NatsNews take();

 private:
  NatsGate* gate_;  ///< never destroyed: the client's threads may come to it late
  std::unique_ptr<NatsWorker> worker_;
};

}  // namespace gorgone::mcollective
