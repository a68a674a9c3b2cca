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

bool is_forced_by_the_journal(const ConfigValue& gorgone) {
  const auto* core = gorgone.find("gorgonecore");
  const auto* value = core ? core->find("gorgone_db_synchronous") : nullptr;
  return value && value->scalar == "full";
}

}  // namespace

JournalDisk::JournalDisk(const ConfigValue& gorgone)
    : log_(journal_path(gorgone) + "-wal"), is_needed_(!is_forced_by_the_journal(gorgone)) {}

Result<void> JournalDisk::sync() const {
  const FileDescriptor file(::open(log_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno == ENOENT) return {};  // all of it is in the database
  if (!file || ::fdatasync(file.get()) != 0)
    return Error{
        fmt::format("cannot force {} to the disk, lines of the spool are not marked until it can be: {}", log_, std::strerror(errno))};
  return {};
}

}  // namespace gorgone::legacycmd
