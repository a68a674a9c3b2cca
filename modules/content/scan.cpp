#include "scan.hpp"

#include <gorgone/log.hpp>

namespace gorgone::content {
namespace {

constexpr auto slice = std::chrono::milliseconds(50);

}  // namespace

asio::awaitable<Result<Scan>> scan(Agent& agent, const Options& options, std::string path, bool is_source, std::function<bool()> goes_on) {
  struct Look {
    std::string root;
    TreeIndex known;
    std::optional<Scanner> scanner;
  };
  auto look = std::make_shared<Look>();
  const IndexStore store(options.state_dir, options.index_trees);
  auto list = [look, store, path, is_source]() -> Result<void> {
    const auto at = locate(path);
    if (!at) return at.error();
    look->root = at->path;
    look->known = store.load(at->path);
    look->scanner.emplace(at->path, look->known, is_source);
    return look->scanner->list();
  };
  const auto listed = co_await agent.blocking(list);
  if (!listed) co_return listed.error();
  auto hash = [look] { return look->scanner->hash_for(slice); };
  Result<bool> done = false;
  do {
    done = co_await agent.blocking(hash);
    if (!goes_on()) co_return Error{"it is not wanted any more", "ended"};
  } while (done && !*done);
  if (!done) co_return done.error();
  auto keep = [look, store]() -> Result<void> {
    const auto index = look->scanner->index();
    return index == look->known ? Result<void>{} : store.save(look->root, index);
  };
  const auto kept = co_await agent.blocking(keep);
  if (!kept) agent.log().warning("unchanged files of '{}' will be read again: {}", printable(look->root), kept.error().message);
  co_return Scan{std::move(look->root), look->scanner->take()};
}

}  // namespace gorgone::content
