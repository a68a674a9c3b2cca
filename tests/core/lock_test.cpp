#include "core/journal/lock.hpp"

#include "journal_fixture.hpp"

using namespace gorgone;
using gorgone::journal_test::Directory;

// A folder in the place of the lock file can be opened for reading alone, by root too, as another user's file by others.
TEST_CASE("a lock file that can only be read keeps a second daemon off as well") {
  const Directory directory;
  std::filesystem::create_directory(directory.file("history.sdb.lock"));
  CHECK(lock_database(directory.file()).has_value());
  const auto second = lock_database(directory.file());
  REQUIRE(second.has_error());
  CHECK(second.error().message == "gorgonecore.gorgone_db_name: " + directory.file() +
                                      " is in use by another gorgoned, pid unknown; each daemon needs a database of its own");
}

TEST_CASE("without a lock file nothing is locked, and the daemon starts") {
  const Directory directory;
  CHECK(lock_database(directory.file("absent/history.sdb")).has_value());
  std::filesystem::create_symlink("history.sdb.lock", directory.file("history.sdb.lock"));
  CHECK(lock_database(directory.file()).has_value());
}
