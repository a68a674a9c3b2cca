#include "core/ctl/one_step.hpp"

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <linux/fs.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

extern char** environ;

namespace gorgone::ctl {
namespace {

namespace fs = std::filesystem;

constexpr const char *standard_places = "/var/lib/centreon-gorgone/places", *standard_user = "centreon-gorgone";

struct Wish {
  std::string destination, place, user = standard_user;
};

Error failure(const std::string& what, int error) { return Error{fmt::format("cannot {}: {}", what, std::strerror(error))}; }

struct Account {
  uid_t user;
  gid_t group;
};

Result<Account> account_of(const std::string& name) {
  if (const auto* known = ::getpwnam(name.c_str())) return Account{known->pw_uid, known->pw_gid};
  if (!name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == std::string::npos) {
    const auto number = static_cast<uid_t>(std::stoul(name));
    return Account{number, number};
  }
  return Error{fmt::format("there is no user '{}', expected the one that gorgoned runs as (--user)", name)};
}

// With owners, modes, links and times: cp does it as any administrator would.
Result<void> copy_tree(const std::string& from, const std::string& to) {
  const char* const words[] = {"cp", "--archive", "--no-target-directory", "--", from.c_str(), to.c_str(), nullptr};
  pid_t child = 0;
  if (const int error = ::posix_spawnp(&child, "cp", nullptr, nullptr, const_cast<char* const*>(words), environ); error != 0)
    return failure("run cp", error);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return Error{fmt::format("cp could not copy '{}' to '{}'; nothing was changed", from, to)};
}

// The first path in a folder that was changed, removed or made since.
std::optional<std::string> changed_since(const fs::path& folder, const timespec& since) {
  const auto is_new = [&since](const fs::path& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return true;
    return status.st_ctim.tv_sec > since.tv_sec || (status.st_ctim.tv_sec == since.tv_sec && status.st_ctim.tv_nsec > since.tv_nsec);
  };
  std::error_code unread;
  for (fs::recursive_directory_iterator it(folder, unread), end; !unread && it != end; it.increment(unread))
    if (is_new(it->path())) return it->path().string();
  return {};
}

// Programs that read the destination must get to where it leads.
void warn_of_closed_folders(const fs::path& place) {
  for (auto folder = place; folder.has_relative_path(); folder = folder.parent_path()) {
    struct stat status {};
    if (::stat(folder.c_str(), &status) == 0 && (status.st_mode & S_IXOTH) == 0)
      fmt::print("warning: '{}' has mode {:04o}: a program that reads the destination must be allowed to pass it\n", folder.string(),
                 status.st_mode & 07777);
  }
}

Result<void> make_place(const fs::path& place, const Account& account) {
  struct stat present {};
  if (::stat(place.c_str(), &present) == 0 && present.st_uid != account.user)
    return Error{fmt::format("'{}' belongs to another user, expected nothing there or a folder of the daemon's user", place.string())};
  std::error_code failed;
  fs::create_directories(place, failed);
  if (failed) return failure("make folder '" + place.string() + "'", failed.value());
  if (::chown(place.c_str(), account.user, account.group) != 0) return failure("give '" + place.string() + "' to the user", errno);
  if (::chmod(place.c_str(), 0755) != 0) return failure("set the mode of '" + place.string() + "'", errno);
  return {};
}

Result<void> change_over(const fs::path& destination, const fs::path& place, const Account& account) {
  const auto current = place / "current", fresh = place / "current.new";
  const auto link = destination.parent_path() / ("." + destination.filename().string() + ".one-step");
  const auto kept = destination.string() + ".before-one-step";
  for (const auto& path : {current, fresh, link, fs::path(kept)})
    if (fs::exists(fs::symlink_status(path))) return Error{fmt::format("'{}' is in the way, expected nothing there", path.string())};
  if (auto made = make_place(place, account); !made) return made;
  timespec began{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &began);  // the clock that files get their times of
  std::error_code ignored;
  if (auto copied = copy_tree(destination.string(), fresh.string()); !copied) {
    fs::remove_all(fresh, ignored);
    return copied;
  }
  // What the daemon keeps of pushes file by file; at the new place it begins anew.
  fs::remove_all(fresh / ".gorgone", ignored);
  if (::rename(fresh.c_str(), current.c_str()) != 0) return failure("rename '" + fresh.string() + "'", errno);
  if (::symlink(current.c_str(), link.c_str()) != 0 ||
      ::renameat2(AT_FDCWD, link.c_str(), AT_FDCWD, destination.c_str(), RENAME_EXCHANGE) != 0) {
    const auto why = failure("put a link in the place of '" + destination.string() + "'", errno);
    fs::remove(link, ignored);
    fs::remove_all(current, ignored);
    return why;
  }
  if (::rename(link.c_str(), kept.c_str()) != 0) return failure("rename what was there, '" + link.string() + "'", errno);
  fmt::print(
      "'{}' is a link to '{}' now: pushes to it are put in place as one step.\nWhat was there is kept in '{}'; remove it when all is "
      "well.\n",
      destination.string(), current.string(), kept);
  if (const auto changed = changed_since(kept, began))
    fmt::print("warning: '{}' was changed while it was copied: compare it with the same file below '{}'\n", *changed, current.string());
  return {};
}

Result<void> set_up(const Wish& wish) {
  fs::path destination(wish.destination);
  while (!destination.has_filename() && destination.has_relative_path()) destination = destination.parent_path();
  if (!destination.is_absolute() || !destination.has_filename() || destination.lexically_normal() != destination)
    return Error{fmt::format("destination '{}': expected an absolute path without . and ..", wish.destination)};
  const auto account = account_of(wish.user);
  if (!account) return account.error();
  std::error_code unknown;
  const auto status = fs::symlink_status(destination, unknown);
  if (fs::is_symlink(status)) {
    fmt::print("'{}' is a link to '{}' already, nothing was done\n", destination.string(), fs::read_symlink(destination, unknown).string());
    return {};
  }
  if (!fs::is_directory(status)) return Error{fmt::format("destination '{}': expected a folder", destination.string())};
  auto name = destination.relative_path().string();
  std::replace(name.begin(), name.end(), '/', '-');
  const auto place = fs::absolute(wish.place.empty() ? fs::path(standard_places) / name : fs::path(wish.place)).lexically_normal();
  if (auto done = change_over(destination, place, *account); !done) return done;
  warn_of_closed_folders(place);
  return {};
}

}  // namespace

void add_one_step(CLI::App& program, Result<void>& outcome) {
  const auto wish = std::make_shared<Wish>();
  auto* const command = program.add_subcommand(
      "one-step", "Let a folder of this machine be replaced by pushes as one step: it becomes a link to one in the daemon's own place");
  command->add_option("destination", wish->destination, "The folder that is pushed to, such as /etc/centreon-engine")->required();
  command->add_option("--user", wish->user, "Who gorgoned runs as")->capture_default_str();
  command->add_option("--place", wish->place, std::string("The daemon's own folder for it; otherwise one in ") + standard_places);
  command->callback([wish, &outcome] { outcome = set_up(*wish); });
}

}  // namespace gorgone::ctl
