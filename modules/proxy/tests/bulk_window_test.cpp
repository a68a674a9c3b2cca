#include "bulk_window.hpp"

#include <catch2/catch.hpp>

using namespace std::chrono_literals;
using gorgone::proxy::BulkWindow;

namespace {

constexpr std::size_t least = 1000, piece = 500;

BulkWindow window_after(std::initializer_list<std::chrono::milliseconds> answers) {
  BulkWindow window(least);
  for (const auto took : answers) window.answered(piece, took);
  return window;
}

}  // namespace

TEST_CASE("the window of bulk grows while answers come as fast as the fastest, up to a bound") {
  CHECK(BulkWindow(least).bytes() == least);
  CHECK(window_after({2ms, 3ms}).bytes() == least + 2 * piece);
  BulkWindow window(least);
  for (int i = 0; i < 100; ++i) window.answered(piece, 2ms);
  CHECK(window.bytes() == 8 * least);
}

TEST_CASE("a long way is no queue: what counts is how much later an answer comes than the fastest did") {
  CHECK(window_after({300ms, 310ms}).bytes() == least + 2 * piece);
  CHECK(window_after({300ms, 340ms}).bytes() == least + piece);
}

TEST_CASE("the window of bulk shrinks where answers come late, to what it began with") {
  CHECK(window_after({2ms, 2ms, 2ms, 2ms, 100ms}).bytes() == 1500);
  CHECK(window_after({2ms, 100ms, 100ms, 100ms}).bytes() == least);
}

TEST_CASE("what is small is no measure of the way of what is large") {
  BulkWindow window(least);
  window.answered(10, 1ms);
  CHECK(window.bytes() == least);
  window.answered(piece, 40ms);
  CHECK(window.bytes() == least + piece);
}

TEST_CASE("another connection begins with a small window") {
  auto window = window_after({2ms, 2ms, 2ms});
  window.reset();
  CHECK(window.bytes() == least);
  window.answered(piece, 500ms);
  CHECK(window.bytes() == least + piece);
}
