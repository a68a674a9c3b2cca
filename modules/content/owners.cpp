#include "owners.hpp"

#include <grp.h>
#include <pwd.h>

#include <string>

namespace gorgone::content {
namespace {

constexpr std::size_t buffer_size = std::size_t{256} << 10;  // groups may have many members

std::string user_name(uid_t uid, std::vector<char>& buffer) {
  passwd entry{};
  passwd* found = nullptr;
  return ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found ? entry.pw_name : "";
}

std::string group_name(gid_t gid, std::vector<char>& buffer) {
  group entry{};
  group* found = nullptr;
  return ::getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found) == 0 && found ? entry.gr_name : "";
}

bool has_user(const std::string& name, std::vector<char>& buffer) {
  passwd entry{};
  passwd* found = nullptr;
  return ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found;
}

bool has_group(const std::string& name, std::vector<char>& buffer) {
  group entry{};
  group* found = nullptr;
  return ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found;
}

}  // namespace

Account account_of(uid_t uid, gid_t gid) {
  std::vector<char> buffer(buffer_size);
  return {uid, gid, user_name(uid, buffer), group_name(gid, buffer)};
}

Owners WantedOwners::of(const Entry& entry) const {
  Owners owners = all;
  if (entry.owner >= each.size()) return owners;
  if (!owners.uid) owners.uid = each[entry.owner].uid;
  if (!owners.gid) owners.gid = each[entry.owner].gid;
  return owners;
}

Owners owners_here(const Account& account, Notes& notes) {
  std::vector<char> buffer(buffer_size);
  auto user = account.user, group = account.group;
  // A number that somebody else has here is not the one that is meant.
  if (user.empty() || (!has_user(user, buffer) && user_name(account.uid, buffer).empty())) user = std::to_string(account.uid);
  if (group.empty() || (!has_group(group, buffer) && group_name(account.gid, buffer).empty())) group = std::to_string(account.gid);
  return find_owners(user, group, notes);
}

}  // namespace gorgone::content
