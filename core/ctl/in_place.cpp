#include "core/ctl/in_place.hpp"

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace gorgone::ctl {
namespace {

struct Wish {
  std::string staged, destination;
};

Error failure(const std::string& what, int error) { return Error{fmt::format("cannot {}: {}", what, std::strerror(error))}; }

bool write_to(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  const bool is_written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  return is_written;
}

// Mounts of this process's own. Who may not have them by himself may in a user namespace, in which he stays who he is.
Result<void> part_mounts() {
  if (::unshare(CLONE_NEWNS) == 0) return {};
  const auto user = ::geteuid();
  const auto group = ::getegid();
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
    return failure("have mounts of its own, which takes root or a system that allows user namespaces", errno);
  (void)write_to("/proc/self/setgroups", "deny");
  if (!write_to("/proc/self/uid_map", fmt::format("{0} {0} 1", user)) || !write_to("/proc/self/gid_map", fmt::format("{0} {0} 1", group)))
    return failure("stay the same user in a user namespace", errno);
  return {};
}

Result<void> put_over(const Wish& wish) {
  struct stat staged {
  }, there{};
  if (::stat(wish.staged.c_str(), &staged) != 0) return failure("find '" + wish.staged + "'", errno);
  if (::stat(wish.destination.c_str(), &there) != 0)
    return failure(fmt::format("find '{}', which must be there for something to lie over it", wish.destination), errno);
  if (S_ISDIR(staged.st_mode) != S_ISDIR(there.st_mode))
    return Error{fmt::format("'{}' and '{}': expected two folders or two files", wish.staged, wish.destination)};
  if (auto parted = part_mounts(); !parted) return parted;
  // Or it would lie there for everybody.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failure("keep mounts to itself", errno);
  if (::mount(wish.staged.c_str(), wish.destination.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
    return failure(fmt::format("put '{}' over '{}'", wish.staged, wish.destination), errno);
  return {};
}

Result<void> run(const Wish& wish, const std::vector<std::string>& words) {
  if (words.empty()) return Error{"in-place: the command is missing, expected STAGED DESTINATION COMMAND…"};
  if (auto put = put_over(wish); !put) return put;
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv.front(), argv.data());
  return failure("run '" + words.front() + "'", errno);
}

}  // namespace

void add_in_place(CLI::App& program, Result<void>& outcome) {
  const auto wish = std::make_shared<Wish>();
  auto* const command = program.add_subcommand(
      "in-place", "Run a command for which new content lies at its destination already: for a check before content is put in place");
  command->add_option("staged", wish->staged, "Where the new content is: {staged} in a check_command")->required();
  command->add_option("destination", wish->destination, "What it is to replace: {destination} in a check_command")->required();
  command->footer("What follows is the command with its options. Its status is that of gorgonectl.");
  command->prefix_command();
  command->callback([wish, command, &outcome] { outcome = run(*wish, command->remaining()); });
}

}  // namespace gorgone::ctl
