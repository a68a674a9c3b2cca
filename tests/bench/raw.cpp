// What the libraries below the agent can do on this machine, measured by the same client code.

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <thread>

#include "tests/bench/bench.hpp"

namespace bench {
namespace {

namespace wire = gorgone::wire;

// A ROUTER that sends back what it gets; opened and sealed anew on the way where there is a cipher. Tells its endpoint first.
[[noreturn]] void serve_echo(int tell, const std::optional<wire::SessionCipher>& cipher) {
  zmq::context_t context;
  zmq::socket_t socket(context, zmq::socket_type::router);
  socket.set(zmq::sockopt::sndhwm, 0);
  socket.set(zmq::sockopt::rcvhwm, 0);
  socket.bind("tcp://127.0.0.1:0");
  const auto endpoint = socket.get(zmq::sockopt::last_endpoint) + "\n";
  if (write(tell, endpoint.data(), endpoint.size()) < 0) _exit(1);
  for (;;) {
    zmq::message_t from, frame;
    (void)socket.recv(from);
    (void)socket.recv(frame);
    socket.send(from, zmq::send_flags::sndmore);
    if (cipher)
      socket.send(zmq::buffer(cipher->seal(*cipher->open(frame.to_string_view()))));
    else
      socket.send(frame, zmq::send_flags::none);
  }
}

class EchoServer {
 public:
  explicit EchoServer(const std::optional<wire::SessionCipher>& cipher) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("no pipe");
    process_ = fork();
    if (process_ == 0) serve_echo(ends[1], cipher);
    char text[128] = {};
    const auto size = read(ends[0], text, sizeof text - 1);
    endpoint_.assign(text, size > 0 ? static_cast<std::size_t>(size) - 1 : 0);
    close(ends[0]);
    close(ends[1]);
  }
  ~EchoServer() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  const std::string& endpoint() const { return endpoint_; }

 private:
  pid_t process_ = -1;
  std::string endpoint_;
};

double plain_echoes_per_s(const std::string& endpoint, int count) {
  zmq::context_t context;
  auto socket = connect(context, endpoint, "gorgone-bench-plain");
  const std::string text(100, 'x');
  const auto begin = Clock::now();
  for (int sent = 0, taken = 0; taken < count;) {
    for (; sent < count && sent < taken + window; ++sent) socket.send(zmq::buffer(text));
    take_frame(socket);
    ++taken;
    zmq::message_t frame;
    while (socket.recv(frame, zmq::recv_flags::dontwait)) ++taken;
  }
  return count / seconds(Clock::now() - begin);
}

pid_t spawn_shell(int& output) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  char sh[] = "sh", c[] = "-c", program[] = "true";
  char* words[] = {sh, c, program, nullptr};
  pid_t pid = 0;
  if (posix_spawnp(&pid, sh, &actions, nullptr, words, environ) != 0) throw std::runtime_error("no sh");
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  output = ends[0];
  return pid;
}

}  // namespace

wire::SessionCipher known_cipher() { return wire::SessionCipher({std::string(32, 'k'), std::string(16, 'i'), 1}); }

void raw_server() { serve_echo(STDOUT_FILENO, known_cipher()); }

void raw_client(const std::string& endpoint) {
  zmq::context_t context;
  Session session(context, endpoint, known_cipher());
  (void)ping_times(session, 1, std::chrono::microseconds(0));
  fmt::print("echo\n");
  std::fflush(stdout);
  (void)std::getchar();
}

void raw_echo(int count) {
  const auto cipher = known_cipher();
  const EchoServer plain({}), sealed(cipher);
  const auto plain_rate = plain_echoes_per_s(plain.endpoint(), count);
  zmq::context_t context;
  Session session(context, sealed.endpoint(), cipher);
  const auto sealed_rate = pipeline_pings(session, count);
  const auto times = ping_times(session, 2000, std::chrono::microseconds(0));
  fmt::print(R"({{"plain_per_s":{:.0f},"sealed_per_s":{:.0f},"sealed_p50_ms":{:.3f},"sealed_p99_ms":{:.3f}}})"
             "\n",
             plain_rate, sealed_rate, percentile_ms(times, 50), percentile_ms(times, 99));
}

void raw_spawn(int count, int at_once) {
  struct Child {
    pid_t pid;
    int output;
    Clock::time_point begin;
  };
  std::vector<Child> running;
  std::vector<double> times;
  const auto begin = Clock::now();
  for (int started = 0; started < count || !running.empty();) {
    for (; started < count && static_cast<int>(running.size()) < at_once; ++started) {
      const auto now = Clock::now();
      int output = -1;
      const auto pid = spawn_shell(output);
      running.push_back({pid, output, now});
    }
    std::vector<pollfd> waits;
    for (const auto& child : running) waits.push_back({child.output, POLLIN, 0});
    poll(waits.data(), waits.size(), -1);
    for (std::size_t i = waits.size(); i-- > 0;) {
      if (waits[i].revents == 0) continue;
      waitpid(running[i].pid, nullptr, 0);
      close(running[i].output);
      times.push_back(seconds(Clock::now() - running[i].begin));
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  fmt::print(R"({{"per_s":{:.0f},"p50_ms":{:.3f},"p99_ms":{:.3f}}})"
             "\n",
             count / seconds(Clock::now() - begin), percentile_ms(times, 50), percentile_ms(times, 99));
}

void raw_rsa(int count) {
  const auto key = wire::RsaPrivateKey::generate(2048).value();
  const auto sealed = key.public_key().encrypt("HELO").value();
  const auto pem = key.public_key().pem();
  auto begin = Clock::now();
  for (int i = 0; i < count; ++i) (void)key.decrypt(sealed);
  const auto decrypt = count / seconds(Clock::now() - begin);
  begin = Clock::now();
  for (int i = 0; i < count; ++i) (void)wire::RsaPublicKey::from_pem(pem).value().thumbprint();
  fmt::print(R"({{"decrypt_per_s":{:.0f},"thumbprint_per_s":{:.0f}}})"
             "\n",
             decrypt, count / seconds(Clock::now() - begin));
}

}  // namespace bench
