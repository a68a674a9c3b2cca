#pragma once
// Clients of libzmq that speak the connector's protocol (docs/protocol.md) on one thread, and count what comes of it.

#include <zmq.hpp>
#include <zmq_addon.hpp>

#include <memory>
#include <string>
#include <vector>

namespace gorgone::bench {

struct Target {
  std::string endpoint, key;  ///< the broker's, 40 characters of Z85
};

class Client {
 public:
  Client(zmq::context_t& context, const Target& target, const std::string& name);
  /// CONNECT and SUB, one after the other, each with its OK; throws where there is none within a minute.
  void ask(const std::string& verb, const std::string& topic = {});
  /// `id` empty: without acknowledgement.
  void put(const std::string& topic, const std::string& id, const std::string& body);
  /// One that has come; false where none has.
  bool receive(std::vector<zmq::message_t>& frames);

 private:
  zmq::socket_t socket_;
};

/// Says that its clients are there, and waits for the word to begin.
void wait_for_start();

/// Each says "ready" when its clients are there, begins at a line from its input and prints its result as a line of JSON.
void point_to_point(const Target& target, int count, int pairs);
void fan_out(const Target& target, int count, int subscribers);
/// One publisher that waits for nothing and one subscriber.
void flood(const Target& target, int count);
/// At each line again: publishes until each client has heard something of that time.
void idle(const Target& target, int clients);

/// Both print their endpoint and key and serve until their input ends: libzmq's ROUTER, and the broker's own transport. Both know SUB and
/// PUT and pass on without looking at anything else. `memory`: a file in which the ROUTER finds its address, its key and who subscribes to
/// what when it is started again; empty: none.
void serve_libzmq(const std::string& memory);
void serve_transport();

}  // namespace gorgone::bench
