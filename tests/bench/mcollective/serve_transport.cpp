#include <unistd.h>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <array>
#include <iostream>
#include <map>

#include "load.hpp"
#include "support/loop_agent.hpp"
#include "transport.hpp"

namespace gorgone::bench {

void serve_transport() {
  using mcollective::ConnectionId;
  using mcollective::Frames;
  test::LoopAgent agent;
  const auto keys = mcollective::new_key_pair();
  std::map<std::string, std::vector<ConnectionId>> subscribers;
  std::unique_ptr<mcollective::Transport> transport;

  mcollective::Transport::Events events;
  events.message = [&](ConnectionId from, Frames frames) {
    if (frames.size() < 2) return;
    const std::string verb = frames[1];
    std::string id, topic;
    std::size_t at = 2;
    for (; at + 1 < frames.size() && !frames[at].empty(); at += 2) {
      if (frames[at] == "ID") id = frames[at + 1];
      if (frames[at] == "TOPIC") topic = frames[at + 1];
    }
    if (verb == "SUB" && at + 1 < frames.size()) subscribers[frames[at + 1]].push_back(from);
    if (verb == "PUT") {
      Frames passed{"", "MESSAGE"};
      for (std::size_t i = 2; i < frames.size(); ++i) {
        if (i < at && frames[i] == "ID")
          ++i;
        else
          passed.push_back(std::move(frames[i]));
      }
      const auto shared = std::make_shared<const Frames>(std::move(passed));
      for (const auto to : subscribers[topic]) transport->send(to, shared);
    }
    if (!id.empty()) transport->answer(from, std::make_shared<const Frames>(Frames{"", "OK", "ID", id}));
  };
  mcollective::Transport::Spec spec;
  spec.bind = {"tcp://127.0.0.1:0"};
  spec.curve = keys;
  spec.message_bytes_max = std::size_t{64} << 20;
  spec.connections_max = 100000;
  spec.handshakes_max = 64;
  spec.handshake_timeout = std::chrono::seconds(10);
  transport = std::make_unique<mcollective::Transport>(agent, std::move(spec), std::move(events));
  if (const auto started = transport->start(); !started) throw std::runtime_error(started.error().message);
  std::cout << transport->endpoints().front() << " " << mcollective::to_z85(keys.public_key) << std::endl;

  asio::posix::stream_descriptor input(agent.loop(), dup(STDIN_FILENO));
  std::array<char, 64> ignored;
  input.async_read_some(asio::buffer(ignored), [&](const boost::system::error_code&, std::size_t) { agent.loop().stop(); });
  agent.loop().run();
}

}  // namespace gorgone::bench
