#include "scanner.hpp"

#include <catch2/catch.hpp>

#include <thread>

#include "scratch.hpp"

using namespace gorgone;
using namespace gorgone::content;
using gorgone::content::test::Scratch;

namespace {

// Longer than the clock of files needs for a tick.
void let_files_age() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }

Scanner scanned(const std::string& root, TreeIndex known, bool is_source = true) {
  Scanner scanner(root, std::move(known), is_source);
  REQUIRE(scanner.list().has_value());
  for (;;) {
    const auto done = scanner.hash_for(std::chrono::milliseconds(1));
    REQUIRE(done.has_value());
    if (*done) return scanner;
  }
}

std::string failure(const std::string& root) {
  Scanner scanner(root, {}, true);
  const auto listed = scanner.list();
  return listed ? "listed" : listed.error().message;
}

}  // namespace

TEST_CASE("an unchanged file is not read again, a changed one is") {
  const Scratch scratch;
  scratch.write("tree/a", std::string(1000, 'a'));
  scratch.write("tree/sub/b", std::string(500, 'b'));
  let_files_age();
  const auto first = scanned(scratch.at("tree"), {});
  CHECK(first.bytes_read() == 1500);
  const auto second = scanned(scratch.at("tree"), first.index());
  CHECK(second.bytes_read() == 0);
  CHECK(manifest_of(second.found(), {}).entries == manifest_of(first.found(), {}).entries);

  scratch.write("tree/sub/b", std::string(500, 'c'));
  const auto third = scanned(scratch.at("tree"), second.index());
  CHECK(third.bytes_read() == 500);
  CHECK(third.index().size() == 2);
}

TEST_CASE("a file that was written just now is read again, for a later change could look the same") {
  const Scratch scratch;
  scratch.write("tree/a", "1234");
  const auto first = scanned(scratch.at("tree"), {});
  const auto second = scanned(scratch.at("tree"), first.index());
  CHECK(second.bytes_read() == 4);
}

TEST_CASE("an index comes back from its file, and a broken one or another tree's is passed over") {
  const Scratch scratch;
  scratch.write("tree/a", "1234");
  let_files_age();
  const auto index = scanned(scratch.at("tree"), {}).index();
  const IndexStore store(scratch.at("state"), 2);
  REQUIRE(store.save("/tree", index).has_value());
  CHECK(store.load("/tree") == index);
  CHECK(store.load("/other").size() == 0);
  auto bytes = index.encode("/tree");
  CHECK(TreeIndex::decode(bytes, "/other").size() == 0);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  CHECK(TreeIndex::decode(bytes, "/tree").size() == 0);
}

TEST_CASE("no more indexes are kept than allowed") {
  const Scratch scratch;
  const IndexStore store(scratch.at("state"), 2);
  for (const char* tree : {"/a", "/b", "/c", "/d"}) REQUIRE(store.save(tree, {}).has_value());
  const auto files = std::distance(std::filesystem::directory_iterator(scratch.at("state")), {});
  CHECK(files == 2);
}

TEST_CASE("a source with a pipe, an absolute link or one that leads out is refused by name") {
  const Scratch scratch;
  scratch.write("tree/a", "x");
  REQUIRE(::mkfifo(scratch.at("tree/pipe").c_str(), 0600) == 0);
  CHECK(failure(scratch.at("tree")).find("tree/pipe' is a device, a pipe or a socket") != std::string::npos);
  std::filesystem::remove(scratch.at("tree/pipe"));
  std::filesystem::create_symlink("/etc/passwd", scratch.at("tree/link"));
  CHECK(failure(scratch.at("tree")).find("tree/link' is a link to an absolute path") != std::string::npos);
  std::filesystem::remove(scratch.at("tree/link"));
  std::filesystem::create_symlink("../other", scratch.at("tree/link"));
  CHECK(failure(scratch.at("tree")).find("leads out of the tree") != std::string::npos);
}

TEST_CASE("two trees with the same content have the same manifest, whatever their times are") {
  const Scratch scratch;
  for (const char* name : {"one", "two"}) {
    scratch.write(std::string(name) + "/x/a.cfg", "a");
    scratch.write(std::string(name) + "/x-y", "b");
    std::filesystem::create_symlink("x/a.cfg", scratch.at(std::string(name) + "/z"));
  }
  const auto one = encode(manifest_of(scanned(scratch.at("one"), {}).found(), {}));
  CHECK(one == encode(manifest_of(scanned(scratch.at("two"), {}).found(), {})));
  CHECK(decode(one, {}).has_value());
}

TEST_CASE("a single file is a tree of its own") {
  const Scratch scratch;
  scratch.write("file", "content");
  const auto manifest = manifest_of(scanned(scratch.at("file"), {}).found(), mode_t{0600});
  REQUIRE(manifest.entries.size() == 1);
  CHECK(manifest.entries[0].path.empty());
  CHECK(manifest.entries[0].mode == 0600);
  CHECK(manifest.entries[0].hash == sha256("content"));
}
