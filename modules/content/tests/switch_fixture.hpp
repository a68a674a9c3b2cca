#pragma once
// A destination with an old tree, and what a push makes of another one, for the tests of what puts it in place.

#include "swap.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "blobs.hpp"
#include "scratch.hpp"

namespace gorgone::content::test {

inline Present present_at(const std::string& root) {
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

  void build(const Staging& staging, Present&& present, bool keeps_extra, bool links_unchanged = false) const {
    build(staging, present, keeps_extra, links_unchanged);
  }

  void build(const Staging& staging, Present& present, bool keeps_extra, bool links_unchanged = false) const {
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

inline Switch one_step(const Prepared& prepared) {
  Switch what;
  what.now = prepared.hash();
  what.keeps_extra = false;
  return what;
}

inline Switch by_files(const Prepared& prepared, const Staging& staging, const Present& present) {
  auto what = one_step(prepared);
  what.in_one_step = false;
  const auto staged = present_at(staging.path("tree"));
  what.steps = steps_between(staged, present, [](const Found&) { return true; });
  return what;
}

// As a crash leaves it after so many steps.
inline void interrupt_after(const Prepared& prepared, const Staging& staging, std::size_t taken) {
  auto present = present_at(prepared.scratch.at("dest"));
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

}  // namespace gorgone::content::test
