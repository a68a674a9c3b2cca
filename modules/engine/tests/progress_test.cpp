#include "progress_file.hpp"

#include <catch2/catch.hpp>

#include <stdlib.h>

#include <filesystem>

using namespace gorgone::engine;

namespace {

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "gorgone-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("how far a request has come is known to the next process") {
  Folder folder;
  {
    auto file = ProgressFile::open(folder.path / "p");
    REQUIRE(file.has_value());
    auto* slot = (*file)->take("one");
    slot->in_doubt(1, 3);
    slot->about_to(7);
    slot->written(5);
  }
  auto file = ProgressFile::open(folder.path / "p");
  auto* slot = (*file)->take("one");
  CHECK(slot->written() == 5);
  CHECK(slot->about_to() == 7);
  CHECK(slot->doubt_begin() == 1);
  CHECK(slot->doubt_end() == 3);
  CHECK((*file)->take("two")->written() == 0);
}

TEST_CASE("what was taken longest ago and is not in use makes room") {
  Folder folder;
  auto file = ProgressFile::open(folder.path / "p");
  auto* first = (*file)->take("first");
  for (int number = 0; number < 200; ++number) {
    auto* slot = (*file)->take(std::to_string(number));
    REQUIRE(slot != nullptr);
    CHECK(slot != first);
    slot->written(1);
    (*file)->leave(slot);
  }
  CHECK((*file)->take("199")->written() == 1);
  CHECK((*file)->take("0")->written() == 0);
}

TEST_CASE("a folder that is missing is an error that names the file") {
  auto file = ProgressFile::open("/nonexistent/engine.progress");
  REQUIRE(!file.has_value());
  CHECK(file.error().message.find("/nonexistent/engine.progress") != std::string::npos);
}
