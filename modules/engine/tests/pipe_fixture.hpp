#pragma once
// A named pipe in a folder of the test's own, and its reader.

#include "command_pipe.hpp"

#include <support/loop_agent.hpp>

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>

namespace gorgone::engine::test {

class Reader {
 public:
  explicit Reader(const std::string& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_NONBLOCK)) { REQUIRE(descriptor_ >= 0); }
  ~Reader() { ::close(descriptor_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// What is there now.
  std::string read(std::size_t most = std::size_t{1} << 20) {
    std::string text(most, '\0');
    std::size_t size = 0;
    while (size < most) {
      const auto count = ::read(descriptor_, text.data() + size, most - size);
      if (count <= 0) break;
      size += static_cast<std::size_t>(count);
    }
    text.resize(size);
    return text;
  }

 private:
  int descriptor_;
};

struct PipeFixture {
  using Lines = std::vector<std::string>;
  struct Run {
    std::optional<Result<void>> outcome;
    std::size_t written = 0;
  };

  std::filesystem::path folder;
  std::string path;
  CommandPipe::Limits limits;
  gorgone::test::LoopAgent agent;
  std::unique_ptr<CommandPipe> pipe;

  PipeFixture() {
    std::signal(SIGPIPE, SIG_IGN);  // as the daemon does
    std::string name = std::filesystem::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
    path = folder / "engine.cmd";
    limits.reader = std::chrono::milliseconds(300);
    limits.room = std::chrono::milliseconds(700);
    make_pipe();
  }
  ~PipeFixture() {
    agent.cancel_all();
    agent.run_for(std::chrono::milliseconds(20));
    std::filesystem::remove_all(folder);
  }
  void make_pipe() const { REQUIRE(::mkfifo(path.c_str(), 0600) == 0); }

  /// Begins to write; `run` is what has come of it.
  std::shared_ptr<Run> start(Lines lines) {
    if (!pipe) pipe = std::make_unique<CommandPipe>(agent.loop(), path, limits);
    auto run = std::make_shared<Run>();
    agent.spawn(write(std::move(lines), run));
    return run;
  }
  std::shared_ptr<Run> finish(Lines lines) {
    auto run = start(std::move(lines));
    agent.run();
    return run;
  }
  asio::awaitable<void> write(Lines lines, std::shared_ptr<Run> run) {
    const auto since = CommandPipe::Clock::now();
    const auto turn = co_await pipe->enter();
    auto outcome = co_await pipe->open(since);
    const CommandPipe::Told about_to = [](std::size_t) {};
    const CommandPipe::Told written = [run](std::size_t end) { run->written = end; };
    if (outcome) outcome = co_await pipe->write(lines, 0, about_to, written);
    run->outcome = outcome;
  }
};

inline std::string message_of(const PipeFixture::Run& run) {
  REQUIRE(run.outcome.has_value());
  REQUIRE(!run.outcome->has_value());
  return run.outcome->error().message;
}

}  // namespace gorgone::engine::test
