#include "keeper.hpp"

#include <gorgone/log.hpp>

#include <fcntl.h>

#include <boost/asio/steady_timer.hpp>

#include <ctime>

namespace gorgone::content {
namespace {

using namespace std::chrono_literals;

constexpr const char* lock_owner = "keeper";

struct Looked {
  bool is_there = true;
  bool was_finished = false;
  std::string wrong;
};

Result<Staging> staging_of(const std::string& path) {
  const auto at = locate(path);
  return at ? Staging::open(*at, false) : Result<Staging>(at.error());
}

bool is_there(const Result<Staging>& staging) { return staging || staging.error().code != "missing"; }

Looked look(const std::string& path) {
  Looked looked;
  const auto staging = staging_of(path);
  looked.is_there = is_there(staging);
  if (!staging) return looked;
  const auto resumed = resume(*staging);
  // Whoever is at it finishes it.
  if (!resumed && resumed.error().code != "busy") looked.wrong = resumed.error().message;
  looked.was_finished = resumed && *resumed;
  return looked;
}

// Files of a push get a new time as they come.
bool is_older(const Staging& staging, const char* name, std::chrono::seconds age) {
  struct stat status {};
  return ::fstatat(staging.folder(), name, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_mtime + age.count() < std::time(nullptr);
}

}  // namespace

void remove_stale(const std::string& path, std::chrono::seconds age) {
  const auto staging = staging_of(path);
  // What a switch still needs that could not be finished, such as the only copies of what was there before, is as old as that.
  const auto lock = staging ? staging->lock() : Result<Staging::Lock>(staging.error());
  if (!lock || staging->has("switching")) return;
  staging->empty_trash();
  for (const auto* name : {"blobs", "tree"})
    if (is_older(*staging, name, age)) staging->remove(name);
  if (!staging->has("blobs")) staging->forget_old_trees();
}

asio::awaitable<std::vector<std::string>> Keeper::places() {
  auto list = [places = Places(ground_.options.state_dir)] { return places.list(); };
  co_return co_await agent_.blocking(list);
}

asio::awaitable<void> Keeper::run() {
  co_await resume_all();
  co_await every_hour();
}

asio::awaitable<void> Keeper::resume_all() {
  std::vector<std::string> gone;
  const auto all = co_await places();
  for (const auto& path : all) {
    const auto stays = [] { return false; };
    if (!ground_.destinations.lock(path, lock_owner, stays)) continue;  // whoever has it has looked himself
    auto work = [path] { return look(path); };
    const auto looked = co_await agent_.blocking(work);
    ground_.destinations.unlock(lock_owner);
    if (!looked.wrong.empty())
      agent_.log().error("a switch of '{}' that was interrupted cannot be finished: {}", printable(path), looked.wrong);
    if (looked.was_finished) agent_.log().info("'{}': a switch that was interrupted is finished", printable(path));
    if (!looked.is_there) gone.push_back(path);
  }
  if (gone.empty()) co_return;
  auto remove = [places = Places(ground_.options.state_dir), gone]() mutable {
    std::erase_if(gone, [](const auto& path) { return is_there(staging_of(path)); });  // a push has come meanwhile
    places.remove(gone);
    return true;
  };
  co_await agent_.blocking(remove);
}

asio::awaitable<void> Keeper::every_hour() {
  asio::steady_timer timer(agent_.loop());
  for (;;) {
    const auto all = co_await places();
    for (const auto& path : all) {
      const auto stays = [] { return false; };
      if (!ground_.destinations.lock(path, lock_owner, stays)) continue;
      auto work = [path, age = ground_.options.staged] {
        remove_stale(path, age);
        return true;
      };
      co_await agent_.blocking(work);
      ground_.destinations.unlock(lock_owner);
    }
    timer.expires_after(1h);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

}  // namespace gorgone::content
