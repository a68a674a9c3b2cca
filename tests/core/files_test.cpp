#include <gorgone/files.hpp>

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace fs = std::filesystem;

TEST_CASE("a tree is removed whatever its own folders' modes are, and nothing that a link in it leads to") {
  const bool is_root = ::geteuid() == 0;
  if (is_root) REQUIRE(::seteuid(65534) == 0);
  std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
  const fs::path folder = ::mkdtemp(name.data());
  fs::create_directories(folder / "tree/closed/deeper");
  fs::create_directories(folder / "tree/hidden");
  fs::create_directories(folder / "other");
  for (const auto* file : {"tree/file", "tree/closed/deeper/file", "tree/hidden/file", "other/file"}) std::ofstream(folder / file) << "x";
  fs::create_directory_symlink(folder / "other", folder / "tree/closed/link");
  fs::permissions(folder / "tree/closed", fs::perms(0555));
  fs::permissions(folder / "tree/hidden", fs::perms::none);
  fs::permissions(folder / "other", fs::perms(0755));
  gorgone::remove_tree(AT_FDCWD, folder / "tree");
  CHECK_FALSE(fs::exists(folder / "tree"));
  CHECK(fs::exists(folder / "other/file"));
  CHECK((fs::status(folder / "other").permissions() & fs::perms(0777)) == fs::perms(0755));
  gorgone::remove_tree(AT_FDCWD, folder / "missing");
  gorgone::remove_tree(AT_FDCWD, folder);
  CHECK_FALSE(fs::exists(folder));
  if (is_root) REQUIRE(::seteuid(0) == 0);
}
