#include "core/journal/lock.hpp"

#include <gorgone/log.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gorgone {

Result<void> lock_database(const std::string& path) {
  const std::string file = path + ".lock";
  // Open until the process ends, whichever way it does.
  int descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  // One that another user has made can be locked by who may read it, too.
  const bool may_write = descriptor >= 0;
  if (!may_write && errno != ENOENT) descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT) return {};
  const bool is_locked = descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  if (descriptor >= 0 && !is_locked && errno == EWOULDBLOCK) {
    char pid[32] = {};
    const auto length = read(descriptor, pid, sizeof pid - 1);
    close(descriptor);
    return Error{
        fmt::format("gorgonecore.gorgone_db_name: {} is in use by another gorgoned, pid {}; each daemon needs a database of its own", path,
                    length > 0 ? std::string(pid, static_cast<std::size_t>(length)) : "unknown")};
  }
  if (!is_locked) {
    Log("journal").warning("{} cannot be locked: {}; a second gorgoned on the same database would not be noticed", file,
                           std::strerror(errno));
    return {};
  }
  const auto pid = std::to_string(getpid());
  if (may_write && (ftruncate(descriptor, 0) != 0 || write(descriptor, pid.data(), pid.size()) < 0)) return {};
  return {};
}

}  // namespace gorgone
