#include "core/wire/rsa.hpp"

#include "core/wire/base64.hpp"
#include "vectors.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <thread>
#include <vector>

using namespace gorgone;
using wire::RsaPrivateKey;
using wire::RsaPublicKey;

namespace {

std::string relabelled(std::string pem, const std::string& label) {
  for (const std::string mark : {"-----BEGIN ", "-----END "}) {
    const auto start = pem.find(mark) + mark.size();
    pem.replace(start, pem.find("-----", start) - start, label);
  }
  return pem;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) text.replace(at, what.size(), with);
  return text;
}

std::string der(char tag, const std::string& content) {
  const auto size = content.size();
  return std::string{tag, '\x82', static_cast<char>(size >> 8U), static_cast<char>(size)} + content;
}

/// A DSA key in PKCS#8, made up. Its decoding as a private key raises `content` to a power of that size, modulo one of that size.
std::string dsa_private_key(const std::string& label, std::size_t size) {
  const std::string number = "\x7f" + std::string(size, '\xff');
  const std::string kind("\x06\x07\x2a\x86\x48\xce\x38\x04\x01");
  const auto small = der('\x02', "\x03");
  const auto parameters = der('\x30', der('\x02', number) + der('\x02', "\x7f" + std::string(31, '\xff')) + small);
  const auto secret = der('\x02', "\x3f" + std::string(size, '\xff'));
  const auto key = der('\x30', der('\x02', std::string(1, '\0')) + der('\x30', kind + parameters) + der('\x04', secret));
  return "-----BEGIN " + label + "-----\n" + wire::base64_encode(key) + "\n-----END " + label + "-----\n";
}

boost::json::value first_key() { return test::own_vectors().at("keys").at(0); }

RsaPrivateKey first_private_key() { return RsaPrivateKey::from_pem(test::text_at(first_key(), "pkcs1_private")).value(); }

}  // namespace

TEST_CASE("a public key reads as PKCS#1 and SPKI under any label, and its thumbprint is that of RFC 7638") {
  const auto vectors = test::own_vectors();
  for (const auto& key : vectors.at("keys").as_array())
    for (const char* form : {"spki", "pkcs1_public"})
      for (const char* label : {"PUBLIC KEY", "RSA PUBLIC KEY", "SOME KEY"}) {
        CAPTURE(form, label);
        const auto read = RsaPublicKey::from_pem(relabelled(test::text_at(key, form), label));
        REQUIRE(read.has_value());
        CHECK(read->thumbprint() == test::text_at(key, "thumbprint"));
        CHECK(read->bits() == key.at("bits").to_number<int>());
        CHECK(read->pem() == test::text_at(key, "spki"));
      }
}

TEST_CASE("a private key reads as PKCS#1 and PKCS#8 under any label, and is written as PKCS#1") {
  const auto vectors = test::own_vectors();
  for (const auto& key : vectors.at("keys").as_array())
    for (const char* form : {"pkcs1_private", "pkcs8_private"})
      for (const char* label : {"PRIVATE KEY", "RSA PRIVATE KEY", "SOME KEY"}) {
        CAPTURE(form, label);
        const auto read = RsaPrivateKey::from_pem(relabelled(test::text_at(key, form), label));
        REQUIRE(read.has_value());
        CHECK(read->pem() == test::text_at(key, "pkcs1_private"));
        CHECK(read->bits() == key.at("bits").to_number<int>());
        CHECK(read->public_key().thumbprint() == test::text_at(key, "thumbprint"));
      }
}

TEST_CASE("PEM text reads with other line ends, other widths, indented, and with text and other blocks around it") {
  const auto pem = test::text_at(first_key(), "spki");
  const std::string certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const auto one_line = replaced(replaced(replaced(pem, "\n", ""), "KEY-----M", "KEY-----\nM"), "-----END", "\n-----END");
  for (const auto& text : {replaced(pem, "\n", "\r\n"), replaced(pem, "\n", "\n    "), one_line, replaced(pem, "\n", ""),
                           "of node 2:\n" + certificate + pem + "end"}) {
    CAPTURE(text);
    const auto read = RsaPublicKey::from_pem(text);
    REQUIRE(read.has_value());
    CHECK(read->thumbprint() == test::text_at(first_key(), "thumbprint"));
  }
}

TEST_CASE("an encrypted private key opens with its passphrase and with no other") {
  const auto encrypted = test::own_vectors().at("encrypted");
  for (const char* form : {"pkcs1", "pkcs8"}) {
    CAPTURE(form);
    const auto pem = test::text_at(encrypted, form);
    const auto read = RsaPrivateKey::from_pem(pem, test::text_at(encrypted, "passphrase"));
    REQUIRE(read.has_value());
    CHECK(read->public_key().thumbprint() == test::text_at(first_key(), "thumbprint"));
    CHECK(RsaPrivateKey::from_pem(pem).error().message == "no RSA private key: it is encrypted and there is no passphrase for it");
    CHECK(RsaPrivateKey::from_pem(pem, "wrong").error().message ==
          "no RSA private key: it is encrypted and the passphrase does not open it");
  }
}

TEST_CASE("a public key that is unfit for the handshake is refused with the reason") {
  const auto vectors = test::own_vectors();
  for (const auto& [reason, pem] : vectors.at("refused_public").as_object()) {
    const auto read = RsaPublicKey::from_pem(std::string{pem.as_string()});
    REQUIRE(read.has_error());
    CHECK(read.error().message == "no RSA public key: " + std::string{reason});
  }
  const auto even = RsaPublicKey::from_pem(test::text_at(vectors, "refused_even_exponent"));
  REQUIRE(even.has_error());
  CHECK(even.error().message == "no RSA public key: its exponent is not an odd number above 1");
}

TEST_CASE("a private key that is unfit for the handshake is refused with the reason") {
  const auto vectors = test::own_vectors();
  for (const auto& [reason, pem] : vectors.at("refused_private").as_object()) {
    const auto read = RsaPrivateKey::from_pem(std::string{pem.as_string()});
    REQUIRE(read.has_error());
    CHECK(read.error().message == "no RSA private key: " + std::string{reason});
  }
}

TEST_CASE("text that holds no key is refused with what it holds") {
  const auto refusal = [](const std::string& text) { return RsaPublicKey::from_pem(text).error().message; };
  CHECK(refusal("") == "no RSA public key: there is nothing in it");
  CHECK(refusal("ssh-rsa AAAA") == "no RSA public key: it has no \"-----BEGIN … KEY-----\" line (PEM text is expected)");
  CHECK(refusal("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----") == "no RSA public key: it holds a CERTIFICATE and no key");
  CHECK(refusal("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----") ==
        "no RSA public key: what its PUBLIC KEY block holds is neither PKCS#1 nor SPKI");
  CHECK(refusal(test::text_at(first_key(), "pkcs8_private")) == "no RSA public key: it is a private key");
  const auto pem = test::text_at(first_key(), "spki");
  CHECK(refusal(pem.substr(0, pem.size() / 2)) == "no RSA public key: its \"-----END …-----\" line is missing, it was cut short");
  CHECK(RsaPrivateKey::from_pem(pem).error().message == "no RSA private key: it is a public key");
}

// 2048 bits took milliseconds, each doubling eight times as long.
TEST_CASE("a peer's key is not decoded as a private one to word its refusal") {
  for (const std::size_t size : {256U, 18000U}) {
    const auto hidden = RsaPublicKey::from_pem(dsa_private_key("PUBLIC KEY", size));
    REQUIRE(hidden.has_error());
    CHECK(hidden.error().message == "no RSA public key: what its PUBLIC KEY block holds is neither PKCS#1 nor SPKI");
    const auto named = RsaPublicKey::from_pem(dsa_private_key("PRIVATE KEY", size));
    REQUIRE(named.has_error());
    CHECK(named.error().message == "no RSA public key: it is a private key");
  }
  // What is tested is a key: for a file of this machine it is read.
  CHECK(RsaPrivateKey::from_pem(dsa_private_key("PRIVATE KEY", 256)).error().message == "no RSA private key: it is of the kind DSA");
}

TEST_CASE("a peer's PEM label reaches a message without its control characters") {
  const auto read = RsaPublicKey::from_pem("-----BEGIN \x1b[2J\n KEY-----\nAAAA\n-----END KEY-----");
  REQUIRE(read.has_error());
  CHECK(read.error().message == "no RSA public key: what its ?[2J? KEY block holds is neither PKCS#1 nor SPKI");
}

TEST_CASE("HELO and KEY frames of another implementation are decrypted") {
  const auto vectors = test::own_vectors();
  const auto& handshake = vectors.at("handshake");
  const auto client = RsaPrivateKey::from_pem(test::text_at(vectors.at("keys").at(0), "pkcs1_private"));
  const auto server = RsaPrivateKey::from_pem(test::text_at(vectors.at("keys").at(1), "pkcs1_private"));
  REQUIRE(client.has_value());
  REQUIRE(server.has_value());
  CHECK(server->decrypt(base64_decode(test::text_at(handshake, "helo"))).value() == "HELO");
  CHECK(client->decrypt(base64_decode(test::text_at(handshake, "key_frame"))).value() == test::text_at(handshake, "key_text"));
}

TEST_CASE("the fleet's keys, thumbprints, HELO and KEY frames are read as the deployed daemon's crypto library does") {
  const auto vectors = test::shared_vectors();
  if (!vectors) return;
  for (const auto& key : vectors->at("keys").as_array()) {
    for (const char* form : {"public", "public_x509"}) {
      CAPTURE(form);
      const auto read = RsaPublicKey::from_pem(test::text_at(key, form));
      REQUIRE(read.has_value());
      CHECK(read->thumbprint() == test::text_at(key, "jwk_thumbprint_sha256"));
      CHECK(read->bits() == key.at("bits").to_number<int>());
    }
    const auto whole = RsaPrivateKey::from_pem(test::text_at(key, "private"));
    REQUIRE(whole.has_value());
    CHECK(whole->public_key().thumbprint() == test::text_at(key, "jwk_thumbprint_sha256"));
  }
  const auto& handshake = vectors->at("handshake");
  const auto client = RsaPrivateKey::from_pem(test::text_at(vectors->at("keys").at(0), "private")).value();
  const auto server = RsaPrivateKey::from_pem(test::text_at(vectors->at("keys").at(1), "private")).value();
  CHECK(client.decrypt(base64_decode(test::text_at(handshake, "key_frame"))).value() == test::text_at(handshake, "key_response_plaintext"));

  const auto helo = test::text_at(handshake, "helo_message");
  const auto sealed = helo.substr(helo.rfind('[') + 1);
  CHECK(server.decrypt(base64_decode(sealed)).value() == test::text_at(handshake, "helo_plaintext"));
  const auto pem_start = helo.find("] [") + 3;
  const auto sent_key = RsaPublicKey::from_pem(base64_decode(helo.substr(pem_start, helo.find(']', pem_start) - pem_start)));
  REQUIRE(sent_key.has_value());
  CHECK(*sent_key == client.public_key());
}

TEST_CASE("what is encrypted for a key is decrypted by it, in another frame each time") {
  const auto key = first_private_key();
  const auto frame = key.public_key().encrypt("HELO").value();
  CHECK(frame.size() == 256);
  CHECK(key.public_key().encrypt("HELO").value() != frame);
  CHECK(key.decrypt(frame).value() == "HELO");
  CHECK(key.decrypt(key.public_key().encrypt("").value()).value().empty());
}

TEST_CASE("a key encrypts as many bytes as PKCS#1 leaves room for, and says so of more") {
  const auto key = first_private_key();
  const auto full = key.public_key().encrypt(std::string(245, 'x'));
  REQUIRE(full.has_value());
  CHECK(key.decrypt(*full).value() == std::string(245, 'x'));
  CHECK(key.public_key().encrypt(std::string(246, 'x')).error().message == "a 2048-bit RSA key encrypts 245 bytes at most, got 246");
}

TEST_CASE("whatever cannot be decrypted is told in the same words") {
  const auto key = first_private_key();
  const auto other = RsaPrivateKey::generate(2048).value();
  const auto frame = key.public_key().encrypt("HELO").value();
  for (const auto& wrong : {std::string{}, std::string{"short"}, frame.substr(1), frame + "x", std::string(256, '\xff'),
                            other.public_key().encrypt("x").value()}) {
    const auto plain = key.decrypt(wrong);
    REQUIRE(plain.has_error());
    CHECK(plain.error() == Error{"it cannot be decrypted with this RSA key"});
  }
  CHECK(key.decrypt(frame).value() == "HELO");
}

TEST_CASE("keys are equal when their numbers are, in whatever form they came") {
  const auto key = first_key();
  const auto spki = RsaPublicKey::from_pem(test::text_at(key, "spki")).value();
  CHECK(spki == RsaPublicKey::from_pem(test::text_at(key, "pkcs1_public")).value());
  CHECK_FALSE(spki == RsaPublicKey::from_pem(test::text_at(test::own_vectors().at("keys").at(1), "spki")).value());
}

TEST_CASE("a public key taken from a private one holds nothing of its private half") {
  CHECK(RsaPrivateKey::from_pem(first_private_key().public_key().pem()).has_error());
  CHECK(first_private_key().public_key().pem() == test::text_at(first_key(), "spki"));
}

TEST_CASE("a key size out of range is refused before a key is drawn") {
  CHECK(RsaPrivateKey::generate(512).error().message == "RSA key size: got 512, expected 1024 to 16384 bits (default 2048)");
  CHECK(RsaPrivateKey::generate(16385).has_error());
}

TEST_CASE("threads that use copies of one key at once do not disturb each other") {
  const auto key = first_private_key();
  std::vector<int> good(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < good.size(); ++t)
    threads.emplace_back([key, &mine = good[t]] {
      for (int i = 0; i < 20; ++i) mine += key.decrypt(key.public_key().encrypt("HELO").value()).value() == "HELO" ? 1 : 0;
    });
  for (auto& thread : threads) thread.join();
  CHECK(good == std::vector<int>(4, 20));
}
