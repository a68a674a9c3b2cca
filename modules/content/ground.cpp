#include "ground.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <filesystem>

#include "bytes.hpp"
#include "folder.hpp"

namespace gorgone::content {
namespace {

// Less than a sender waits for an answer.
constexpr std::chrono::milliseconds soon = std::chrono::seconds(2), between_tries = std::chrono::milliseconds(10);
constexpr std::size_t ended_max = 1000, places_max = 10000;
constexpr std::size_t places_bytes_max = std::size_t{64} << 20;

bool is_in(const std::string& path, const std::string& folder) {
  return path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
}

}  // namespace

bool Destinations::lock(const std::string& path, const std::string& owner, std::function<bool()> yields) {
  for (auto held = held_.begin(); held != held_.end();) {
    const bool meets = is_in(path, held->first) || is_in(held->first, path);
    if (meets && held->second.owner != owner && !held->second.yields()) return false;
    held = meets ? held_.erase(held) : std::next(held);
  }
  held_.insert_or_assign(path, Held{owner, std::move(yields)});
  return true;
}

asio::awaitable<bool> lock_soon(asio::io_context& loop, Destinations& destinations, std::string path, std::string owner,
                                std::function<bool()> yields) {
  const auto until = Clock::now() + soon;
  Event pause(loop);
  while (!destinations.lock(path, owner, yields)) {
    if (Clock::now() >= until) co_return false;
    co_await pause.wait_until(Clock::now() + between_tries);
  }
  co_return true;
}

void Destinations::unlock(const std::string& owner) {
  std::erase_if(held_, [&](const auto& held) { return held.second.owner == owner; });
}

std::vector<std::string> Destinations::paths() const {
  std::vector<std::string> paths;
  for (const auto& [path, held] : held_) paths.push_back(path);
  return paths;
}

void EndedPushes::add(const std::string& token) {
  tokens_.push_back(token);
  if (tokens_.size() > ended_max) tokens_.pop_front();
}

bool EndedPushes::has(const std::string& token) const { return std::find(tokens_.begin(), tokens_.end(), token) != tokens_.end(); }

std::vector<std::string> Places::list() const {
  const auto bytes = read_file(file_, places_bytes_max);
  if (!bytes) return {};
  Reader reader(*bytes);
  std::vector<std::string> paths;
  while (!reader.at_end() && !reader.failed()) {
    std::string path(reader.text());
    if (!reader.failed() && !path.empty()) paths.push_back(std::move(path));
  }
  return paths;
}

void Places::add(const std::string& path) const {
  change([&path](std::vector<std::string>& paths) {
    if (std::find(paths.begin(), paths.end(), path) != paths.end()) return false;
    paths.push_back(path);
    if (paths.size() > places_max) paths.erase(paths.begin());
    return true;
  });
}

void Places::remove(const std::vector<std::string>& gone) const {
  change([&gone](std::vector<std::string>& paths) {
    return std::erase_if(paths, [&gone](const auto& path) { return std::find(gone.begin(), gone.end(), path) != gone.end(); }) > 0;
  });
}

void Places::change(const std::function<bool(std::vector<std::string>&)>& change_them) const {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(file_).parent_path(), ignored);
  // Of the file, not of this process: while a module is replaced there may be two of it. Without the lock it is better than nothing.
  const FileDescriptor lock(::open((file_ + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock) ::flock(lock.get(), LOCK_EX);
  auto paths = list();
  if (!change_them(paths)) return;
  std::string bytes;
  for (const auto& path : paths) put_text(bytes, path);
  (void)write_file(file_, bytes);
}

}  // namespace gorgone::content
