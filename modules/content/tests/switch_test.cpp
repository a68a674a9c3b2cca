// A new tree takes the place of the old one: in one step or file by file, interrupted or not.
#include "switch_fixture.hpp"

#include <thread>

#include "keeper.hpp"

using namespace gorgone;
using namespace gorgone::content;
using namespace gorgone::content::test;

TEST_CASE("a tree takes the place of another in one step, and the other is kept") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  prepared.build(staging, present_at(prepared.scratch.at("dest")), false);
  CHECK(prepared.is_old());
  auto what = one_step(prepared);
  REQUIRE(perform(staging, what).has_value());
  CHECK(prepared.is_new());
  CHECK_FALSE(prepared.scratch.has("dest/old"));
  CHECK(prepared.scratch.read(".dest.gorgone/previous/old/x") == "old");
  CHECK_FALSE(staging.has("switching"));
}

TEST_CASE("what the source lacks stays where it is kept, as the same file") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  auto present = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, present, true);
  auto what = one_step(prepared);
  what.keeps_extra = true;
  // Another program replaces one meanwhile, and makes one.
  std::filesystem::remove(prepared.scratch.at("dest/old/x"));
  prepared.scratch.write("dest/old/x", "replaced");
  prepared.scratch.write("dest/late", "late");
  REQUIRE(perform(staging, what).has_value());
  CHECK(prepared.is_new());
  CHECK(prepared.scratch.read("dest/old/x") == "replaced");
  CHECK(prepared.scratch.read("dest/late") == "late");
}

TEST_CASE("file by file the result is the same, and what was there is kept whole") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  auto present = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, present, false);
  auto what = by_files(prepared, staging, present);
  CHECK(what.steps.size() == 3);
  REQUIRE(perform(staging, what).has_value());
  CHECK(prepared.is_new());
  CHECK_FALSE(prepared.scratch.has("dest/old"));
  for (const auto& [path, content] : {std::pair{"same", "same"}, {"changed", "before"}, {"old/x", "old"}})
    CHECK(prepared.scratch.read(std::string(".dest.gorgone/previous/") + path) == content);
}

TEST_CASE("a switch that was interrupted before it began leaves the old tree") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  prepared.build(staging, present_at(prepared.scratch.at("dest")), false);
  prepared.scratch.write(".dest.gorgone/switching", R"({"in_one_step":true,"inode":)" + std::to_string(staging.inode_of("tree")) + "}");
  const auto resumed = resume(staging);
  REQUIRE(resumed.has_value());
  CHECK_FALSE(*resumed);
  CHECK(prepared.is_old());
  CHECK_FALSE(staging.has("switching"));
}

TEST_CASE("a switch that was interrupted after its step is finished") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  prepared.build(staging, present_at(prepared.scratch.at("dest")), false);
  prepared.scratch.write(".dest.gorgone/switching", R"({"in_one_step":true,"inode":)" + std::to_string(staging.inode_of("tree")) + "}");
  std::filesystem::rename(prepared.scratch.at("dest"), prepared.scratch.at("aside"));
  std::filesystem::rename(prepared.scratch.at(".dest.gorgone/tree"), prepared.scratch.at("dest"));
  std::filesystem::rename(prepared.scratch.at("aside"), prepared.scratch.at(".dest.gorgone/tree"));
  const auto resumed = resume(staging);
  REQUIRE(resumed.has_value());
  CHECK(*resumed);
  CHECK(prepared.is_new());
  CHECK(prepared.scratch.read(".dest.gorgone/previous/changed") == "before");
}

TEST_CASE("while somebody is at a destination nobody else puts anything there, finishes that or takes it away") {
  const Prepared prepared;
  const auto staging = prepared.staging(), other = prepared.staging();
  interrupt_after(prepared, staging, 1);
  {
    const auto at_work = other.lock();
    REQUIRE(at_work.has_value());
    auto what = one_step(prepared);
    for (const auto& outcome : {perform(staging, what), Result<void>(resume(staging).error())}) {
      REQUIRE_FALSE(outcome.has_value());
      CHECK(outcome.error().code == "busy");
      CHECK(outcome.error().message.find(prepared.scratch.at("dest")) != std::string::npos);
    }
    const std::array<timespec, 2> long_ago{timespec{1000, 0}, timespec{1000, 0}};
    REQUIRE(::utimensat(staging.folder(), "tree", long_ago.data(), 0) == 0);
    remove_stale(prepared.scratch.at("dest"), std::chrono::seconds(60));
    CHECK(staging.has("tree"));
    CHECK(other.lock().has_value());
  }
  CHECK(*resume(staging));
  CHECK(prepared.is_new());
}

TEST_CASE("what an unfinished switch needs is kept however old it is, and a tree that nobody came back for is not") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  interrupt_after(prepared, staging, 1);
  const std::array<timespec, 2> long_ago{timespec{1000, 0}, timespec{1000, 0}};
  for (const auto* name : {"tree", "blobs"}) REQUIRE(::utimensat(staging.folder(), name, long_ago.data(), 0) == 0);
  remove_stale(prepared.scratch.at("dest"), std::chrono::seconds(60));
  REQUIRE(resume(staging).has_value());
  CHECK(prepared.is_new());
  prepared.build(staging, present_at(prepared.scratch.at("dest")), false);
  REQUIRE(::utimensat(staging.folder(), "tree", long_ago.data(), 0) == 0);
  remove_stale(prepared.scratch.at("dest"), std::chrono::seconds(60));
  CHECK_FALSE(staging.has("tree"));
  CHECK(staging.has("previous"));
}

TEST_CASE("a switch file by file that was interrupted anywhere is finished, each step once") {
  for (std::size_t taken = 0; taken <= 3; ++taken) {
    CAPTURE(taken);
    const Prepared prepared;
    const auto staging = prepared.staging();
    interrupt_after(prepared, staging, taken);
    const auto resumed = resume(staging);
    REQUIRE(resumed.has_value());
    CHECK(*resumed);
    CHECK(prepared.is_new());
    CHECK_FALSE(prepared.scratch.has("dest/old"));
    CHECK(prepared.scratch.read(".dest.gorgone/previous/changed") == "before");
  }
}

TEST_CASE("an interrupted switch file by file is finished though others removed and replaced files since") {
  const auto taken = static_cast<std::size_t>(GENERATE(0, 1, 2, 3, 4));
  CAPTURE(taken);
  Prepared prepared;
  prepared.scratch.write("dest/sub/deep/file", "before");
  prepared.scratch.write("source/sub/deep/file", "after!");
  prepared.describe();
  const auto staging = prepared.staging();
  interrupt_after(prepared, staging, taken);

  SECTION("all that the steps are about was removed") {
    for (const auto* name : {"dest/changed", "dest/new", "dest/old", "dest/sub"}) std::filesystem::remove_all(prepared.scratch.at(name));
    const auto resumed = resume(staging);
    REQUIRE(resumed.has_value());
    CHECK(*resumed);
    // A file that had been put there stays away; one that had not comes.
    CHECK(prepared.scratch.read("dest/changed") == (taken > 0 ? "missing" : "after!"));
    CHECK(prepared.scratch.read("dest/new/y") == (taken > 1 ? "missing" : "new"));
    CHECK(prepared.scratch.read("dest/sub/deep/file") == (taken > 2 ? "missing" : "after!"));
    CHECK_FALSE(prepared.scratch.has("dest/old"));
  }
  SECTION("all of it was replaced") {
    for (const auto* name : {"dest/changed", "dest/new", "dest/old", "dest/sub/deep/file"}) {
      std::filesystem::remove_all(prepared.scratch.at(name));
      prepared.scratch.write(std::string(name) + "/x", "mine");
    }
    const auto resumed = resume(staging);
    REQUIRE(resumed.has_value());
    CHECK(*resumed);
    CHECK(prepared.scratch.read(taken > 0 ? "dest/changed/x" : "dest/changed") == (taken > 0 ? "mine" : "after!"));
    CHECK(prepared.scratch.read(taken > 1 ? "dest/new/x" : "dest/new/y") == (taken > 1 ? "mine" : "new"));
    CHECK(prepared.scratch.read(taken > 2 ? "dest/sub/deep/file/x" : "dest/sub/deep/file") == (taken > 2 ? "mine" : "after!"));
    CHECK(prepared.scratch.read("dest/old/x") == (taken > 3 ? "mine" : "missing"));
  }
  CHECK_FALSE(staging.has("switching"));
  CHECK(staging.has("previous"));
}

TEST_CASE("a folder that others made while a tree is put in place keeps its mode") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  prepared.build(staging, present_at(prepared.scratch.at("dest")), true);
  prepared.scratch.write("dest/late/file", "late");
  std::filesystem::permissions(prepared.scratch.at("dest/late"), std::filesystem::perms(02777));
  auto what = one_step(prepared);
  what.keeps_extra = true;
  REQUIRE(perform(staging, what).has_value());
  CHECK(std::filesystem::status(prepared.scratch.at("dest/late")).permissions() == std::filesystem::perms(02777));
  CHECK(prepared.scratch.read("dest/late/file") == "late");
}

TEST_CASE("a step that fails leaves the destination as it was") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  auto present = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, present, false);
  auto what = by_files(prepared, staging, present);
  what.steps.push_back({Step::Kind::put, "nowhere/at/all", 1});
  CHECK_FALSE(perform(staging, what).has_value());
  CHECK(prepared.is_old());
  CHECK_FALSE(staging.has("switching"));
}

TEST_CASE("somebody else's folder in the place of the staging folder is not used") {
  const Prepared prepared;
  std::filesystem::create_directory(prepared.scratch.at(".dest.gorgone"));
  std::filesystem::permissions(prepared.scratch.at(".dest.gorgone"), std::filesystem::perms(0777));
  const auto staging = Staging::open(*locate(prepared.scratch.at("dest")), true);
  REQUIRE(staging.has_value());
  CHECK_FALSE(staging->not_in_one_step().empty());
  CHECK(prepared.scratch.has("dest/.gorgone"));
}
