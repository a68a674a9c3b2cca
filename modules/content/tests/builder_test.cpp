// A new tree: made of what came and of what is at the destination.
#include "switch_fixture.hpp"

#include <set>
#include <thread>

using namespace gorgone;
using namespace gorgone::content;
using namespace gorgone::content::test;

TEST_CASE("files of the same content at several paths are files of their own, and only what is unchanged is linked") {
  Prepared prepared;
  prepared.scratch.write("source/twin", "same");
  prepared.scratch.write("source/sub/twin", "same");
  prepared.describe();
  const auto staging = prepared.staging();
  prepared.build(staging, present_at(prepared.scratch.at("dest")), true, true);
  auto inode = [&](const std::string& name) {
    struct stat status {};
    REQUIRE(::lstat(prepared.scratch.at(name).c_str(), &status) == 0);
    return status.st_ino;
  };
  const std::set<ino_t> all{inode(".dest.gorgone/tree/same"), inode(".dest.gorgone/tree/twin"), inode(".dest.gorgone/tree/sub/twin")};
  CHECK(all.size() == 3);
  CHECK(inode(".dest.gorgone/tree/same") == inode("dest/same"));
  CHECK(prepared.scratch.read(".dest.gorgone/tree/sub/twin") == "same");
}

TEST_CASE("an unchanged file of several names is linked under each, also when another try's links to it go") {
  Prepared prepared;
  std::filesystem::create_hard_link(prepared.scratch.at("dest/same"), prepared.scratch.at("dest/same2"));
  prepared.scratch.write("source/same2", "same");
  prepared.describe();
  const auto staging = prepared.staging();
  // The clock of file times has ticked, so that each link is seen in them.
  auto tick = [] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); };
  auto is_linked = [&] {
    const auto tree = present_at(prepared.scratch.at(".dest.gorgone/tree")), there = present_at(prepared.scratch.at("dest"));
    return tree.at("same")->stamp == there.at("same")->stamp && tree.at("same2")->stamp == there.at("same2")->stamp;
  };
  tick();
  auto present = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, present, true, true);
  CHECK(is_linked());
  // Again with what was found before the first try, as where the whole cannot change places, and with what is found after it.
  tick();
  prepared.build(staging, present, true, true);
  CHECK(is_linked());
  tick();
  auto later = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, later, true, true);
  CHECK(is_linked());
  // A change by another is seen all the same.
  auto last = present_at(prepared.scratch.at("dest"));
  const auto time = std::filesystem::last_write_time(prepared.scratch.at("dest/same"));
  tick();
  prepared.scratch.write("dest/same", "SAME");
  std::filesystem::last_write_time(prepared.scratch.at("dest/same"), time);
  Builder builder(staging, prepared.manifest, last, {{}, true, true});
  const auto done = builder.build_for(std::chrono::seconds(10));
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().code == "changed");
}

TEST_CASE("content whose hash is not the manifest's is refused and removed") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  Blobs blobs(staging);
  while (!*blobs.open_for(std::chrono::seconds(1))) {
  }
  REQUIRE(blobs.expect({Blob{sha256("right"), 5, 0}}, {0}).has_value());
  const auto taken = blobs.take({Record{0, 0, "wrong"}});
  REQUIRE_FALSE(taken.has_value());
  CHECK(taken.error().code == "changed");
  CHECK(std::filesystem::is_empty(prepared.scratch.at(".dest.gorgone/blobs")));
}

TEST_CASE("a blob that came in part goes on where it was, and pieces out of order are refused") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  const Blob blob{sha256("hello world"), 11, 0};
  {
    Blobs blobs(staging);
    while (!*blobs.open_for(std::chrono::seconds(1))) {
    }
    REQUIRE(blobs.expect({blob}, {0}).has_value());
    REQUIRE(blobs.take({Record{0, 0, "hello"}}).has_value());
  }
  Blobs again(staging);
  while (!*again.open_for(std::chrono::seconds(1))) {
  }
  CHECK(*again.expect({blob}, {0}) == 5);
  CHECK(again.take({Record{0, 4, "o"}}).error().code == "order");
  CHECK(again.take({Record{0, 5, " world and more"}}).error().code == "order");
  REQUIRE(again.take({Record{0, 5, " world"}}).has_value());
  CHECK(again.has_all());
  CHECK(again.has(blob.hash));
}
