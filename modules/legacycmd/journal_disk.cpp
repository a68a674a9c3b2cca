#include "journal_disk.hpp"

#include <gorgone/files.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gorgone::legacycmd {
namespace {

std::string option(const ConfigValue& gorgone, const char* name, std::string otherwise) {
  const auto* core = gorgone.find("gorgonecore");
  const auto* value = core ? core->find(name) : nullptr;
  return value ? value->scalar : std::move(otherwise);
}

// "dbname=/path[;…]" as deployed, or a plain path.
std::string path_in(const std::string& text) {
  constexpr std::string_view key = "dbname=";
  const auto at = text.find(key);
  const auto begin = at == std::string::npos ? 0 : at + key.size();
  auto path = text.substr(begin, at == std::string::npos ? text.npos : text.find(';', begin) - begin);
  path.erase(0, path.find_first_not_of(' '));
  path.erase(path.find_last_not_of(' ') + 1);
  return path;
}

}  // namespace

JournalDisk::JournalDisk(const ConfigValue& gorgone)
    : log_(path_in(option(gorgone, "gorgone_db_name", "/var/lib/centreon-gorgone/history.sdb")) + "-wal"),
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
