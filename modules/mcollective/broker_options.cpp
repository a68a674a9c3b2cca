#include "broker_options.hpp"

#include <fmt/format.h>

#include "address.hpp"

namespace gorgone::mcollective {

Schema broker_schema() {
  using enum OptionType;
  return {
      Option{"bind", texts, "tcp://*:61616", "addresses that the broker listens on: tcp://ADDRESS:PORT, `*` for all, IPv6 in brackets"},
      Option{"curve", boolean, "true",
             "whether connections are encrypted and clients prove their keys (CURVE); without it anybody who reaches the port is let in, "
             "under any identity"},
      Option{"private_key", path, "/etc/mcollective/broker.private",
             "the broker's secret key, one line of 40 characters (Z85); made with the public one at the first start"},
      Option{"public_key", path, "/etc/mcollective/broker.public", "the broker's public key, which every client has a copy of"},
      Option{"clients_max", integer, "10000", "sessions, of clients that are connected or may come back; more are answered ERROR"}.range(
          1, 1000000),
      Option{"topics_max", integer, "1000", "topics that one client may subscribe to; more are answered ERROR"}.range(1, 10000000),
      Option{"topic_length_max", integer, "255", "length of a topic; a longer one is answered ERROR"}.in("bytes").range(1, 32768),
      Option{"max_message_size", integer, "67108864",
             "the largest body that is passed on, over all its frames; a larger one is answered ERROR, or ends the connection where it is "
             "larger by more than a megabyte"}
          .in("bytes")
          .range(1024, 2147483647),
      Option{"queue_messages", integer, "10000",
             "messages that may wait for one client; what is more is dropped for this client and counted"}
          .range(16, 10000000),
      Option{"queue_bytes", integer, "67108864",
             "bytes that may wait for one client; what is more is dropped for this client and counted. One message may wait whatever its "
             "size"}
          .in("bytes")
          .range(65536, 17179869184.0),
      Option{"put_patience_ms", integer, "100",
             "how long publishers are held back when a subscriber's queue is three quarters full; only once, until an eighth of it has "
             "drained: one that stays full is not waited for again. 0: never"}
          .in("milliseconds")
          .range(0, 10000),
      Option{"subscribe_grace_ms", integer, "200",
             "how long after a command with an ID (CONNECT, SUB, UNSUB) messages for that client wait, or until it publishes: the "
             "connector takes whatever comes after such a command for its answer, and ends where it is another message. 0: not at all"}
          .in("milliseconds")
          .range(0, 10000),
      Option{"heartbeat_percent", integer, "50",
             "a client is spoken to when nothing was sent to it for so much of its TTL, or for up to a fifth of that less, drawn anew each "
             "time; connectors give up after a whole TTL"}
          .in("percent")
          .range(10, 90),
      Option{"silence_percent", integer, "105",
             "a client is dropped when it was silent for so much of its TTL; connectors speak after 95 percent of it"}
          .in("percent")
          .range(101, 1000),
      Option{"idle_timeout", integer, "3600",
             "a client that named no TTL is dropped after so long a silence, and one that has lost its connection after so long whatever "
             "its TTL"}
          .in("seconds")
          .range(1, 604800),
      Option{"connect_timeout", integer, "30", "a connection that has not said CONNECT for so long is closed"}.in("seconds").range(1, 3600),
      Option{
          "handshakes_max", integer, "1024",
          "connections that may be proving their keys at the same time; more wait their turn, and then who says nothing for two or three "
          "seconds is closed"}
          .range(1, 10000),
      Option{"handshake_timeout", integer, "10", "a connection that has not proven its key for so long is closed"}.in("seconds").range(1,
                                                                                                                                       600),
  };
}

std::vector<Problem> check_broker(const Settings& settings) {
  std::vector<Problem> problems;
  for (const auto& address : settings.texts("bind")) {
    if (read_address(address)) continue;
    const auto where = settings.where("bind").text();
    problems.push_back({Problem::Severity::error,
                        fmt::format("modules.mcollective.bind: got \"{}\"{}, expected tcp://ADDRESS:PORT (default tcp://*:61616)", address,
                                    where.empty() ? "" : " (" + where + ")")});
  }
  return problems;
}

BrokerOptions read_broker(const Settings& settings) {
  const auto size = [&](const char* key) { return static_cast<std::size_t>(settings.integer(key)); };
  const auto seconds = [&](const char* key) { return milliseconds(settings.integer(key) * 1000); };
  BrokerOptions options;
  options.bind = settings.texts("bind");
  options.curve = settings.boolean("curve");
  options.private_key = settings.text("private_key");
  options.public_key = settings.text("public_key");
  options.handshakes = size("handshakes_max");
  options.handshake = seconds("handshake_timeout");
  auto& limits = options.limits;
  limits.clients = size("clients_max");
  limits.topics = size("topics_max");
  limits.topic_bytes = size("topic_length_max");
  limits.body_bytes = size("max_message_size");
  limits.queue_messages = size("queue_messages");
  limits.queue_bytes = size("queue_bytes");
  limits.heartbeat_percent = static_cast<std::uint32_t>(settings.integer("heartbeat_percent"));
  limits.silence_percent = static_cast<std::uint32_t>(settings.integer("silence_percent"));
  limits.idle = seconds("idle_timeout");
  limits.connect = seconds("connect_timeout");
  limits.grace = milliseconds(settings.integer("subscribe_grace_ms"));
  limits.patience = milliseconds(settings.integer("put_patience_ms"));
  return options;
}

}  // namespace gorgone::mcollective
