// Clients that load a daemon.

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>
#include <gorgone/json.hpp>

#include <deque>
#include <random>
#include <thread>
#include <unordered_set>

#include "tests/bench/bench.hpp"

namespace bench {
namespace {

namespace wire = gorgone::wire;

wire::RsaPrivateKey key_of(const std::string& file) { return wire::load_private_key(file).value(); }

bool input_ended() {
  pollfd wait{STDIN_FILENO, POLLIN, 0};
  return poll(&wait, 1, 0) > 0;
}

std::string token_of(int number) { return fmt::format("bench-{:08}-{:08}", getpid(), number); }

double one_ping(Session& session, int number, Clock::time_point due) {
  session.send(fmt::format("[PING] [{}] [] {{}}", token_of(number)));
  session.take();
  return seconds(Clock::now() - due);
}

}  // namespace

double pipeline_pings(Session& session, int count) {
  const auto begin = Clock::now();
  for (int sent = 0, taken = 0; taken < count;) {
    for (; sent < count && sent < taken + window; ++sent) session.send(fmt::format("[PING] [{}] [] {{}}", token_of(sent)));
    session.take();
    ++taken;
    while (session.take_now()) ++taken;
  }
  return count / seconds(Clock::now() - begin);
}

std::vector<double> ping_times(Session& session, int count, std::chrono::microseconds pace) {
  std::vector<double> times;
  auto due = Clock::now();
  for (int i = 0; i < count; ++i) {
    if (pace.count() == 0) due = Clock::now();
    std::this_thread::sleep_until(due);
    times.push_back(one_ping(session, i, due));
    due += pace;
  }
  return times;
}

void pings(const std::string& endpoint, const std::string& key_file, int count) {
  zmq::context_t context;
  Session session(context, endpoint, key_of(key_file));
  const auto rate = pipeline_pings(session, count);
  const auto times = ping_times(session, 2000, std::chrono::microseconds(0));
  fmt::print(R"({{"per_s":{:.0f},"p50_ms":{:.3f},"p99_ms":{:.3f}}})"
             "\n",
             rate, percentile_ms(times, 50), percentile_ms(times, 99));
}

void live_pings(const std::string& endpoint, const std::string& key_file, std::chrono::microseconds pace) {
  zmq::context_t context;
  Session session = key_file.empty() ? Session(context, endpoint, known_cipher()) : Session(context, endpoint, key_of(key_file));
  std::vector<double> times;
  fmt::print("ready\n");
  std::fflush(stdout);
  // Sent by the clock, whether the last was answered or not: an answer that is late delays itself, not those behind it.
  std::deque<Clock::time_point> open;
  auto due = Clock::now();
  for (int i = 0; !input_ended() || !open.empty();) {
    if (Clock::now() >= due && !input_ended()) {
      session.send(fmt::format("[PING] [{}] [] {{}}", token_of(i++)));
      open.push_back(due);
      due += pace;
    }
    while (session.take_now()) {
      times.push_back(seconds(Clock::now() - open.front()));
      open.pop_front();
    }
    if (!open.empty() || !input_ended()) session.wait(input_ended() ? Clock::now() + std::chrono::seconds(1) : due);
  }
  fmt::print(R"({{"pings":{},"p50_ms":{:.3f},"p99_ms":{:.3f},"max_ms":{:.3f}}})"
             "\n",
             times.size(), percentile_ms(times, 50), percentile_ms(times, 99), percentile_ms(times, 100));
}

void commands(const std::string& endpoint, const std::string& key_file, int count) {
  zmq::context_t context;
  Session session(context, endpoint, key_of(key_file));
  const auto begin = Clock::now();
  std::unordered_set<std::string> open;
  for (int i = 0; i < count; ++i) {
    session.send(fmt::format(R"([COMMAND] [{}] [] {{"content":[{{"command":"true"}}]}})", token_of(i)));
    open.insert(token_of(i));
  }
  int refused = 0;
  for (int i = 0; i < count; ++i)
    if (session.take().find(R"("code":0)") == std::string::npos) ++refused;
  const auto acknowledged = seconds(Clock::now() - begin);

  // Ends of tokens are rows of code 1 and 2; a command without an error has no row of code 1.
  std::string last = "0";
  double slowest_answer = 0;
  while (!open.empty() && seconds(Clock::now() - begin) < 300) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const auto asked = Clock::now();
    session.send(fmt::format(R"([GETLOG] [{}] [] {{"id":"{}","code":2}})", token_of(count), last));
    const auto text = session.take();
    slowest_answer = std::max(slowest_answer, seconds(Clock::now() - asked));
    const auto answer = gorgone::parse_json(std::string_view(text).substr(text.find('{'))).value();
    for (const auto& row : answer.at("data").at("result").as_array()) {
      open.erase(std::string(row.at("token").as_string()));
      last = row.at("id").as_string();
    }
  }
  const auto time = seconds(Clock::now() - begin);
  fmt::print(R"({{"per_s":{:.1f},"s":{:.3f},"acknowledged_s":{:.3f},"refused":{},"unfinished":{},"slowest_getlog_ms":{:.1f}}})"
             "\n",
             (count - static_cast<int>(open.size())) / time, time, acknowledged, refused, open.size(), 1000 * slowest_answer);
}

void whole_log(const std::string& endpoint, const std::string& key_file, int count) {
  zmq::context_t context;
  Session session(context, endpoint, key_of(key_file));
  std::size_t bytes = 0;
  const auto begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    session.send(fmt::format(R"([GETLOG] [{}] [] {{"ctime":1}})", token_of(i)));
    bytes = session.take().size();
  }
  fmt::print(R"({{"s":{:.3f},"mb":{:.1f}}})"
             "\n",
             seconds(Clock::now() - begin) / count, static_cast<double>(bytes) / 1e6);
}

void strangers(const std::string& endpoint, int count, int sockets, const std::string& key_file) {
  zmq::context_t context;
  context.set(zmq::ctxopt::max_sockets, sockets + 16);
  auto first = connect(context, endpoint, fmt::format("gorgone-stranger-{}", getpid()));
  const auto server = ask_key(first);
  const bool known = !key_file.empty();
  const auto own = known ? key_of(key_file) : wire::RsaPrivateKey::generate(2048).value();
  const auto text = helo(server, own.public_key(), known ? "OLEH" : "HELO");
  std::vector<zmq::socket_t> all;
  for (int i = 0; i < sockets; ++i) all.push_back(connect(context, endpoint, fmt::format("gorgone-stranger-{}-{}", getpid(), i)));
  std::vector<zmq::pollitem_t> waits;
  for (auto& socket : all) waits.push_back({socket.handle(), 0, ZMQ_POLLIN, 0});

  const auto begin = Clock::now();
  int sent = 0, answered = 0;
  for (auto& socket : all) {
    socket.send(zmq::buffer(text));
    ++sent;
  }
  while (answered < count) {
    if (zmq::poll(waits, std::chrono::seconds(30)) == 0) break;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (waits[i].revents == 0) continue;
      const auto frame = take_frame(all[i]);
      if (frame.find("handshake issue") == std::string::npos) throw std::runtime_error("a stranger was let in: " + frame);
      ++answered;
      if (sent >= count) continue;
      all[i].send(zmq::buffer(text));
      ++sent;
    }
  }
  const auto time = seconds(Clock::now() - begin);
  fmt::print(R"({{"per_s":{:.0f},"s":{:.3f},"answered":{}}})"
             "\n",
             answered / time, time, answered);
}

void noise(const std::string& endpoint, int frames, std::size_t size) {
  zmq::context_t context;
  std::string bytes(size, '\0');
  std::minstd_rand random{42};
  for (char& byte : bytes) byte = static_cast<char>(random() >> 8);
  const auto begin = Clock::now();
  std::vector<zmq::socket_t> sockets;
  for (int i = 0; i < frames; ++i) {
    sockets.push_back(connect(context, endpoint, fmt::format("gorgone-noise-{}-{}", getpid(), i)));
    sockets.back().send(zmq::buffer(bytes));
  }
  for (auto& socket : sockets) take_frame(socket);  // each is refused
  const auto refused = seconds(Clock::now() - begin);
  auto stranger = connect(context, endpoint, fmt::format("gorgone-after-{}", getpid()));
  const auto asked = Clock::now();
  (void)ask_key(stranger);
  fmt::print(R"({{"s":{:.3f},"next_answer_ms":{:.3f}}})"
             "\n",
             refused, 1000 * seconds(Clock::now() - asked));
}

}  // namespace bench
