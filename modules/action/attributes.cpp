#include "attributes.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace gorgone::action {
Result<AttributeIds> look_up(const Attributes& attributes, Notes& notes) {
  AttributeIds ids;
  if (!attributes.mode.empty()) {
    const auto& text = attributes.mode;
    unsigned mode = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (error != std::errc{} || end != text.data() + text.size() || mode > 07777) {
      return Error{fmt::format("mode \"{}\" is not known, expected an octal number such as 0644", text)};
    }
    ids.mode = static_cast<mode_t>(mode);
  }
  const auto owners = find_owners(attributes.owner, attributes.group, notes);
  ids.uid = owners.uid;
  ids.gid = owners.gid;
  return ids;
}

void apply(int fd, const std::string& path, const AttributeIds& ids, Notes& notes) {
  // Apart, for a daemon that may not give a file away may still set one of its own groups.
  constexpr auto keep_uid = static_cast<uid_t>(-1);
  constexpr auto keep_gid = static_cast<gid_t>(-1);
  struct stat now {};
  ::fstat(fd, &now);
  if (ids.uid && *ids.uid != now.st_uid && ::fchown(fd, *ids.uid, keep_gid) != 0) {
    notes.refused("set the owner of", path, errno);
  }
  if (ids.gid && *ids.gid != now.st_gid && ::fchown(fd, keep_uid, *ids.gid) != 0) {
    notes.refused("set the group of", path, errno);
  }
  // After the owner: a change of owner takes bits away.
  if (ids.mode && ::fchmod(fd, *ids.mode) != 0) notes.refused("set the mode of", path, errno);
}

Error system_error(const char* what, const std::string& path, int error) {
  return Error{fmt::format("cannot {} '{}': {}", what, path, std::strerror(error))};
}

}  // namespace gorgone::action
