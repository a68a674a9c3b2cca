#include "pack_ahead.hpp"

namespace gorgone::content {
namespace {

constexpr std::size_t ready_max = 3;

}  // namespace

std::optional<Result<std::string>> PackAhead::take() {
  if (ready_.empty()) return {};
  auto piece = std::move(ready_.front());
  ready_.pop_front();
  pack();
  return piece;
}

void PackAhead::pack() {
  if (is_packing_ || is_last_ || is_stopped_ || ready_.size() >= ready_max) return;
  is_packing_ = true;
  agent_.spawn(pack_one());
}

asio::awaitable<void> PackAhead::pack_one() {
  const auto self = shared_from_this();
  struct Packed {
    Result<std::string> piece = std::string();
    bool is_last = true;
  };
  auto work = [self] {
    Packed packed;
    try {
      packed.piece = self->packer_.next();
      packed.is_last = !packed.piece || self->packer_.at_end();
    } catch (const std::exception& failure) {
      packed.piece = Error{std::string("an unexpected failure: ") + failure.what()};
    }
    return packed;
  };
  auto packed = co_await agent_.blocking(work);
  is_packing_ = false;
  is_last_ = packed.is_last;
  ready_.push_back(std::move(packed.piece));
  pack();
  has_more_();
}

}  // namespace gorgone::content
