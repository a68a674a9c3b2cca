#include "pack_ahead.hpp"

#include <catch2/catch.hpp>

#include "scanner.hpp"
#include "scratch.hpp"
#include "support/loop_agent.hpp"

using namespace gorgone;
using namespace gorgone::content;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t count = 6;

// A file of six pieces, each of another letter.
struct Source {
  content::test::Scratch scratch;
  gorgone::test::LoopAgent agent;
  std::string content;
  std::shared_ptr<PackAhead> pieces;
  int rung = 0;

  Source() {
    for (std::size_t i = 0; i < count; ++i) content += std::string(piece_bytes, static_cast<char>('a' + i));
    scratch.write("source", content);
    Scanner scanner(scratch.at("source"), TreeIndex(), true);
    REQUIRE(scanner.list().has_value());
    while (!*scanner.hash_for(50ms)) continue;
    const auto manifest = std::make_shared<const Manifest>(manifest_of(scanner.found(), {}, false));
    pieces = std::make_shared<PackAhead>(agent, Packer(scratch.at("source"), manifest, manifest->blobs(), {0}, 0), [this] { ++rung; });
  }
  // Until nothing is packed any more.
  void settle() {
    do agent.run_for(5ms);
    while (pieces->is_packing());
  }
};

}  // namespace

TEST_CASE("pieces are packed ahead in their order, a few at most, and each that is taken makes room for the next") {
  Source source;
  CHECK_FALSE(source.pieces->take());
  source.pieces->pack();
  source.settle();
  CHECK(source.rung == 3);
  std::string got;
  for (std::size_t i = 0; i < count; ++i) {
    CHECK_FALSE(source.pieces->at_end());
    const auto piece = source.pieces->take();
    REQUIRE(piece);
    REQUIRE(piece->has_value());
    const auto bytes = decompress(**piece, piece_bytes_max);
    REQUIRE(bytes.has_value());
    const auto records = read_piece(*bytes);
    REQUIRE(records.has_value());
    for (const auto& record : *records) got += record.bytes;
    source.settle();
  }
  CHECK(source.pieces->at_end());
  CHECK_FALSE(source.pieces->take());
  CHECK(source.rung == count);
  const bool is_same = got == source.content;
  CHECK(is_same);
}

TEST_CASE("nothing is packed after a stop") {
  Source source;
  source.pieces->pack();
  source.pieces->stop();
  source.settle();
  CHECK(source.rung == 1);
  CHECK(source.pieces->take());
  source.settle();
  CHECK(source.rung == 1);
  CHECK_FALSE(source.pieces->take());
}

TEST_CASE("a source that is another meanwhile is told in the place of its piece, and nothing follows") {
  Source source;
  source.scratch.write("source", "short");
  source.pieces->pack();
  source.settle();
  const auto piece = source.pieces->take();
  REQUIRE(piece);
  REQUIRE_FALSE(piece->has_value());
  CHECK(piece->error().code == "changed");
  CHECK(source.pieces->at_end());
}
