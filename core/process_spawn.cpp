#include "core/process_spawn.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace gorgone {
namespace {

/// What the child does between fork and exec.
class SpawnPlan {
 public:
  explicit SpawnPlan(int output) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, output, 1);
    posix_spawn_file_actions_adddup2(&actions_, output, 2);
    // Not every library opens its sockets close-on-exec.
    posix_spawn_file_actions_addclosefrom_np(&actions_, 3);

    sigset_t set;
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attributes_, &set);
    sigfillset(&set);
    posix_spawnattr_setsigdefault(&attributes_, &set);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  int run(pid_t& pid, const std::vector<std::string>& argv) const {
    std::vector<char*> words;
    for (const auto& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    return posix_spawnp(&pid, words[0], &actions_, &attributes_, words.data(), environ);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// sys/pidfd.h of glibc 2.36 cannot be used from C++.
int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

bool is_reaped(int pidfd, pid_t pid) {
  siginfo_t info{};
  auto done = pidfd >= 0 ? waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG)
                         : waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG);
  return done != 0 || info.si_pid != 0;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Spawned spawn_process(const std::vector<std::string>& argv) {
  Spawned spawned;
  if (argv.empty() || argv[0].empty()) {
    spawned.error = ENOENT;
    return spawned;
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    spawned.error = errno;
    return spawned;
  }
  spawned.output = Descriptor(ends[0]);
  Descriptor write_end(ends[1]);

  spawned.error = SpawnPlan(write_end.get()).run(spawned.pid, argv);
  if (spawned.error != 0) {
    spawned.pid = -1;
    return spawned;
  }
  spawned.pidfd = Descriptor(open_pidfd(spawned.pid));
  if (spawned.pidfd.get() < 0) {
    spawned.error = errno;
    end_group(spawned.pid, -1);
    spawned.pid = -1;
  }
  return spawned;
}

void end_group(pid_t group, int pidfd) {
  ::kill(-group, SIGKILL);
  for (int i = 0; i < 20 && !is_reaped(pidfd, group); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

}  // namespace gorgone
