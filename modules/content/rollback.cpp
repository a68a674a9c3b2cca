#include <gorgone/log.hpp>

#include <fcntl.h>
#include <fmt/format.h>

#include "landing.hpp"

namespace gorgone::content {
namespace {

Result<Present> look_at(const std::string& path) {
  Scanner scanner(path, {}, false);
  if (const auto listed = scanner.list(); !listed) return listed.error();
  for (;;) {
    const auto done = scanner.hash_for(std::chrono::seconds(1));
    if (!done) return done.error();
    if (*done) return Present(scanner.take());
  }
}

// In one step: what others have put there since belongs to the tree that comes back, too. Notes what of it could not be kept as it is.
Result<Notes> take_over_extras(const Staging& staging, const Manifest& now) {
  Notes notes;
  Scanner present(staging.destination().path, {}, false);
  if (const auto listed = present.list(); !listed) return listed.error();
  auto from_root = open_folder(staging.destination().path), to_root = open_folder(staging.path("previous"));
  if (!from_root || !to_root) return notes;  // a single file
  Walker from(std::move(*from_root), staging.destination().path), to(std::move(*to_root), staging.shown("previous"));
  std::vector<const Found*> folders;
  for (const auto& found : present.found()) {
    if (found.path.empty() || now.find(found.path)) continue;
    const auto source = from.place(found.path), target = to.place(found.path);
    struct stat status {};
    if (!source || !target || ::fstatat(target->folder, target->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) continue;
    const bool made = found.kind == Found::Kind::folder
                          ? ::mkdirat(target->folder, target->name.c_str(), 0700) == 0
                          : ::linkat(source->folder, source->name.c_str(), target->folder, target->name.c_str(), 0) == 0;
    if (!made) return system_error("keep", from.shown(found.path), errno);
    if (found.kind == Found::Kind::folder) folders.push_back(&found);
  }
  // From the deepest up: a folder that may not be written gets its mode when all is in it.
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder)
    if (const auto place = to.place((*folder)->path)) own_as_found(place->folder, place->name, **folder, notes);
  return notes;
}

struct RolledBack {
  std::string how;
  Notes notes;
};

Result<RolledBack> roll_back_at(const Options& options, const std::string& destination) {
  const auto at = locate(destination);
  if (!at) return at.error();
  if (!is_allowed(with_links_resolved(options.allowed), at->path))
    return Error{
        fmt::format("destination '{}' does not lie in a folder that this node allows (content.allowed_destinations)", printable(at->path))};
  const Error nothing{fmt::format("no earlier content of '{}' is kept", printable(at->path))};
  const auto staging = Staging::open(*at, false);
  if (!staging) return staging.error().code == "missing" ? nothing : staging.error();
  const auto lock = staging->lock();
  if (!lock) return lock.error();
  if (const auto resumed = resume(*staging); !resumed) return resumed.error();
  if (!at->exists || !staging->has("previous")) return nothing;

  Switch what;
  what.is_rollback = true;
  what.in_one_step = staging->not_in_one_step().empty();
  what.inode = staging->inode_of("previous");
  what.now = staging->tree_of(what.inode);
  what.before = staging->tree_of(at->status.st_ino);
  const auto present_manifest = what.before ? staging->accepted_manifest(*what.before) : std::nullopt;
  // Without it nobody knows what was put there by others.
  what.keeps_extra = present_manifest.has_value();
  if (what.in_one_step) {
    Notes notes;
    if (present_manifest) {
      auto taken = take_over_extras(*staging, *present_manifest);
      if (!taken) return taken.error();
      notes = std::move(*taken);
    }
    const auto done = perform(*staging, what);
    if (done && !what.unfinished.empty()) notes.add(what.unfinished);
    if (done) return RolledBack{"tree", std::move(notes)};
    if (done.error().code != "not_in_one_step" || !S_ISDIR(at->status.st_mode)) return done.error();
    what.in_one_step = false;
  }
  const auto earlier = look_at(staging->path("previous"));
  const auto present = look_at(at->path);
  if (!earlier || !present) return earlier ? present.error() : earlier.error();
  what.steps =
      steps_between(*earlier, *present, [&](const Found& found) { return present_manifest && present_manifest->find(found.path); });
  if (const auto done = perform(*staging, what); !done) return done.error();
  RolledBack by_files{"files", {}};
  if (!what.unfinished.empty()) by_files.notes.add(what.unfinished);
  return by_files;
}

}  // namespace

asio::awaitable<void> roll_back(Agent& agent, Ground& ground, std::string token, std::string destination) {
  auto find = [destination] { return locate(destination); };
  const auto at = co_await agent.blocking(find);
  Result<RolledBack> how = at ? RolledBack{} : Result<RolledBack>(at.error());
  const std::function<bool()> stays = [] { return false; };
  if (at) {
    const bool is_mine = co_await lock_soon(agent.loop(), ground.destinations, at->path, token, stays);
    if (!is_mine) how = Error{fmt::format("content is being put at '{}' now, try again", printable(at->path)), "busy"};
  }
  if (how) {
    auto work = [options = ground.options, destination] { return roll_back_at(options, destination); };
    how = co_await agent.blocking(work);
    ground.destinations.unlock(token);
  }
  if (!how) {
    agent.log().error("'{}' is not rolled back: {} token={}", printable(destination), how.error().message, printable(token));
    agent.journal().write(outcome_row(token, code::failed, {{"action", "content"}, {"message", "content - " + how.error().message}}));
    co_return;
  }
  agent.log().info("'{}' has its earlier content again, switch={} token={}", printable(destination), how->how, printable(token));
  const auto text = fmt::format("the earlier content of '{}' is back", destination);
  json::object data{{"action", "content"}, {"message", text}, {"switch", how->how}};
  if (!how->notes.empty()) data["warnings"] = json::value_from(how->notes.texts());
  agent.journal().write(outcome_row(token, code::finished, std::move(data)));
}

}  // namespace gorgone::content
