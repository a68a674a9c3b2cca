// A fleet of simulated nodes in one process: `bench_fleet KEY CENTRALS-PUBLIC-KEY`. Prints its ports as a line of JSON, then obeys the
// lines of its standard input: "counts" and "reset" print what happened since the last reset, "restart" and "restart keep" end all
// connections.

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <iostream>

#include "tests/bench/fleet/black_holes.hpp"
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

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: bench_fleet KEY CENTRALS-PUBLIC-KEY\n";
    return 2;
  }
  try {
    raise_limits();
    const auto own = gorgone::wire::load_private_key(argv[1]);
    const auto central = gorgone::wire::load_public_key(argv[2]);
    if (!own || !central) throw std::runtime_error(own ? central.error().message : own.error().message);
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
