#include "manifest.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include <unistd.h>

#include "owners.hpp"
#include "pack.hpp"
#include "wire.hpp"

using namespace gorgone;
using namespace gorgone::content;

namespace {

Entry folder(std::string path) { return {std::move(path), Entry::Kind::folder, 0755, 0, {}, {}}; }
Entry file(std::string path, std::string_view content) {
  return {std::move(path), Entry::Kind::file, 0644, content.size(), sha256(content), {}};
}
Entry link_to(std::string path, std::string target) { return {std::move(path), Entry::Kind::link, 0, 0, {}, std::move(target)}; }

Manifest tree() {
  return {{folder(""), file("a.cfg", "one"), folder("sub"), file("sub/b.cfg", "two"), file("sub/c.cfg", "one"), link_to("z", "sub/b.cfg")}};
}

std::string refusal(const Manifest& manifest) {
  const auto read = decode(encode(manifest), {});
  return read ? "taken" : read.error().message;
}

}  // namespace

TEST_CASE("a manifest comes back as it was written") {
  const auto read = decode(encode(tree()), {});
  REQUIRE(read.has_value());
  CHECK(read->entries == tree().entries);
  CHECK(read->files() == 3);
  CHECK(read->bytes() == 9);
}

TEST_CASE("a manifest that says to whom files belong comes back as it was written, and one that does not is as it ever was") {
  auto manifest = tree();
  CHECK(encode(manifest).starts_with("GORGONE-TREE-1\n"));
  manifest.owners = {{0, 0, "root", "root"}, {1234, 4321, "", "engine"}};
  manifest.entries[4].owner = 1;
  const auto bytes = encode(manifest);
  CHECK(bytes.starts_with("GORGONE-TREE-2\n"));
  const auto read = decode(bytes, {});
  REQUIRE(read.has_value());
  CHECK(read->entries == manifest.entries);
  CHECK(read->owners == manifest.owners);
  manifest.entries[4].owner = 2;
  CHECK(refusal(manifest).find("is broken at its path 5 of 6") != std::string::npos);
  manifest.entries[4].owner = 0;
  manifest.owners[1].group = "two\nlines";
  CHECK(refusal(manifest).find("has a control character") != std::string::npos);
  manifest.owners.assign(4097, {});
  CHECK(refusal(manifest).find("lists 4097 owners, expected 1 to 4096") != std::string::npos);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    CHECK_FALSE(decode(std::string_view(bytes).substr(0, length), {}).has_value());
}

TEST_CASE("an owner is found by its name, and the number counts only where it is nobody else's") {
  Notes notes;
  const auto daemon = find_owners("daemon", "daemon", notes);
  if (::geteuid() != 0 || !daemon.uid) return;
  CHECK(owners_here({54321, 54321, "daemon", "daemon"}, notes).uid == daemon.uid);
  CHECK(owners_here({54321, 54322, "", ""}, notes).gid == 54322U);
  CHECK(owners_here({54321, 54322, "nobody-has-this", "nor-this"}, notes).uid == 54321U);
  CHECK(notes.empty());
  const auto other = owners_here({*daemon.uid, *daemon.gid, "nobody-has-this", "nor-this"}, notes);
  CHECK_FALSE(other.uid.has_value());
  CHECK_FALSE(other.gid.has_value());
  CHECK(notes.texts() == std::vector<std::string>{"owner 'nobody-has-this' is not known here", "group 'nor-this' is not known here"});
}

TEST_CASE("a node says that it takes owners, and one of an earlier revision does not") {
  content::Answer answer;
  answer.stage = "manifest";
  HistoryRow row;
  row.code = code::going_on;
  row.data = write_answer("t", answer).data;
  CHECK_FALSE(read_answer(row)->takes_owners);
  answer.takes_owners = true;
  row.data = write_answer("t", answer).data;
  CHECK(read_answer(row)->takes_owners);
}

TEST_CASE("content that several files have is listed once") {
  const auto blobs = tree().blobs();
  REQUIRE(blobs.size() == 2);
  CHECK(blobs[0].hash == sha256("one"));
  CHECK(tree().entries[blobs[1].entry].path == "sub/b.cfg");
}

TEST_CASE("paths of a manifest that lead elsewhere are refused") {
  const std::vector<std::string> paths{"..", "../x", "sub/../../x", "/etc/passwd", "sub//x", "./x", "sub/", std::string("a\0b", 3)};
  for (const auto& path : paths) {
    CAPTURE(path);
    auto manifest = tree();
    manifest.entries = {folder(""), folder("sub"), file(path, "x")};
    std::sort(manifest.entries.begin(), manifest.entries.end(), [](const auto& left, const auto& right) { return left.path < right.path; });
    CHECK(refusal(manifest).find("of the manifest") != std::string::npos);
  }
}

TEST_CASE("a manifest that is out of order, lists a path twice or a file without its folder is refused") {
  CHECK(refusal({{folder(""), file("b", "x"), file("a", "x")}}).find("is out of order") != std::string::npos);
  CHECK(refusal({{folder(""), file("a", "x"), file("a", "y")}}).find("is out of order") != std::string::npos);
  CHECK(refusal({{folder(""), file("sub/a", "x")}}).find("has no folder above it") != std::string::npos);
  CHECK(refusal({{folder(""), file("sub", "x"), file("sub/a", "x")}}).find("has no folder above it") != std::string::npos);
  CHECK(refusal({{folder(""), link_to("sub", "other"), file("sub/a", "x")}}).find("has no folder above it") != std::string::npos);
  CHECK(refusal({{file("", "x"), file("a", "x")}}).find("comes after a single file") != std::string::npos);
  CHECK(refusal({{file("a", "x")}}).find("expected the root") != std::string::npos);
}

TEST_CASE("set-user-id bits do not pass in a manifest") {
  auto manifest = tree();
  manifest.entries[1].mode = 04755;
  CHECK(refusal(manifest).find("has a mode beyond 0777") != std::string::npos);
}

TEST_CASE("links may lead about in the tree and not out of it") {
  CHECK(wrong_with_link("a", "b/c").empty());
  CHECK(wrong_with_link("sub/a", "../b").empty());
  CHECK(wrong_with_link("sub/deep/a", "../../b/./c").empty());
  CHECK_FALSE(wrong_with_link("a", "/etc/passwd").empty());
  CHECK_FALSE(wrong_with_link("a", "..").empty());
  CHECK_FALSE(wrong_with_link("sub/a", "../../b").empty());
  CHECK_FALSE(wrong_with_link("a", "").empty());
  // What "d/.." is depends on where the link d leads.
  CHECK_FALSE(wrong_with_link("a", "d/../b").empty());
}

TEST_CASE("a manifest that is cut, goes on too long or counts too much is refused") {
  const auto bytes = encode(tree());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(decode(std::string_view(bytes).substr(0, length), {}).has_value());
  }
  CHECK_FALSE(decode(bytes + "x", {}).has_value());
  ManifestLimits few;
  few.entries = 3;
  CHECK_FALSE(decode(bytes, few).has_value());
  // A count without its entries must not cost memory.
  std::string huge = "GORGONE-TREE-1\n";
  put_number(huge, 400000);
  CHECK_FALSE(decode(huge, {}).has_value());
}

TEST_CASE("a manifest with any byte changed is read or refused, and never breaks") {
  const auto bytes = encode(tree());
  int taken = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (const int change : {1, 0x55, 0x80}) {
      auto broken = bytes;
      broken[i] = static_cast<char>(broken[i] ^ change);
      const auto read = decode(broken, {});
      if (read) CHECK(encode(*read) == broken);
      taken += read ? 1 : 0;
    }
  CHECK(taken > 0);
}

TEST_CASE("numbers of any size come back, and one that does not end is refused") {
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128}, ~std::uint64_t{0}}) {
    std::string bytes;
    put_number(bytes, number);
    Reader reader(bytes);
    CHECK(reader.number() == number);
    CHECK(reader.at_end());
  }
  Reader endless(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11));
  endless.number();
  CHECK(endless.failed());
}

TEST_CASE("what would unpack to more than allowed is refused before it is unpacked") {
  const auto packed = compress(std::string(100000, 'x'));
  CHECK(packed.size() < 1000);
  CHECK_FALSE(decompress(packed, 99999).has_value());
  REQUIRE(decompress(packed, 100000).has_value());
  CHECK_FALSE(decompress("no zstd at all", 1000).has_value());
}

TEST_CASE("a set of lacking blobs comes back, and one of another size is refused") {
  std::vector<bool> set(1000);
  for (std::size_t i = 0; i < set.size(); i += 7) set[i] = true;
  const auto read = decode_set(encode_set(set), set.size());
  REQUIRE(read.has_value());
  CHECK(*read == set);
  CHECK_FALSE(decode_set(encode_set(set), 2000).has_value());
}

TEST_CASE("a broken piece of content is refused") {
  std::string piece;
  put_number(piece, 3);
  put_number(piece, 0);
  put_text(piece, "hello");
  REQUIRE(read_piece(piece).has_value());
  CHECK(read_piece(piece)->front().bytes == "hello");
  CHECK_FALSE(read_piece(std::string_view(piece).substr(0, piece.size() - 1)).has_value());
  std::string empty;
  for (int i = 0; i < 3; ++i) put_number(empty, 0);
  CHECK_FALSE(read_piece(empty).has_value());
}

TEST_CASE("a manifest of few bytes that says many long paths is refused before they take more memory than its limit") {
  Manifest manifest{{folder("")}};
  std::string path(250, 'd');
  manifest.entries.push_back(folder(path));
  for (int i = 0; i < 10; ++i) manifest.entries.push_back(folder(path += "/" + std::string(250, 'd')));
  for (int i = 0; i < 500; ++i) manifest.entries.push_back(file(fmt::format("{}/{:04}", path, i), "x"));
  const auto bytes = encode(manifest);
  REQUIRE(bytes.size() < 40000);
  CHECK(decode(bytes, {}).has_value());
  CHECK(decode(bytes, {1000, 40000}).error().message == "the paths of the manifest take more than 40000 bytes");
}

TEST_CASE("a manifest that goes down so far that its folders would take all descriptors is refused") {
  Manifest manifest{{folder("")}};
  std::string path = "d";
  for (int i = 0; i <= 201; ++i, path += "/d") manifest.entries.push_back(folder(path));
  CHECK(refusal(manifest).find("lies deeper than 200 folders") != std::string::npos);
  manifest.entries.pop_back();
  CHECK(refusal(manifest) == "taken");
}

TEST_CASE("sizes that no disk has are refused, each and in sum") {
  constexpr auto huge = std::uint64_t{1} << 61;
  auto large = [](std::string path, std::uint64_t size) {
    auto entry = file(path, path);
    entry.size = size;
    return entry;
  };
  CHECK(refusal({{folder(""), large("a", 4 * huge)}}).find("is too large") != std::string::npos);
  // Eight of these add up to 0.
  Manifest manifest{{folder("")}};
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h"}) manifest.entries.push_back(large(name, huge));
  CHECK(refusal(manifest).find("path 'c' of the manifest is too large") != std::string::npos);
}

TEST_CASE("files of one content with two sizes are refused") {
  auto longer = file("b", "x");
  longer.size = 2;
  CHECK(refusal({{folder(""), file("a", "x"), longer}}).find("has the hash of another file and not its size") != std::string::npos);
}
