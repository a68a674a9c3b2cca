#include "refused_offers.hpp"

#include <catch2/catch.hpp>

#include <gorgone/link.hpp>

using namespace gorgone;
using proxy::RefusedOffers;

namespace {

const Error wrong_token{"a wrong token", down::handshake}, other_secret{"another secret", down::key_changed};

std::string told(const RefusedOffers& offers, std::int64_t now) { return to_text(json::value(offers.describe(now))); }

}  // namespace

TEST_CASE("refused offers are told by kind, the newest first, with how often and since when") {
  RefusedOffers offers;
  CHECK(offers.newest(0) == nullptr);
  CHECK(told(offers, 0) == "[]");
  offers.add(other_secret, 10, 1010);
  offers.add(wrong_token, 20, 1020);
  offers.add(Error{"yet another secret", down::key_changed}, 30, 1030);
  REQUIRE(offers.newest(30));
  CHECK(offers.newest(30)->message == "yet another secret");
  CHECK(told(offers, 30) == R"([{"why":"key_changed","message":"yet another secret","times":2,"first":1010,"last":1030},)"
                            R"({"why":"handshake_refused","message":"a wrong token","times":1,"first":1020,"last":1020}])");
  offers.clear();
  CHECK(told(offers, 30) == "[]");
}

TEST_CASE("a refused offer that does not come again is told for ten minutes") {
  RefusedOffers offers;
  offers.add(other_secret, 0, 1000);
  offers.add(wrong_token, 300, 1300);
  CHECK(offers.describe(599).size() == 2);
  CHECK(offers.describe(600).size() == 1);
  REQUIRE(offers.newest(899));
  CHECK(offers.newest(899)->code == down::handshake);
  CHECK(offers.newest(900) == nullptr);
  CHECK(told(offers, 900) == "[]");
  // What comes after that counts from there.
  offers.add(wrong_token, 1000, 2000);
  CHECK(told(offers, 1000) == R"([{"why":"handshake_refused","message":"a wrong token","times":1,"first":2000,"last":2000}])");
}
