#include "core/wire/session_cipher.hpp"

#include "core/wire/base64.hpp"
#include "vectors.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace gorgone;
using wire::Form;
using wire::SessionCipher;
using wire::SessionKey;

namespace {

SessionCipher cipher_of(const boost::json::value& vector, int padding) {
  return SessionCipher{SessionKey{test::from_hex(test::text_at(vector, "key")), test::from_hex(test::text_at(vector, "iv")), padding}};
}

SessionKey fixed_key(int padding = 1) { return {std::string(32, 'k'), std::string(16, 'i'), padding}; }

std::string frame_of_block(const std::string& block) {
  // Sealed without padding, so that the block's end is what the receiver takes for the padding.
  return SessionCipher{fixed_key(0)}.seal(block);
}

}  // namespace

TEST_CASE("texts of every length, key size and padding are sealed and opened as another implementation does") {
  const auto vectors = test::own_vectors();
  REQUIRE(vectors.at("sealed").as_array().size() == 79);
  for (const auto& vector : vectors.at("sealed").as_array()) {
    const auto cipher = cipher_of(vector, vector.at("padding").to_number<int>());
    CAPTURE(vector);
    CHECK(cipher.seal(test::text_at(vector, "plain")) == test::text_at(vector, "frame"));
    CHECK(cipher.open(test::text_at(vector, "frame")) == test::text_at(vector, "plain"));
  }
}

TEST_CASE("texts are sealed and opened as the deployed daemon's crypto library does") {
  const auto vectors = test::shared_vectors();
  if (!vectors) return;
  std::size_t seen = 0;
  for (const char* group : {"aes_256_cbc", "aes_other_keysize", "aes_256_cbc_other_padding"})
    for (const auto& vector : vectors->at(group).as_array()) {
      const auto* padding = vector.as_object().if_contains("padding");
      const auto cipher = cipher_of(vector, padding != nullptr ? padding->to_number<int>() : 1);
      CAPTURE(group, vector);
      const bool in_hex = vector.as_object().contains("plaintext_hex");
      const auto plain = in_hex ? test::from_hex(test::text_at(vector, "plaintext_hex")) : test::text_at(vector, "plaintext");
      CHECK(cipher.seal(plain) == test::text_at(vector, "base64"));
      CHECK(cipher.open(test::text_at(vector, "base64")) == plain);
      ++seen;
    }
  CHECK(seen >= 38);
}

TEST_CASE("without padding a text is filled up with spaces to a block") {
  const SessionCipher cipher{fixed_key(0)};
  CHECK(cipher.open(cipher.seal("[PING] [] [] {}")) == "[PING] [] [] {} ");
  CHECK(cipher.open(cipher.seal("")) == "");
}

TEST_CASE("one key seals a text the same way each time, and two keys in turn do not disturb each other") {
  const SessionCipher one{fixed_key()};
  const SessionCipher other{SessionKey{std::string(16, 'o'), std::string(16, 'j'), 2}};
  const auto frame = one.seal("hello");
  const auto other_frame = other.seal("hello");
  CHECK(frame != other_frame);
  CHECK(one.open(frame) == "hello");
  CHECK(other.open(other_frame) == "hello");
  CHECK(one.seal("hello") == frame);
}

TEST_CASE("a text under another key does not open") {
  // With these keys; chance lets one foreign text in 256 through, which is what parsing is for.
  const auto frame = SessionCipher{SessionKey{std::string(32, 'a'), std::string(16, 'i'), 1}}.seal("[PING] [] [] {}");
  CHECK_FALSE(SessionCipher{fixed_key()}.open(frame).has_value());
}

TEST_CASE("a frame that is no whole number of blocks does not open") {
  const SessionCipher cipher{fixed_key()};
  CHECK_FALSE(cipher.open("[GETPUBKEY]").has_value());
  CHECK_FALSE(cipher.open(base64_encode(std::string(15, 'x'))).has_value());
  CHECK_FALSE(cipher.open(base64_encode(std::string(33, 'x'))).has_value());
}

TEST_CASE("an empty frame opens only where there is no padding") {
  CHECK_FALSE(SessionCipher{fixed_key(1)}.open("").has_value());
  CHECK_FALSE(SessionCipher{fixed_key(2)}.open("").has_value());
  CHECK(SessionCipher{fixed_key(0)}.open("") == "");
}

TEST_CASE("PKCS#7 padding that is not sound is refused") {
  const SessionCipher cipher{fixed_key(1)};
  CHECK(cipher.open(frame_of_block("0123456789abcd\x02\x02")) == "0123456789abcd");
  CHECK_FALSE(cipher.open(frame_of_block("0123456789abcd\x01\x02")).has_value());
  CHECK_FALSE(cipher.open(frame_of_block("0123456789abcde\x11")).has_value());
  CHECK_FALSE(cipher.open(frame_of_block(std::string(15, 'x') + '\0')).has_value());
}

TEST_CASE("padding of a bit and zeroes that is not sound is refused") {
  const SessionCipher cipher{fixed_key(2)};
  CHECK(cipher.open(frame_of_block(std::string("0123456789abc\x80\0\0", 16))) == "0123456789abc");
  CHECK_FALSE(cipher.open(frame_of_block("0123456789abcdef")).has_value());
  CHECK_FALSE(cipher.open(frame_of_block(std::string(16, '\0'))).has_value());
}

TEST_CASE("a wrapped frame opens") {
  const SessionCipher cipher{fixed_key()};
  auto frame = cipher.seal(std::string(100, 'x'));
  frame.insert(76, "\r\n");
  CHECK(cipher.open(frame) == std::string(100, 'x'));
}

TEST_CASE("a raw frame is the bytes themselves, padded in one way whatever the session's padding is") {
  for (const int padding : {0, 1, 2}) {
    const SessionCipher cipher{fixed_key(padding)};
    std::string plain = "[CONTENTDATA] [t] [2] ";
    for (int i = 0; i < 1000; ++i) plain += static_cast<char>(i);
    const auto frame = cipher.seal(plain, Form::raw);
    CHECK(frame.front() == '\1');
    CHECK(frame.size() == 1 + (plain.size() / 16 + 1) * 16);
    CHECK(cipher.open(frame) == plain);
    CHECK_FALSE(cipher.open(frame.substr(0, frame.size() - 1)).has_value());
  }
  CHECK_FALSE(SessionCipher{fixed_key(0)}.open("\1").has_value());
}

TEST_CASE("a drawn key has the size asked for and is another each time") {
  for (const int size : {16, 24, 32}) {
    const auto key = SessionKey::draw(size, 1);
    REQUIRE(key.has_value());
    CHECK(key->key.size() == static_cast<std::size_t>(size));
    CHECK(key->iv.size() == 16);
    CHECK_FALSE(*SessionKey::draw(size, 1) == *key);
  }
}

TEST_CASE("a key size or padding that AES cannot do is refused with the configuration key's name") {
  CHECK(SessionKey::draw(20, 1).error().message == "external_com_keysize: got 20, expected 16, 24 or 32 bytes (default 32)");
  CHECK(SessionKey::draw(32, 3).error().message == "external_com_padding: got 3, expected 0, 1 or 2 (default 1)");
}

TEST_CASE("a key that a peer gave in a wrong size is told before it is used") {
  CHECK_FALSE(fixed_key().problem().has_value());
  CHECK(SessionKey{"short", std::string(16, 'i'), 1}.problem()->message == "session key: got 5 bytes, expected 16, 24 or 32");
  CHECK(SessionKey{std::string(32, 'k'), "", 1}.problem()->message == "session iv: got 0 bytes, expected 16");
  CHECK(fixed_key(9).problem()->message == "session padding: got 9, expected 0, 1 or 2");
  const SessionKey wrong{"short", "", 1};
  CHECK_THROWS_AS(SessionCipher{wrong}, std::invalid_argument);
}

TEST_CASE("threads that seal and open with the same cipher at once do not disturb each other") {
  const SessionCipher cipher{fixed_key()};
  std::vector<int> good(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < good.size(); ++t)
    threads.emplace_back([&, t] {
      const std::string text(100 + t, static_cast<char>('a' + t));
      for (int i = 0; i < 500; ++i) good[t] += cipher.open(cipher.seal(text)) == text ? 1 : 0;
    });
  for (auto& thread : threads) thread.join();
  CHECK(good == std::vector<int>(4, 500));
}
