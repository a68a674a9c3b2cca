// Archives: what is unpacked and what is refused.
#include "archive.hpp"
#include "archive_reader.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace std::string_literals;
using namespace gorgone;
using namespace gorgone::action;
namespace fs = std::filesystem;

namespace {

struct Entry {
  std::string path, content = {};
  unsigned type = AE_IFREG;
  std::string link = {};
  int mode = 0640;
};

struct ArchiveFixture {
  fs::path folder, destination, file;
  Notes notes;
  AttributeIds ids;
  std::uint64_t bytes_max = 1 << 30;

  ArchiveFixture() {
    std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
    destination = folder / "to";
    file = folder / "a.tar.gz";
    ids.uid = ::geteuid();
    ids.gid = ::getegid();
  }
  ~ArchiveFixture() { fs::remove_all(folder); }

  void pack(const std::vector<Entry>& entries) const {
    auto* writer = archive_write_new();
    archive_write_add_filter_gzip(writer);
    archive_write_set_format_pax_restricted(writer);
    archive_write_open_filename(writer, file.c_str());
    for (const auto& item : entries) {
      auto* entry = archive_entry_new();
      archive_entry_set_pathname(entry, item.path.c_str());
      archive_entry_set_filetype(entry, item.type);
      archive_entry_set_perm(entry, static_cast<mode_t>(item.mode));
      archive_entry_set_mtime(entry, 1'600'000'000, 0);
      if (item.type == AE_IFLNK) archive_entry_set_symlink(entry, item.link.c_str());
      if (item.type == AE_IFREG && !item.link.empty()) archive_entry_set_hardlink(entry, item.link.c_str());
      archive_entry_set_size(entry, item.type == AE_IFREG && item.link.empty() ? static_cast<la_int64_t>(item.content.size()) : 0);
      archive_write_header(writer, entry);
      archive_write_data(writer, item.content.data(), item.content.size());
      archive_entry_free(entry);
    }
    archive_write_close(writer);
    archive_write_free(writer);
  }
  Result<std::size_t> unpacked(const std::vector<Entry>& entries) {
    pack(entries);
    return unpack(file, destination, ids, notes, bytes_max);
  }
  std::string content(const std::string& path) const {
    std::stringstream text;
    text << std::ifstream(destination / path).rdbuf();
    return text.str();
  }
  int mode(const std::string& path) const {
    struct stat status {};
    return ::stat((destination / path).c_str(), &status) == 0 ? static_cast<int>(status.st_mode & 07777) : -1;
  }
};

}  // namespace

TEST_CASE_METHOD(ArchiveFixture, "files, folders and links are unpacked with the archive's modes and times") {
  auto count = unpacked({{"./", "", AE_IFDIR, "", 0700},
                         {"./a.cfg", "one"},
                         {"sub", "", AE_IFDIR, "", 0750},
                         {"sub/deep/b.cfg", std::string(300'000, 'b'), AE_IFREG, "", 06755},
                         {"sub/up", "", AE_IFLNK, "../a.cfg"},
                         {"same", "", AE_IFREG, "sub/deep/b.cfg"}});
  REQUIRE(count.has_value());
  CHECK(*count == 6);
  CHECK(content("a.cfg") == "one");
  CHECK(mode("a.cfg") == 0640);
  CHECK(mode("sub") == 0750);
  CHECK(mode("sub/deep/b.cfg") == 0755);
  CHECK(content("sub/deep/b.cfg").size() == 300'000);
  CHECK(fs::read_symlink(destination / "sub/up") == "../a.cfg");
  CHECK(fs::equivalent(destination / "same", destination / "sub/deep/b.cfg"));
  struct stat status {};
  ::stat((destination / "a.cfg").c_str(), &status);
  CHECK(status.st_mtime == 1'600'000'000);
  CHECK(notes.empty());
}

TEST_CASE_METHOD(ArchiveFixture, "a file that is there is replaced, others stay, a mode that is asked for goes to files only") {
  fs::create_directory(destination);
  std::ofstream(destination / "a.cfg") << "old and longer";
  std::ofstream(destination / "other") << "kept";
  ids.mode = 0664;
  REQUIRE(unpacked({{"a.cfg", "new"}, {"d", "", AE_IFDIR, "", 0755}}).has_value());
  CHECK(content("a.cfg") == "new");
  CHECK(content("other") == "kept");
  CHECK(mode("a.cfg") == 0664);
  CHECK(mode("d") == 0755);
  CHECK(std::distance(fs::directory_iterator(destination), fs::directory_iterator()) == 3);
}

TEST_CASE_METHOD(ArchiveFixture, "one bad member refuses the whole archive before anything is written") {
  auto [bad, why] = GENERATE(table<Entry, std::string>({
      {Entry{"/etc/x", "x"}, "has an absolute path"},
      {Entry{"../x", "x"}, "has a path with '..'"},
      {Entry{"a/../../x", "x"}, "has a path with '..'"},
      {Entry{"l", "", AE_IFLNK, "/etc/passwd"}, "is a link to '/etc/passwd', which leads out"},
      {Entry{"l", "", AE_IFLNK, "../x"}, "which leads out"},
      {Entry{"a/l", "", AE_IFLNK, "../../x"}, "which leads out"},
      {Entry{"a/b/l", "", AE_IFLNK, "c/../x"}, "which leads out"},
      {Entry{"h", "", AE_IFREG, "/etc/passwd"}, "is a link to '/etc/passwd', which has an absolute path"},
      {Entry{"h", "", AE_IFREG, "../x"}, "is a link to '../x', which has a path with '..'"},
      {Entry{"f", "", AE_IFIFO}, "is a device, a pipe or a socket"},
      {Entry{"c", "", AE_IFCHR}, "is a device, a pipe or a socket"},
  }));
  INFO(bad.path << " " << bad.link);
  auto result = unpacked({{"good", "1"}, bad});
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().message.find("archive refused: member '" + bad.path + "'") == 0);
  CHECK(result.error().message.find(why) != std::string::npos);
  CHECK_FALSE(fs::exists(destination));
}

// Folders within folders are checked, moved and removed by functions that call themselves: 60,000 took more than the stack.
TEST_CASE_METHOD(ArchiveFixture,
                 "a member in very many folders, or with a very long name, refuses the archive before anything is written") {
  const auto nested = [](std::size_t folders, const std::string& part = "d/") {
    std::string path;
    for (std::size_t i = 0; i < folders; ++i) path += part;
    return path + "f";
  };
  const auto refusal = [this](const Entry& entry) {
    auto result = unpacked({entry});
    CHECK_FALSE(fs::exists(destination));
    return result ? "unpacked" : result.error().message;
  };
  auto begin = [&](std::size_t bytes) {
    return "archive refused: member '" + nested(150).substr(0, 300) + "… (" + std::to_string(bytes) + " bytes)' has a path of ";
  };
  CHECK(refusal({nested(60'000)}) == begin(120001) + "120001 bytes, expected at most 4095");
  CHECK(refusal({nested(200)}) == begin(401) + "201 parts, expected at most 200");
  CHECK(refusal({nested(20, std::string(250, 'd') + '/')}).ends_with("' has a path of 5021 bytes, expected at most 4095"));
  CHECK(refusal({"h", "", AE_IFREG, nested(200)}).ends_with("… (401 bytes)', which has a path of 201 parts, expected at most 200"));
  CHECK(
      refusal({"l", "", AE_IFLNK, nested(60'000)}).ends_with("… (120001 bytes)', which has a path of 120001 bytes, expected at most 4095"));
  REQUIRE(unpacked({{nested(199), "x"}}).has_value());
  CHECK(content(nested(199)) == "x");
}

TEST_CASE_METHOD(ArchiveFixture, "folders that the archive does not list count as well, each once") {
  bytes_max = 1 << 20;
  std::vector<Entry> apart, together;
  for (int i = 0; i < 20; ++i) {
    apart.push_back({"d" + std::to_string(i) + "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/f"});
    if (i < 15)
      together.push_back({"x/a/b/c/d/e/f/g/h/i/j/k/l/m/n"s.substr(0, 1 + 2 * static_cast<std::size_t>(i)), "", AE_IFDIR, "", 0755});
    together.push_back({(i % 2 == 0 ? "x" : "y") + std::string("/a/b/c/d/e/f/g/h/i/j/k/l/m/n/f") + std::to_string(i)});
  }
  auto large = unpacked(apart);
  REQUIRE_FALSE(large.has_value());
  CHECK(large.error().message == "archive refused: it unpacks to more than 1048576 bytes (modules.action.max_unpacked)");
  CHECK_FALSE(fs::exists(destination));
  CHECK(unpacked(together).has_value());
}

TEST_CASE_METHOD(ArchiveFixture, "nothing is written through a link, of the archive or of the folder") {
  fs::create_directories(folder / "outside");
  fs::create_directory(destination);
  fs::create_directory_symlink(folder / "outside", destination / "door");
  auto through = unpacked({{"door/x", "x"}});
  REQUIRE_FALSE(through.has_value());
  CHECK(through.error().message == "the destination leads through 'door', which is a link or a file, expected a folder");
  CHECK_FALSE(unpacked({{"d", "", AE_IFDIR}, {"own", "", AE_IFLNK, "d"}, {"own/x", "x"}}).has_value());
  // In the place of a link the file itself is put.
  std::ofstream(folder / "outside/target") << "untouched";
  fs::create_symlink(folder / "outside/target", destination / "file");
  REQUIRE(unpacked({{"file", "new"}}).has_value());
  CHECK_FALSE(fs::is_symlink(destination / "file"));
  std::stringstream text;
  text << std::ifstream(folder / "outside/target").rdbuf();
  CHECK(text.str() == "untouched");
}

TEST_CASE_METHOD(ArchiveFixture, "a hard link does not carry a symlink to where it would lead out") {
  auto result = unpacked({{"a/b/f", "x"}, {"a/b/l", "", AE_IFLNK, "../../a"}, {"m", "", AE_IFREG, "a/b/l"}});
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().message == "'m' is a hard link to 'a/b/l', which is no file");
}

TEST_CASE_METHOD(ArchiveFixture, "a file that is no archive and one that is cut are told") {
  std::ofstream(file) << "this is no archive, just some text that goes on for a while";
  CHECK_FALSE(unpack(file, destination, ids, notes, bytes_max).has_value());
  std::string noise;
  for (unsigned i = 0, x = 1; i < 100'000; ++i) noise += static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  pack({{"a", noise}, {"b", noise}});
  fs::resize_file(file, fs::file_size(file) / 2);
  auto cut = unpack(file, destination, ids, notes, bytes_max);
  REQUIRE_FALSE(cut.has_value());
  CHECK(cut.error().message.find("the archive cannot be read: ") == 0);
  CHECK_FALSE(fs::exists(destination));
}

TEST_CASE_METHOD(ArchiveFixture, "an archive that unpacks to more than is allowed is refused before anything is written") {
  bytes_max = 1 << 20;
  auto large = unpacked({{"small", "x"}, {"large", std::string(2 << 20, '\0')}});
  REQUIRE_FALSE(large.has_value());
  CHECK(large.error().message == "archive refused: it unpacks to more than 1048576 bytes (modules.action.max_unpacked)");
  CHECK_FALSE(fs::exists(destination));
  std::vector<Entry> empty_files;
  for (int i = 0; i < 300; ++i) empty_files.push_back({"f" + std::to_string(i)});
  CHECK_FALSE(unpacked(empty_files).has_value());
  CHECK_FALSE(fs::exists(destination));
  CHECK(unpacked({{"fits", std::string(1 << 19, 'x')}}).has_value());
}

TEST_CASE_METHOD(ArchiveFixture, "where one member cannot be put in place, none is, and nothing stays behind") {
  fs::create_directories(destination / "z");
  std::ofstream(destination / "a") << "old";
  auto outcome = unpacked({{"a", "new"}, {"b", "new"}, {"z", "a file where a folder stands"}});
  REQUIRE_FALSE(outcome.has_value());
  CHECK(outcome.error().message == "cannot put in place 'z': Is a directory");
  CHECK(content("a") == "old");
  CHECK_FALSE(fs::exists(destination / "b"));
  CHECK(std::distance(fs::directory_iterator(destination), fs::directory_iterator()) == 2);
}

TEST_CASE_METHOD(ArchiveFixture, "what an earlier run left unfinished in the destination goes with the next archive") {
  fs::create_directories(destination / ".gorgone-unpacking-0123/deep");
  std::ofstream(destination / ".gorgone-unpacking-0123/deep/file") << "x";
  REQUIRE(unpacked({{"a", "1"}}).has_value());
  CHECK_FALSE(fs::exists(destination / ".gorgone-unpacking-0123"));
  CHECK(content("a") == "1");
}

TEST_CASE_METHOD(ArchiveFixture, "folders that are there keep what else is in them, and their mode") {
  fs::create_directories(destination / "d/e");
  fs::permissions(destination / "d", fs::perms(0750));
  std::ofstream(destination / "d/e/kept") << "kept";
  REQUIRE(unpacked({{"d", "", AE_IFDIR, "", 0700}, {"d/e/new", "new"}, {"d/n/x", "x"}}).has_value());
  CHECK(content("d/e/kept") == "kept");
  CHECK(content("d/e/new") == "new");
  CHECK(content("d/n/x") == "x");
  CHECK((fs::status(destination / "d").permissions() & fs::perms::mask) == fs::perms(0750));
}
