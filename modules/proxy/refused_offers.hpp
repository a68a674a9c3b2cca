#pragma once
// Who said that he is a node that connects to us, and was not let in. It may be the node itself or anybody, so it is kept beside what is
// known of the node, by kind (a wrong token, another secret), and for a while only. Pure; times are seconds.

#include <gorgone/json.hpp>
#include <gorgone/result.hpp>

#include <cstdint>
#include <vector>

namespace gorgone::proxy {

class RefusedOffers {
 public:
  /// A daemon that is refused tries again within a minute.
  static constexpr std::int64_t told_for_s = 600;

  /// `now` is of a steady clock, `wall` is told.
  void add(const Error& why, std::int64_t now, std::int64_t wall);
  void clear() { offers_.clear(); }
  /// Why the newest one was refused; nullptr where there was none lately.
  const Error* newest(std::int64_t now) const;
  /// For CONSTATUS, the newest first.
  json::array describe(std::int64_t now) const;

 private:
  struct Offer {
    Error why;
    std::int64_t times = 0, first = 0, last = 0;  // times of day
    std::int64_t seen = 0;
  };
  std::vector<Offer> offers_;  // one for each kind, the newest first
};

}  // namespace gorgone::proxy
