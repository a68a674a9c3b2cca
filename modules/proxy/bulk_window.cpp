#include "bulk_window.hpp"

#include <algorithm>

namespace gorgone::proxy {
namespace {

using namespace std::chrono_literals;

// What a command may wait behind bulk, and what is too much.
constexpr auto little = 20ms, much = 60ms;
constexpr std::size_t growth_max = 8;
// What is small is no measure of the way of what is large.
constexpr std::size_t small = std::size_t{64} << 10;

}  // namespace

void BulkWindow::answered(std::size_t size, Duration took) {
  if (size < std::min(small, least_ / 4)) return;
  fastest_ = fastest_ ? std::min(*fastest_, took) : took;
  const auto waited = took - *fastest_;
  if (waited < little) bytes_ = std::min(bytes_ + size, growth_max * least_);
  if (waited > much) bytes_ = std::max(bytes_ / 2, least_);
}

}  // namespace gorgone::proxy
