#include "swap.hpp"

#include <catch2/catch.hpp>

#include <thread>

#include "blobs.hpp"
#include "keeper.hpp"
#include "scratch.hpp"

using namespace gorgone;
using namespace gorgone::content;
using gorgone::content::test::Scratch;
using gorgone::content::test::Unprivileged;

namespace {

Present present_at(const std::string& root) {
  Scanner scanner(root, {}, false);
  if (!scanner.list()) return Present({});
  while (!*scanner.hash_for(std::chrono::seconds(1))) {
  }
  return Present(scanner.take());
}

// A place with an old tree and a built new one, which lacks "old" and has "new" and another "same".
struct Prepared {
  Scratch scratch;
  Manifest manifest;
  std::string bytes;

  Prepared() {
    scratch.write("dest/same", "same");
    scratch.write("dest/changed", "before");
    scratch.write("dest/old/x", "old");
    scratch.write("source/same", "same");
    scratch.write("source/changed", "after!");
    scratch.write("source/new/y", "new");
    describe();
  }

  void describe() {
    manifest = manifest_of(present_at(scratch.at("source")).found, {});
    bytes = encode(manifest);
  }

  Staging staging() const {
    auto staging = Staging::open(*locate(scratch.at("dest")), true);
    REQUIRE(staging.has_value());
    return std::move(*staging);
  }

  Hash hash() const { return sha256(bytes); }

  void build(const Staging& staging, const Present& present, bool keeps_extra, bool links_unchanged = false) const {
    Blobs blobs(staging);
    while (!*blobs.open_for(std::chrono::seconds(1))) {
    }
    const auto all = manifest.blobs();
    std::vector<std::size_t> wanted;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (!present.with(all[i].hash) && !blobs.has(all[i].hash)) wanted.push_back(i);
    REQUIRE(blobs.expect(all, wanted).has_value());
    Packer packer(scratch.at("source"), std::make_shared<const Manifest>(manifest), all, wanted, 0);
    while (!packer.at_end()) {
      const auto piece = decompress(*packer.next(), piece_bytes_max);
      REQUIRE(blobs.take(*read_piece(*piece)).has_value());
    }
    REQUIRE(staging.keep_manifest(hash(), bytes).has_value());
    Builder builder(staging, manifest, present, {{}, keeps_extra, links_unchanged});
    for (Result<bool> done = false; !*done;) {
      done = builder.build_for(std::chrono::seconds(1));
      REQUIRE(done.has_value());
    }
  }

  bool is_old() const { return scratch.read("dest/changed") == "before" && scratch.has("dest/old/x") && !scratch.has("dest/new"); }
  bool is_new() const {
    return scratch.read("dest/changed") == "after!" && scratch.read("dest/new/y") == "new" && scratch.read("dest/same") == "same";
  }
};

Switch one_step(const Prepared& prepared) {
  Switch what;
  what.now = prepared.hash();
  what.keeps_extra = false;
  return what;
}

Switch by_files(const Prepared& prepared, const Staging& staging, const Present& present) {
  auto what = one_step(prepared);
  what.in_one_step = false;
  const auto staged = present_at(staging.path("tree"));
  what.steps = steps_between(staged, present, [](const Found&) { return true; });
  return what;
}

// As a crash leaves it after so many steps.
void interrupt_after(const Prepared& prepared, const Staging& staging, std::size_t taken) {
  const auto present = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, present, false);
  auto what = by_files(prepared, staging, present);
  const auto all = what.steps;
  // The first ones are taken by a switch of their own, whose end is then taken back.
  const auto tree = staging.inode_of("tree");
  what.steps.resize(taken);
  what.keeps_previous = true;
  REQUIRE(perform(staging, what).has_value());
  std::filesystem::rename(prepared.scratch.at(".dest.gorgone/previous"), prepared.scratch.at(".dest.gorgone/tree"));
  REQUIRE(staging.inode_of("tree") == tree);
  std::string steps;
  for (const auto& step : all) {
    std::string hex;
    for (const char c : step.path) {
      constexpr const char* digits = "0123456789abcdef";
      hex += digits[(c >> 4) & 15];
      hex += digits[c & 15];
    }
    steps += (steps.empty() ? "" : ",") + std::string("[") + std::to_string(static_cast<int>(step.kind)) + ",\"" + hex + "\"," +
             std::to_string(step.inode) + "]";
  }
  prepared.scratch.write(".dest.gorgone/switching",
                         R"({"in_one_step":false,"inode":)" + std::to_string(tree) + R"(,"steps":[)" + steps + "]}");
}

}  // namespace

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
  const auto present = present_at(prepared.scratch.at("dest"));
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
  const auto present = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, present, true, true);
  CHECK(is_linked());
  // Again with what was found before the first try, as where the whole cannot change places, and with what is found after it.
  tick();
  prepared.build(staging, present, true, true);
  CHECK(is_linked());
  tick();
  const auto later = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, later, true, true);
  CHECK(is_linked());
  // A change by another is seen all the same.
  const auto last = present_at(prepared.scratch.at("dest"));
  const auto time = std::filesystem::last_write_time(prepared.scratch.at("dest/same"));
  tick();
  prepared.scratch.write("dest/same", "SAME");
  std::filesystem::last_write_time(prepared.scratch.at("dest/same"), time);
  Builder builder(staging, prepared.manifest, last, {{}, true, true});
  const auto done = builder.build_for(std::chrono::seconds(10));
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().code == "changed");
}

TEST_CASE("a rollback to what was there before the first push leaves the files of others as they are now") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  prepared.build(staging, present_at(prepared.scratch.at("dest")), true);
  auto what = one_step(prepared);
  what.keeps_extra = true;
  REQUIRE(perform(staging, what).has_value());
  // Another program replaces its file.
  std::filesystem::remove(prepared.scratch.at("dest/old/x"));
  prepared.scratch.write("dest/old/x", "replaced");
  prepared.scratch.write("dest/late", "late");
  Switch back;
  back.is_rollback = true;
  back.before = prepared.hash();
  REQUIRE(perform(prepared.staging(), back).has_value());
  CHECK(prepared.scratch.read("dest/changed") == "before");
  CHECK_FALSE(prepared.scratch.has("dest/new"));
  CHECK(prepared.scratch.read("dest/old/x") == "replaced");
  CHECK(prepared.scratch.read("dest/late") == "late");
}

TEST_CASE("a rollback puts nothing back that was pushed, however long the manifest is and where it cannot be read") {
  const auto is_readable = GENERATE(true, false);
  CAPTURE(is_readable);
  const Prepared prepared;
  const auto staging = prepared.staging();
  prepared.build(staging, present_at(prepared.scratch.at("dest")), true);
  auto what = one_step(prepared);
  what.keeps_extra = true;
  REQUIRE(perform(staging, what).has_value());
  prepared.scratch.write("dest/late", "late");
  // More than a node accepts that has no max_files.
  auto manifest = prepared.manifest;
  manifest.entries.push_back({"z", Entry::Kind::folder, 0755});
  for (std::size_t number = 0; number < ManifestLimits{}.entries; ++number)
    manifest.entries.push_back({"z/" + std::to_string(1000000 + number), Entry::Kind::file, 0644});
  const auto bytes = encode(manifest);
  Switch back;
  back.is_rollback = true;
  back.before = sha256(bytes);
  if (is_readable) REQUIRE(staging.keep_manifest(*back.before, bytes).has_value());
  REQUIRE(perform(prepared.staging(), back).has_value());
  CHECK(prepared.is_old());
  CHECK(prepared.scratch.read("dest/late") == (is_readable ? "late" : "missing"));
  if (!is_readable) CHECK(prepared.scratch.read(".dest.gorgone/previous/late") == "late");
}

TEST_CASE("file by file the result is the same, and what was there is kept whole") {
  const Prepared prepared;
  const auto staging = prepared.staging();
  const auto present = present_at(prepared.scratch.at("dest"));
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
  const auto present = present_at(prepared.scratch.at("dest"));
  prepared.build(staging, present, false);
  auto what = by_files(prepared, staging, present);
  what.steps.push_back({Step::Kind::put, "nowhere/at/all", 1});
  CHECK_FALSE(perform(staging, what).has_value());
  CHECK(prepared.is_old());
  CHECK_FALSE(staging.has("switching"));
}

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
  const auto present = present_at(prepared.scratch.at("dest"));
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
  const auto second = present_at(prepared.scratch.at("dest"));
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

TEST_CASE("somebody else's folder in the place of the staging folder is not used") {
  const Prepared prepared;
  std::filesystem::create_directory(prepared.scratch.at(".dest.gorgone"));
  std::filesystem::permissions(prepared.scratch.at(".dest.gorgone"), std::filesystem::perms(0777));
  const auto staging = Staging::open(*locate(prepared.scratch.at("dest")), true);
  REQUIRE(staging.has_value());
  CHECK_FALSE(staging->not_in_one_step().empty());
  CHECK(prepared.scratch.has("dest/.gorgone"));
}
