#include "core/journal/lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

namespace gorgone {

Result<void> lock_database(const std::string& path) {
  const std::string file = path + ".lock";
  // Open until the process ends, whichever way it does.
  const int descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (descriptor < 0) return {};
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    char pid[32] = {};
    const auto length = read(descriptor, pid, sizeof pid - 1);
    close(descriptor);
    return Error{
        fmt::format("gorgonecore.gorgone_db_name: {} is in use by another gorgoned, pid {}; each daemon needs a database of its own", path,
                    length > 0 ? std::string(pid, static_cast<std::size_t>(length)) : "unknown")};
  }
  const auto pid = std::to_string(getpid());
  if (ftruncate(descriptor, 0) != 0 || write(descriptor, pid.data(), pid.size()) < 0) return {};
  return {};
}

}  // namespace gorgone
