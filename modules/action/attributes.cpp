#include "attributes.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace gorgone::action {
namespace {

constexpr std::size_t notes_max = 5;

void note(Notes& notes, std::string text) {
  if (notes.size() < notes_max) notes.push_back(std::move(text));
}

/// A name, or a number as it is.
template <class Id>
std::optional<Id> number_in(const std::string& text) {
  Id id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return id;
}

std::optional<uid_t> user_id(const std::string& name) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16384> buffer;
  if (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return entry.pw_uid;
  return number_in<uid_t>(name);
}

std::optional<gid_t> group_id(const std::string& name) {
  group entry{};
  group* found = nullptr;
  std::vector<char> buffer(256 * 1024);  // groups may have many members
  if (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return entry.gr_gid;
  return number_in<gid_t>(name);
}

}  // namespace

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
  if (!attributes.owner.empty()) {
    ids.uid = user_id(attributes.owner);
    if (!ids.uid) note(notes, fmt::format("owner '{}' is not known here", attributes.owner));
  }
  if (!attributes.group.empty()) {
    ids.gid = group_id(attributes.group);
    if (!ids.gid) note(notes, fmt::format("group '{}' is not known here", attributes.group));
  }
  return ids;
}

void apply(int fd, const std::string& path, const AttributeIds& ids, Notes& notes) {
  // Apart, for a daemon that may not give a file away may still set one of its own groups.
  constexpr auto keep_uid = static_cast<uid_t>(-1);
  constexpr auto keep_gid = static_cast<gid_t>(-1);
  struct stat now {};
  ::fstat(fd, &now);
  if (ids.uid && *ids.uid != now.st_uid && ::fchown(fd, *ids.uid, keep_gid) != 0) {
    note(notes, system_error("set the owner of", path, errno).message);
  }
  if (ids.gid && *ids.gid != now.st_gid && ::fchown(fd, keep_uid, *ids.gid) != 0) {
    note(notes, system_error("set the group of", path, errno).message);
  }
  // After the owner: a change of owner takes bits away.
  if (ids.mode && ::fchmod(fd, *ids.mode) != 0) note(notes, system_error("set the mode of", path, errno).message);
}

Error system_error(const char* what, const std::string& path, int error) {
  return Error{fmt::format("cannot {} '{}': {}", what, path, std::strerror(error))};
}

}  // namespace gorgone::action
