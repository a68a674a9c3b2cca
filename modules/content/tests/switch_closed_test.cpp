// Folders that the daemon may not write, or not remove.
#include "switch_fixture.hpp"

#include <fstream>

using namespace gorgone;
using namespace gorgone::content;
using namespace gorgone::content::test;

namespace {

// What only root can remove.
void put_foreign_folder(const std::string& path) {
  std::filesystem::create_directories(path + "/theirs");
  std::ofstream(path + "/theirs/file") << "theirs";
  REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
}

}  // namespace

TEST_CASE("a folder that its owner may not write is put in place and removed again by a daemon that is not root") {
  const Unprivileged daemon;
  Prepared prepared;
  const auto is_in_one_step = GENERATE(true, false);
  CAPTURE(is_in_one_step);
  const auto close = [&](int mode) {
    std::filesystem::permissions(prepared.scratch.at("source/closed"), std::filesystem::perms(mode));
    prepared.describe();
  };
  const auto is_closed = [&](const std::string& name) {
    return std::filesystem::status(prepared.scratch.at(name)).permissions() == std::filesystem::perms(0555);
  };
  prepared.scratch.write("source/closed/file", "closed");
  prepared.scratch.write("source/closed/gone", "gone");
  close(0555);
  const auto staging = prepared.staging();
  auto present = present_at(prepared.scratch.at("dest"));
  // The second time the first try's tree is there.
  prepared.build(staging, present, false);
  prepared.build(staging, present, false);
  auto what = is_in_one_step ? one_step(prepared) : by_files(prepared, staging, present);
  REQUIRE(perform(staging, what).has_value());
  CHECK(prepared.is_new());
  CHECK(prepared.scratch.read("dest/closed/file") == "closed");
  CHECK(is_closed("dest/closed"));

  // What is in it is changed, comes and goes.
  close(0755);
  prepared.scratch.write("source/closed/file", "changed");
  prepared.scratch.write("source/closed/new", "new");
  std::filesystem::remove(prepared.scratch.at("source/closed/gone"));
  close(0555);
  auto second = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, second, false);
  what = is_in_one_step ? one_step(prepared) : by_files(prepared, staging, second);
  if (!is_in_one_step) {
    // One that fails gives the folders their modes, too.
    auto failing = what;
    failing.steps.push_back({Step::Kind::put, "nowhere/at/all", 1});
    CHECK_FALSE(perform(staging, failing).has_value());
    CHECK(prepared.scratch.read("dest/closed/file") == "closed");
    CHECK(prepared.scratch.read("dest/closed/gone") == "gone");
    CHECK_FALSE(prepared.scratch.has("dest/closed/new"));
    CHECK((is_closed("dest/closed") && is_closed(".dest.gorgone/tree/closed")));
  }
  const auto done = perform(staging, what);
  INFO((done ? "" : done.error().message));
  REQUIRE(done.has_value());
  CHECK(prepared.scratch.read("dest/closed/file") == "changed");
  CHECK(prepared.scratch.read("dest/closed/new") == "new");
  CHECK_FALSE(prepared.scratch.has("dest/closed/gone"));
  CHECK(prepared.scratch.read(".dest.gorgone/previous/closed/file") == "closed");
  CHECK((is_closed("dest/closed") && is_closed(".dest.gorgone/previous/closed")));
  staging.empty_trash();
  std::filesystem::rename(prepared.scratch.at(".dest.gorgone/previous"), prepared.scratch.at(".dest.gorgone/trash"));
  staging.empty_trash();
  CHECK_FALSE(staging.has("trash"));
}

TEST_CASE("a folder that may not be written itself takes the place of another one in one step") {
  const Unprivileged daemon;
  Prepared prepared;
  const auto staging = prepared.staging();
  prepared.build(staging, present_at(prepared.scratch.at("dest")), false);
  for (const auto* name : {"dest", ".dest.gorgone/tree"})
    std::filesystem::permissions(prepared.scratch.at(name), std::filesystem::perms(0555));
  auto what = one_step(prepared);
  REQUIRE(perform(staging, what).has_value());
  CHECK(prepared.is_new());
  for (const auto* name : {"dest", ".dest.gorgone/previous"})
    CHECK(std::filesystem::status(prepared.scratch.at(name)).permissions() == std::filesystem::perms(0555));
}

TEST_CASE("what this daemon cannot remove stands in the way of no switch") {
  if (::geteuid() != 0) return;
  std::optional<Unprivileged> daemon(std::in_place);
  const Prepared prepared;
  const auto staging = prepared.staging();
  daemon.reset();
  for (const auto* name : {"tree", "trash", "previous"}) put_foreign_folder(prepared.scratch.at(std::string(".dest.gorgone/") + name));
  {
    const Unprivileged again;
    prepared.build(staging, present_at(prepared.scratch.at("dest")), false);
    auto what = one_step(prepared);
    const auto done = perform(staging, what);
    REQUIRE(done.has_value());
    CHECK(what.unfinished.empty());
    CHECK(prepared.is_new());
    CHECK(prepared.scratch.read(".dest.gorgone/previous/changed") == "before");
    CHECK_FALSE(staging.has("switching"));
    staging.empty_trash();
    CHECK(staging.has("trash-1"));
  }
  staging.empty_trash();
  CHECK_FALSE(staging.has("trash"));
  CHECK_FALSE(staging.has("trash-1"));
}
