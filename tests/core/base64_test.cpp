#include <gorgone/base64.hpp>

#include <catch2/catch.hpp>

#include <random>
#include <string>

using gorgone::base64_decode;
using gorgone::base64_encode;

TEST_CASE("base64 of each length of the last group is that of RFC 4648") {
  CHECK(base64_encode("") == "");
  CHECK(base64_encode("f") == "Zg==");
  CHECK(base64_encode("fo") == "Zm8=");
  CHECK(base64_encode("foo") == "Zm9v");
  CHECK(base64_encode("foob") == "Zm9vYg==");
  CHECK(base64_encode("fooba") == "Zm9vYmE=");
  CHECK(base64_encode("foobar") == "Zm9vYmFy");
  CHECK(base64_encode("\xfb\xff\xbf") == "+/+/");
}

TEST_CASE("base64 of a long text stays in one line") { CHECK(base64_encode(std::string(10000, 'x')).find('\n') == std::string::npos); }

TEST_CASE("any bytes come back from base64 as they went in") {
  std::mt19937 random{7};
  for (std::size_t size = 0; size < 300; ++size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    CHECK(base64_decode(base64_encode(bytes)) == bytes);
  }
}

TEST_CASE("wrapped base64 and base64 with characters outside the alphabet is decoded as if they were not there") {
  CHECK(base64_decode("Zm9v\r\nYmFy\r\n") == "foobar");
  CHECK(base64_decode(" Z m9-v_Y\tmF\xc3\xa9y") == "foobar");
}

TEST_CASE("a '=' ends base64, whatever follows") {
  CHECK(base64_decode("Zg==Zm9v") == "f");
  CHECK(base64_decode("Zm8=Zm9v") == "fo");
  CHECK(base64_decode("Zm9v=Zm9v") == "foo");
  CHECK(base64_decode("Z===") == "");
  CHECK(base64_decode("=Zm9v") == "");
}

TEST_CASE("base64 without its padding gives the bytes it has") {
  CHECK(base64_decode("Zg") == "f");
  CHECK(base64_decode("Zm8") == "fo");
  CHECK(base64_decode("Zm9vY") == "foo");
  CHECK(base64_decode("") == "");
}
