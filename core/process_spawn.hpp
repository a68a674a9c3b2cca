#pragma once
// Starting a process, without the loop: the first half of include/gorgone/process.hpp. On any thread, blocks for
// as long as the system takes to start a program (well under a millisecond).

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace gorgone {

/// A descriptor and the duty to close it.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

/// A process that was started, or why it was not: then `error` is an errno.
struct Spawned {
  pid_t pid = -1;     ///< also the id of its group
  Descriptor pidfd;   ///< readable when the process has ended
  Descriptor output;  ///< the reading end of its stdout and stderr
  int error = 0;
};

Spawned spawn_process(const std::vector<std::string>& argv);

/// Ends a group and takes the process' status, for where nobody waits for it any more. Waits 100 ms at most.
void end_group(pid_t group, int pidfd);

}  // namespace gorgone
