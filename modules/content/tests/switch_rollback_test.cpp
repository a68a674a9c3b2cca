// The tree before takes its place again.
#include "switch_fixture.hpp"

using namespace gorgone;
using namespace gorgone::content;
using namespace gorgone::content::test;

namespace {

// The first push went to a folder with files of others.
struct Pushed : Prepared {
  Pushed() {
    build(staging(), present_at(scratch.at("dest")), true);
    auto what = one_step(*this);
    what.keeps_extra = true;
    REQUIRE(perform(staging(), what).has_value());
  }
};

}  // namespace

TEST_CASE("a rollback to what was there before the first push leaves the files of others as they are now") {
  const Pushed prepared;
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
  const Pushed prepared;
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
  if (is_readable) REQUIRE(prepared.staging().keep_manifest(*back.before, bytes).has_value());
  REQUIRE(perform(prepared.staging(), back).has_value());
  CHECK(prepared.is_old());
  CHECK(prepared.scratch.read("dest/late") == (is_readable ? "late" : "missing"));
  if (!is_readable) CHECK(prepared.scratch.read(".dest.gorgone/previous/late") == "late");
}
