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

namespace {

// Letter by letter, with nothing that is quick.
std::string plain_decode(const std::string& text) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned bits = 0, have = 0;
  for (const char c : text) {
    if (c == '=') break;
    const auto at = alphabet.find(c);
    if (at == std::string::npos) continue;
    bits = (bits << 6 | static_cast<unsigned>(at)) & 0xffffff;
    if (++have % 4 == 2) bytes += static_cast<char>(bits >> 4);
    if (have % 4 == 3) bytes += static_cast<char>(bits >> 2);
    if (have % 4 == 0) bytes += static_cast<char>(bits);
  }
  return bytes;
}

}  // namespace

TEST_CASE("each of the 256 bytes at each place of a long base64 text is decoded, skipped or the end, as by itself") {
  for (int byte = 0; byte < 256; ++byte)
    for (std::size_t place = 0; place < 40; ++place) {
      std::string text(64, 'Q');
      text[place] = static_cast<char>(byte);
      INFO("byte " << byte << " at " << place);
      REQUIRE(base64_decode(text) == plain_decode(text));
    }
}

TEST_CASE("base64 of many kilobytes, with and without line breaks, comes back as it went in") {
  std::mt19937 random{11};
  for (std::size_t size : {1000U, 4095U, 4096U, 4097U, 100001U}) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const auto text = base64_encode(bytes);
    CHECK(plain_decode(text) == bytes);
    CHECK(base64_decode(text) == bytes);
    std::string wrapped;
    for (std::size_t at = 0; at < text.size(); at += 76) wrapped += text.substr(at, 76) + "\n";
    CHECK(base64_decode(wrapped) == bytes);
  }
}
