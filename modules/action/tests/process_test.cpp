// Child processes (include/gorgone/process.hpp).
#include <gorgone/process.hpp>

#include <support/loop_agent.hpp>

#include <catch2/catch.hpp>

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

using namespace gorgone;
using namespace std::chrono_literals;
using End = ProcessResult::End;

namespace {

ProcessSpec shell(std::string text, std::chrono::milliseconds timeout = 10s) {
  ProcessSpec spec;
  spec.argv = {"/bin/sh", "-c", std::move(text)};
  spec.timeout = timeout;
  return spec;
}

ProcessResult run(ProcessSpec spec) {
  test::LoopAgent agent;
  return agent.wait_for(run_process(agent, std::move(spec)));
}

std::chrono::milliseconds elapsed_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
}

bool has_children() { return !(::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD); }

std::size_t open_descriptors() {
  std::size_t count = 0;
  auto* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

/// True once no process of the group is left (a zombie waiting for init's reaping counts as gone).
bool is_gone(pid_t pid) {
  for (int i = 0; i < 40; ++i) {
    auto path = "/proc/" + std::to_string(pid) + "/stat";
    auto* file = std::fopen(path.c_str(), "r");
    if (file == nullptr) return true;
    char state = '?';
    auto fields = std::fscanf(file, "%*d (%*[^)]) %c", &state);
    std::fclose(file);
    if (fields != 1 || state == 'Z' || state == 'X') return true;
    ::usleep(50'000);
  }
  return false;
}

}  // namespace

TEST_CASE("a process' output, error output and exit code come back") {
  auto result = run(shell("echo a; echo b >&2; exit 7"));
  CHECK(result.end == End::exited);
  CHECK(result.exit_code == 7);
  CHECK(result.output == "a\nb\n");
  CHECK(result.dropped == 0);
}

TEST_CASE("a process gets an empty stdin, default signals and no descriptor of ours") {
  ::signal(SIGPIPE, SIG_IGN);
  // The shell looks for itself: a pipe to another program would be a descriptor, too.
  auto result =
      run(shell("cat; sed -n 's/^Sig[IB][gl][nk].*\\(.......\\)$/\\1/p' /proc/self/status; n=0; "
                "while [ $n -lt 200 ]; do [ ! -e /proc/$$/fd/$n ] || printf '%s ' $n; n=$((n + 1)); done"));
  CHECK(result.output == "0000000\n0000000\n0 1 2 ");
}

TEST_CASE("a process ended by a signal gives 128 and the signal's number") {
  auto result = run(shell("kill -9 $$"));
  CHECK(result.end == End::signalled);
  CHECK(result.exit_code == 137);
}

TEST_CASE("a program that does not exist is told with exit code 127 and its name") {
  ProcessSpec spec;
  spec.argv = {"no_such_program_x", "a"};
  auto result = run(spec);
  CHECK(result.end == End::not_started);
  CHECK(result.exit_code == 127);
  CHECK(result.output == "cannot start \"no_such_program_x\": No such file or directory");
}

TEST_CASE("a file that is no program is told with exit code 126") {
  ProcessSpec spec;
  spec.argv = {"/etc/passwd"};
  auto result = run(spec);
  CHECK(result.end == End::not_started);
  CHECK(result.exit_code == 126);
}

TEST_CASE("output beyond the limit is read, dropped and counted") {
  auto spec = shell("head -c 300000 /dev/zero | tr '\\0' x; echo done >&2; exit 3");
  spec.output_limit = 1000;
  auto result = run(spec);
  CHECK(result.exit_code == 3);
  CHECK(result.output == std::string(1000, 'x'));
  CHECK(result.dropped == 299'005);
}

TEST_CASE("the timeout ends the whole group, with what was written before") {
  auto start = std::chrono::steady_clock::now();
  auto result = run(shell("(trap '' TERM; sh -c 'echo $$; exec sleep 60') & sleep 60", 300ms));
  CHECK(result.end == End::timed_out);
  CHECK(result.exit_code == -1);
  CHECK(elapsed_since(start) < 3s);
  auto child = std::stoi(result.output);
  REQUIRE(child > 1);
  CHECK(is_gone(child));
  CHECK_FALSE(has_children());
}

TEST_CASE("a process that ignores SIGTERM is killed half a second later") {
  auto start = std::chrono::steady_clock::now();
  auto result = run(shell("trap '' TERM; while :; do sleep 0.1; done", 200ms));
  CHECK(result.end == End::timed_out);
  CHECK(elapsed_since(start) >= 650ms);
  CHECK(elapsed_since(start) < 3s);
}

TEST_CASE("a process that ends well at SIGTERM may write a last line") {
  auto result = run(shell("trap 'echo bye; exit 0' TERM; echo hi; while :; do sleep 0.05; done", 200ms));
  CHECK(result.end == End::timed_out);
  CHECK(result.output.substr(result.output.size() - 4) == "bye\n");
}

TEST_CASE("a background child that keeps the output open is not waited for, nor killed") {
  auto start = std::chrono::steady_clock::now();
  auto result = run(shell("sleep 30 & echo $!"));
  CHECK(result.end == End::exited);
  CHECK(result.exit_code == 0);
  CHECK(elapsed_since(start) >= 190ms);
  CHECK(elapsed_since(start) < 2s);
  auto child = std::stoi(result.output);
  CHECK(::kill(child, 0) == 0);
  ::kill(child, SIGKILL);
}

TEST_CASE("a cancelled wait kills the group and leaves no zombie and no descriptor") {
  auto before = open_descriptors();
  {
    test::LoopAgent agent;
    bool went_on = false;
    auto work = [](Agent& to_use, bool& flag) -> asio::awaitable<void> {
      auto spec = shell("sleep 60 & sleep 60");
      co_await run_process(to_use, std::move(spec));
      flag = true;
    };
    agent.spawn(work(agent, went_on));
    agent.run_for(200ms);
    CHECK(has_children());
    agent.cancel_all();
    agent.run(3s);
    CHECK_FALSE(went_on);
  }
  CHECK_FALSE(has_children());
  CHECK(open_descriptors() == before);
}

TEST_CASE("a loop that is destroyed takes its processes with it") {
  auto before = open_descriptors();
  {
    test::LoopAgent agent;
    auto work = [](Agent& to_use) -> asio::awaitable<void> {
      auto spec = shell("sleep 60");
      co_await run_process(to_use, std::move(spec));
    };
    agent.spawn(work(agent));
    agent.run_for(100ms);
    CHECK(has_children());
  }
  CHECK_FALSE(has_children());
  CHECK(open_descriptors() == before);
}

TEST_CASE("two hundred processes leave no zombie and no descriptor behind") {
  auto before = open_descriptors();
  {
    test::LoopAgent agent;
    int good = 0;
    auto work = [](Agent& to_use, int number, int& count) -> asio::awaitable<void> {
      auto spec = shell("echo " + std::to_string(number));
      auto result = co_await run_process(to_use, std::move(spec));
      if (result.output == std::to_string(number) + "\n" && result.exit_code == 0) ++count;
    };
    for (int i = 0; i < 200; ++i) agent.spawn(work(agent, i, good));
    agent.run();
    CHECK(good == 200);
  }
  CHECK_FALSE(has_children());
  CHECK(open_descriptors() == before);
}
