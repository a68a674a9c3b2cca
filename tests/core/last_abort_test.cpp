#include "core/last_abort.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>
#include <array>
#include <cstdlib>
#include <string>

namespace {

struct Ended {
  int status = 0;
  std::string output;
};

// Standard error and the status of a child that does so.
Ended child(void (*act)()) {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    dup2(ends[1], STDERR_FILENO);
    alarm(20);
    gorgone::end_well_where_libzmq_aborts();
    act();
    _exit(77);
  }
  close(ends[1]);
  Ended ended;
  std::array<char, 512> part{};
  for (ssize_t size = 0; (size = read(ends[0], part.data(), part.size())) > 0;)
    ended.output.append(part.data(), static_cast<std::size_t>(size));
  close(ends[0]);
  waitpid(pid, &ended.status, 0);
  return ended;
}

}  // namespace

TEST_CASE("an abort of our own at the end of a stop ends with status 1 and is told") {
  const auto ended = child([] { std::abort(); });
  CHECK((WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 1));
  CHECK(ended.output.find("ERROR - [core] aborted in the last steps of the stop") != std::string::npos);
}

#if !defined(__SANITIZE_THREAD__)  // which calls abort() in libzmq's stead
TEST_CASE("an abort of libzmq at the end of a stop ends with status 0 and is told") {
  const auto ended = child([] {
    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_DEALER);
    for (int descriptor = 3; descriptor < 64; ++descriptor) close(descriptor);
    zmq_bind(socket, "tcp://127.0.0.1:*");
    zmq_close(socket);
    zmq_ctx_term(context);
  });
  INFO(ended.output);
  CHECK((WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 0));
  CHECK(ended.output.find("WARNING - [core] stopped; libzmq aborted") != std::string::npos);
}
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a heap that the C library finds broken at the end of a stop ends with status 1") {
  const auto ended = child([] {
    void* volatile memory = std::malloc(64);
    void* volatile again = memory;
    std::free(memory);
    std::free(again);
  });
  INFO(ended.output);
  CHECK((WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 1));
}
#endif
