#include "refused_offers.hpp"

#include <algorithm>
#include <utility>

namespace gorgone::proxy {

void RefusedOffers::add(const Error& why, std::int64_t now, std::int64_t wall) {
  std::erase_if(offers_, [now](const Offer& offer) { return now >= offer.seen + told_for_s; });
  auto offer = std::find_if(offers_.begin(), offers_.end(), [&why](const Offer& known) { return known.why.code == why.code; });
  if (offer == offers_.end()) offer = offers_.insert(offers_.end(), Offer{why, 0, wall, wall, now});
  offer->why = why;
  ++offer->times;
  offer->last = wall;
  offer->seen = now;
  std::rotate(offers_.begin(), offer, std::next(offer));
}

const Error* RefusedOffers::newest(std::int64_t now) const {
  return offers_.empty() || now >= offers_.front().seen + told_for_s ? nullptr : &offers_.front().why;
}

json::array RefusedOffers::describe(std::int64_t now) const {
  json::array list;
  for (const auto& offer : offers_)
    if (now < offer.seen + told_for_s)
      list.push_back(json::object{
          {"why", offer.why.code}, {"message", offer.why.message}, {"times", offer.times}, {"first", offer.first}, {"last", offer.last}});
  return list;
}

}  // namespace gorgone::proxy
