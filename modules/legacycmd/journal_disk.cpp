#include "journal_disk.hpp"

#include <gorgone/database_name.hpp>
#include <gorgone/files.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gorgone::legacycmd {
namespace {

std::string option(const ConfigValue& gorgone, const char* name, std::string otherwise) {
  const auto* core = gorgone.find("gorgonecore");
  const auto* value = core ? core->find(name) : nullptr;
  return value ? value->scalar : std::move(otherwise);
}

}  // namespace

JournalDisk::JournalDisk(const ConfigValue& gorgone)
    : log_(path_in_database_name(option(gorgone, "gorgone_db_name", "/var/lib/centreon-gorgone/history.sdb")) + "-wal"),
      is_needed_(option(gorgone, "gorgone_db_synchronous", "normal") != "full") {}

Result<void> JournalDisk::sync() const {
  const FileDescriptor file(::open(log_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) return {};  // all of it is in the database
  if (!file || ::fdatasync(file.get()) != 0)
    return Error{
        fmt::format("cannot force {} to the disk, lines of the spool are not marked until it can be: {}", log_, std::strerror(errno))};
  return {};
}

}  // namespace gorgone::legacycmd
