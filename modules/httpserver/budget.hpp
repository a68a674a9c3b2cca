#pragma once
// Memory that all connections share: what they hold of bodies that come and of answers that wait for their reader. A little of each is
// free, so that those who hold much keep nobody from an ordinary request. Pure; on the loop.

#include <cstdint>

namespace gorgone::httpserver {

class Budget {
 public:
  static constexpr std::uint64_t free_bytes = 64 * 1024;
  explicit Budget(std::uint64_t most) : most_(most) {}

  /// What one connection holds; given back at its end. The budget outlives it.
  class Share {
   public:
    explicit Share(Budget& budget) : budget_(budget) {}
    ~Share() { hold(0); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    /// Holds so much from now on, in place of what it held; false, and as before, where there is no room for it.
    bool hold(std::uint64_t bytes) {
      const auto counted = bytes > free_bytes ? bytes - free_bytes : 0;
      if (counted > held_ && budget_.held_ + (counted - held_) > budget_.most_) return false;
      budget_.held_ = budget_.held_ - held_ + counted;
      held_ = counted;
      return true;
    }

   private:
    Budget& budget_;
    std::uint64_t held_ = 0;
  };

  std::uint64_t held() const { return held_; }

 private:
  const std::uint64_t most_;
  std::uint64_t held_ = 0;
};

}  // namespace gorgone::httpserver
