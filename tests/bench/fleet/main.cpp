// A fleet of simulated nodes in one process. `bench_fleet KEY CENTRALS-PUBLIC-KEY` plays nodes that a central dials and prints its ports as
// a line of JSON, `bench_fleet KEY CENTRALS-ENDPOINT COUNT` plays nodes that dial it and prints an empty one. Both then obey the lines of
// standard input: "counts" and "reset" print what happened since the last reset, "restart" and "restart keep" end all connections, "dial"
// begins to dial.

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>

#include <chrono>
#include <iostream>

#include "core/log_file.hpp"
#include "tests/bench/fleet/black_holes.hpp"
#include "tests/bench/fleet/dialing_nodes.hpp"
#include "tests/bench/fleet/nodes.hpp"

namespace {

using namespace bench::fleet;

void raise_limits() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

void tell(const Nodes& nodes) {
  const auto& counts = nodes.counts();
  fmt::print(R"({{"seen":{},"greetings":{},"refused":{},"pings":{},"fetches":{},"commands":{}}})"
             "\n",
             counts.seen.size(), counts.greetings, counts.refused, counts.pings, counts.fetches, counts.commands);
  std::fflush(stdout);
}

void obey(Nodes& nodes, const std::string& line) {
  if (line.starts_with("restart")) nodes.restart(line == "restart keep");
  tell(nodes);
  if (line == "reset") nodes.reset();
}

void serve(Nodes& nodes) {
  using Clock = std::chrono::steady_clock;
  auto next = Clock::now();
  std::string input;
  for (;;) {
    zmq::pollitem_t waits[]{{nodes.socket(), 0, ZMQ_POLLIN, 0}, {nullptr, STDIN_FILENO, ZMQ_POLLIN, 0}};
    zmq::poll(waits, 2, std::chrono::seconds(5));
    if (waits[0].revents) nodes.serve();
    if (waits[1].revents) {
      char bytes[256];
      const auto size = read(STDIN_FILENO, bytes, sizeof bytes);
      if (size <= 0) return;
      input.append(bytes, static_cast<std::size_t>(size));
      for (std::size_t end; (end = input.find('\n')) != std::string::npos; input.erase(0, end + 1)) obey(nodes, input.substr(0, end));
    }
    if (Clock::now() >= next) {
      next = Clock::now() + std::chrono::seconds(5);
      nodes.on_clock();
    }
  }
}

void tell(const DialingNodes& nodes) {
  const auto& counts = nodes.counts();
  fmt::print(R"({{"seen":{},"up":{},"ups":{},"downs":{},"refused":{},"pings":{},"fetches":{}}})"
             "\n",
             counts.seen, counts.up, counts.ups, counts.downs, counts.refused, counts.pings, counts.fetches);
  std::fflush(stdout);
}

// One line after the other, until there are no more.
void obey_lines(boost::asio::posix::stream_descriptor& input, std::string& text, DialingNodes& nodes) {
  boost::asio::async_read_until(input, boost::asio::dynamic_buffer(text), '\n',
                                [&](const boost::system::error_code& error, std::size_t size) {
                                  if (error) return static_cast<boost::asio::io_context&>(input.get_executor().context()).stop();
                                  const auto line = text.substr(0, size - 1);
                                  text.erase(0, size);
                                  if (line == "dial") nodes.start();
                                  if (line == "restart") nodes.restart();
                                  tell(nodes);
                                  if (line == "reset") nodes.reset();
                                  obey_lines(input, text, nodes);
                                });
}

void dial(gorgone::wire::RsaPrivateKey own, const std::string& endpoint, const std::string& count) {
  // Thousands of lines about what is lost by design say nothing.
  (void)gorgone::open_log("", gorgone::Severity::fatal);
  boost::asio::io_context loop;
  DialingNodes nodes(loop, std::move(own), endpoint, std::stoul(count));
  boost::asio::posix::stream_descriptor input(loop, dup(STDIN_FILENO));
  std::string text;
  obey_lines(input, text, nodes);
  fmt::print("{{}}\n");
  std::fflush(stdout);
  loop.run();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: bench_fleet KEY CENTRALS-PUBLIC-KEY | bench_fleet KEY CENTRALS-ENDPOINT COUNT\n";
    return 2;
  }
  try {
    raise_limits();
    const auto own = gorgone::wire::load_private_key(argv[1]);
    if (!own) throw std::runtime_error(own.error().message);
    if (argc == 4) {
      dial(*own, argv[2], argv[3]);
      return 0;
    }
    const auto central = gorgone::wire::load_public_key(argv[2]);
    if (!central) throw std::runtime_error(central.error().message);
    const BlackHoles holes;
    zmq::context_t context;
    Nodes nodes(context, *own, *central);
    fmt::print(R"({{"nodes":{},"mute":{},"dropping":{},"refusing":{}}})"
               "\n",
               nodes.port(), holes.mute(), holes.dropping(), holes.refusing());
    std::fflush(stdout);
    serve(nodes);
  } catch (const std::exception& failure) {
    std::cerr << "bench_fleet: " << failure.what() << '\n';
    return 1;
  }
}
