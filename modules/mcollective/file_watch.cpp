#include "file_watch.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "authority.hpp"

namespace gorgone::mcollective {
namespace {

const std::string unreadable = "unreadable";

std::int64_t ns_of(const timespec& time) { return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec; }

}  // namespace

bool FileChange::holds_on() const { return text && text->has_error() && text->error().code == unreadable; }

/// `found` is nothing where errno says why.
FileWatch::Sight FileWatch::sight_of(const std::string& path, const struct stat* found) {
  if (found) return {Stamp{found->st_ino, found->st_size, ns_of(found->st_mtim), ns_of(found->st_ctim)}, {}};
  if (errno == ENOENT || errno == ENOTDIR) return {};
  return {{}, fmt::format("{}: cannot be looked at: {}", path, std::strerror(errno))};
}

void FileWatch::see_directory(const std::string& directory, Seen& seen) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const auto path = at->path().string(), name = at->path().filename().string();
    if (name.starts_with('.') || name.ends_with('~')) continue;
    struct stat found {};
    const bool is_there = ::stat(path.c_str(), &found) == 0;
    if (is_there && !S_ISREG(found.st_mode)) continue;
    auto sight = sight_of(path, is_there ? &found : nullptr);
    if (sight.stamp || !sight.failure.empty()) seen[path] = std::move(sight);
  }
  if (error) seen[directory] = {{}, fmt::format("{}: cannot be read: {}", directory, error.message())};
}

FileWatch::Seen FileWatch::see() const {
  Seen seen;
  for (const auto& path : paths_) {
    struct stat found {};
    const bool is_there = ::stat(path.c_str(), &found) == 0;
    if (is_there && S_ISDIR(found.st_mode))
      see_directory(path, seen);
    else
      seen[path] = sight_of(path, is_there ? &found : nullptr);
  }
  return seen;
}

// In a directory that cannot be read, or looked at: it may be there still.
bool FileWatch::is_hidden(const std::string& path, const Seen& seen) {
  return std::ranges::any_of(seen, [&path](const auto& other) {
    const auto& [directory, sight] = other;
    return !sight.failure.empty() && path.starts_with(directory) && (directory.ends_with('/') || path[directory.size()] == '/');
  });
}

void FileWatch::fail(const std::string& path, Entry& entry, const std::string& failure, std::vector<FileChange>& changes) {
  entry.is_taken = false;
  if (entry.failure == failure) return;
  entry.failure = failure;
  changes.push_back({path, Error{failure + "; what was read before holds on", unreadable}});
}

std::vector<FileChange> FileWatch::look() {
  std::vector<FileChange> changes;
  is_in_doubt_ = false;
  auto seen = see();
  for (const auto& [path, stamp] : seen) entries_.try_emplace(path);
  for (auto at = entries_.begin(); at != entries_.end();) {
    auto& [path, entry] = *at;
    const auto found = seen.find(path);
    if (found != seen.end() && !found->second.failure.empty()) {
      fail(path, entry, found->second.failure, changes);
      ++at;
      continue;
    }
    if (found == seen.end() && is_hidden(path, seen)) {
      ++at;
      continue;
    }
    const auto now = found == seen.end() ? std::optional<Stamp>() : found->second.stamp;
    const bool is_believed = believes_at_once_ || now == entry.seen;
    const bool is_new = !entry.is_taken || now != entry.taken;
    entry.seen = now;
    if (!is_new || !is_believed) {
      is_in_doubt_ |= is_new;
      ++at;
      continue;
    }
    auto text = now ? read_whole_file(path, bytes_max_) : Result<std::string>(std::string());
    if (!text) {
      fail(path, entry, text.error().message, changes);
      ++at;
      continue;
    }
    entry.taken = now;
    entry.is_taken = true;
    entry.failure.clear();
    if (now) {
      changes.push_back({path, std::move(text)});
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
