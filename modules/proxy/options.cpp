#include "options.hpp"

#include "wss_options.hpp"

namespace gorgone::proxy {

NodeLimits read_node_limits(const Settings& settings) {
  NodeLimits limits;
  limits.ping.interval_s = settings.integer("ping");
  limits.ping.lost_max = static_cast<int>(settings.integer("pong_max_timeout"));
  limits.log.every_s = settings.integer("synchistory_time");
  limits.log.answer_s = settings.integer("synchistory_timeout");
  if (settings.text("redelivery") == "at_most_once") limits.redelivery = Redelivery::at_most_once;
  limits.queue.messages = static_cast<std::size_t>(settings.integer("queue_messages"));
  limits.queue.bytes = static_cast<std::size_t>(settings.integer("queue_bytes"));
  limits.queue.ttl_s = settings.integer("outbox_ttl");
  return limits;
}

CopyJobs::Limits read_copy_limits(const Settings& settings) {
  CopyJobs::Limits limits;
  limits.piece_bytes = static_cast<std::size_t>(settings.integer("buffer_size"));
  limits.running = static_cast<std::size_t>(settings.integer("copies_max"));
  limits.waiting = static_cast<std::size_t>(settings.integer("queue_messages"));
  return limits;
}

std::vector<Option> schema() {
  std::vector<Option> options = {
      Option{"ping", OptionType::integer, "60", "how often each node is pinged; the first time at once"}.in("seconds").range(1, 86400),
      Option{"pong_max_timeout", OptionType::integer, "3",
             "after so many pings without an answer, each waited for 10 s, the connection is made anew"}
          .range(1, 1000),
      Option{"pong_discard_timeout", OptionType::integer, "300",
             "a parent that has not answered for so long is passed over while another one leads to the target"}
          .in("seconds")
          .range(1, 86400),
      Option{"synchistory_time", OptionType::integer, "60", "how often the log of each node is fetched when nobody asks for it"}
          .in("seconds")
          .range(1, 86400),
      Option{"synchistory_timeout", OptionType::integer, "30", "how long a node may take to send its log"}.in("seconds").range(1, 3600),
      Option{"outbox_ttl", OptionType::integer, "3600",
             "how long a message waits for a node that is away; then it is a history row with code 1. An API client may give each its own "
             "(parameter outbox_ttl)"}
          .in("seconds")
          .range(1, outbox_ttl_max_s),
      Option{
          "redelivery", OptionType::text, "at_least_once",
          "what becomes of a message whose acknowledgement was lost with the link, for nodes with a deployed daemon: at_least_once sends "
          "it again, so that it may run twice; at_most_once never does, so that it may be lost, which is a history row with code 1 "
          "where it can be known. Between nodes of this daemon each message runs once either way"}
          .one_of({"at_least_once", "at_most_once"}),
      Option{"queue_messages", OptionType::integer, "10000",
             "messages that may wait for one node, behind a remote as well; more are refused as busy"}
          .range(1, 10000000),
      Option{"queue_bytes", OptionType::integer, "268435456",
             "bytes that may wait for one node, behind a remote as well; more are refused as busy"}
          .in("bytes")
          .range(65536, 17179869184.0),
      Option{"buffer_size", OptionType::integer, "150000", "bytes of a file, or of an archive, in one message of a remote copy"}
          .in("bytes")
          .range(1024, 10485760),
      Option{"copies_max", OptionType::integer, "16",
             "remote copies that run at the same time, each to another node; each takes up to about 4 MB of memory"}
          .range(1, 1000),
      Option{"pool", OptionType::integer, "5", "processes of a deployed proxy"}.ignored(),
  };
  for (auto& option : wss_schema()) options.push_back(std::move(option));
  return options;
}

}  // namespace gorgone::proxy
