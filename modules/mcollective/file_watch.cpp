#include "file_watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "authority.hpp"

namespace gorgone::mcollective {
namespace {

std::int64_t ns_of(const timespec& time) { return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec; }

}  // namespace

std::optional<FileWatch::Stamp> FileWatch::stamp_of(const struct stat& found) {
  return Stamp{found.st_ino, found.st_size, ns_of(found.st_mtim), ns_of(found.st_ctim)};
}

void FileWatch::see_directory(const std::string& directory, Seen& seen) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const auto name = at->path().filename().string();
    struct stat found {};
    if (name.starts_with('.') || name.ends_with('~') || ::stat(at->path().c_str(), &found) != 0 || !S_ISREG(found.st_mode)) continue;
    seen[at->path().string()] = stamp_of(found);
  }
}

FileWatch::Seen FileWatch::see() const {
  Seen seen;
  for (const auto& path : paths_) {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0)
      seen[path] = std::nullopt;
    else if (S_ISDIR(found.st_mode))
      see_directory(path, seen);
    else
      seen[path] = stamp_of(found);
  }
  return seen;
}

bool FileWatch::is_named(const std::string& path) const { return std::find(paths_.begin(), paths_.end(), path) != paths_.end(); }

std::vector<FileChange> FileWatch::look() {
  std::vector<FileChange> changes;
  auto seen = see();
  for (const auto& [path, stamp] : seen) entries_.try_emplace(path);
  for (auto at = entries_.begin(); at != entries_.end();) {
    auto& [path, entry] = *at;
    const auto found = seen.find(path);
    const auto now = found == seen.end() ? std::optional<Stamp>() : found->second;
    const bool is_believed = believes_at_once_ || now == entry.seen;
    const bool is_new = !entry.is_taken || now != entry.taken;
    entry.seen = now;
    if (!is_new || !is_believed) {
      ++at;
      continue;
    }
    entry.taken = now;
    entry.is_taken = true;
    if (now) {
      changes.push_back({path, read_whole_file(path, bytes_max_)});
    } else if (found != seen.end()) {
      changes.push_back({path, Error{fmt::format("{}: is not there, expected a file or a directory", path)}});
    } else {
      changes.push_back({path, std::nullopt});
      at = entries_.erase(at);
      continue;
    }
    ++at;
  }
  believes_at_once_ = false;
  return changes;
}

void FileWatch::forget() {
  for (auto& [path, entry] : entries_) entry.is_taken = false;
  believes_at_once_ = true;
}

}  // namespace gorgone::mcollective
