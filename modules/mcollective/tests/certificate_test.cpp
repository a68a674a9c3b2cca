#include "certificate.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include <sys/stat.h>

#include "authority.hpp"
#include "keys.hpp"
#include "scratch_directory.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;

namespace {

std::string new_key() { return to_z85(new_key_pair().public_key); }

Authorities trusting(const Authority& authority) { return {{authority.thumbprint(), authority.public_key}}; }

Certificate certificate_for(const std::string& key) {
  Certificate out;
  out.serial = new_serial();
  out.key = key;
  out.identity = "web*";
  out.topics = {Patterns{"* reply **", "mcollective puppet"}, Patterns{"* nodes %i"}};
  out.not_before_s = 1'800'000'000;
  out.not_after_s = 1'800'086'400;
  return out;
}

std::string why_not(const Result<Certificate>& read) { return read ? std::string("it is taken") : read.error().message; }

std::string replaced(std::string text, const std::string& old, const std::string& by) {
  const auto at = text.find(old);
  REQUIRE(at != std::string::npos);
  return text.replace(at, old.size(), by);
}

}  // namespace

TEST_CASE("a certificate that was signed says to its reader what it was made of", "[certificate]") {
  const auto authority = new_authority();
  const auto made = certificate_for(new_key());
  const auto text = sign(made, authority);
  REQUIRE(text.has_value());
  const auto read = read_certificate(*text, trusting(authority));
  REQUIRE(read.has_value());
  CHECK(read->serial == made.serial);
  CHECK(read->key == made.key);
  CHECK(read->identity == "web*");
  CHECK(*read->topics.publish == *made.topics.publish);
  CHECK(*read->topics.subscribe == *made.topics.subscribe);
  CHECK(read->not_before_s == made.not_before_s);
  CHECK(read->not_after_s == made.not_after_s);
  CHECK(read->issuer == authority.thumbprint());
}

TEST_CASE("saying nothing of a direction and allowing nothing in it are two things", "[certificate]") {
  const auto authority = new_authority();
  auto made = certificate_for(new_key());
  made.topics = {std::nullopt, Patterns{}};
  const auto read = read_certificate(*sign(made, authority), trusting(authority));
  REQUIRE(read.has_value());
  CHECK_FALSE(read->topics.publish.has_value());
  REQUIRE(read->topics.subscribe.has_value());
  CHECK(read->topics.subscribe->empty());
}

TEST_CASE("any changed byte of a certificate makes it worthless", "[certificate]") {
  const auto authority = new_authority();
  const auto text = *sign(certificate_for(new_key()), authority);
  const auto trusted = trusting(authority);
  std::size_t taken = 0;
  for (std::size_t at = 0; at + 1 < text.size(); ++at) {
    auto changed = text;
    changed[at] = changed[at] == 'a' ? 'b' : 'a';
    if (read_certificate(changed, trusted)) ++taken;
  }
  CHECK(taken == 0);
  CHECK(read_certificate(text, trusted).has_value());
}

TEST_CASE("lines cannot be added, left out or put in another order", "[certificate]") {
  const auto authority = new_authority();
  const auto text = *sign(certificate_for(new_key()), authority);
  const auto trusted = trusting(authority);
  CHECK_THAT(why_not(read_certificate(replaced(text, "publish: mcollective puppet\n", "publish: **\n"), trusted)),
             Catch::Contains("signature is not that of the issuer"));
  CHECK(read_certificate(replaced(text, "publish: mcollective puppet\n", ""), trusted).has_error());
  CHECK(read_certificate(replaced(text, "not_before", "publish: **\nnot_before"), trusted).has_error());
  CHECK(read_certificate(replaced(text, "issuer", "more: 1\nissuer"), trusted).has_error());
  CHECK(read_certificate(text + "publish: **\n", trusted).has_error());
  CHECK(read_certificate(text + "\r\n \n", trusted).has_value());
}

TEST_CASE("a certificate of another issuer is refused, also where it names the trusted one", "[certificate]") {
  const auto authority = new_authority(), stranger = new_authority();
  const auto text = *sign(certificate_for(new_key()), stranger);
  CHECK_THAT(why_not(read_certificate(text, trusting(authority))), Catch::Contains("not trusted here"));
  const auto posing = replaced(text, stranger.thumbprint(), authority.thumbprint());
  CHECK_THAT(why_not(read_certificate(posing, trusting(authority))), Catch::Contains("signature is not that of the issuer"));
  CHECK_THAT(why_not(read_certificate(text, {})), Catch::Contains("not trusted here"));
}

TEST_CASE("a list of revocations is no certificate, and the other way round", "[certificate]") {
  const auto authority = new_authority();
  const auto certificate = *sign(certificate_for(new_key()), authority);
  Revocations list;
  list.number = 7;
  list.issued_s = 1'800'000'000;
  list.serials = {new_serial()};
  list.keys = {new_key(), new_key()};
  const auto text = sign(list, authority);
  REQUIRE(text.has_value());
  const auto read = read_revocations(*text, trusting(authority));
  REQUIRE(read.has_value());
  CHECK(read->number == 7);
  CHECK(read->serials == list.serials);
  CHECK(read->keys == list.keys);
  CHECK(read_certificate(*text, trusting(authority)).has_error());
  CHECK(read_revocations(certificate, trusting(authority)).has_error());
  CHECK(read_revocations(replaced(*text, "number: 7", "number: 8"), trusting(authority)).has_error());
}

TEST_CASE("texts that are no certificates are refused in words, however they are broken", "[certificate]") {
  const auto authority = new_authority();
  const auto trusted = trusting(authority);
  const auto text = *sign(certificate_for(new_key()), authority);
  for (std::size_t size = 0; size + 1 < text.size(); size += 7) {
    const auto cut = read_certificate(text.substr(0, size), trusted);
    REQUIRE(cut.has_error());
    CHECK_FALSE(cut.error().message.empty());
  }
  CHECK_THAT(why_not(read_certificate("hello", trusted)), Catch::Contains("first line"));
  CHECK_THAT(why_not(read_certificate(std::string(1 << 20, 'x'), trusted)), Catch::Contains("at most"));
  CHECK(read_certificate(std::string(100, '\0'), trusted).has_error());
}

TEST_CASE("nothing is signed that nobody could read, nor what would smuggle in a line", "[certificate]") {
  const auto authority = new_authority();
  auto made = certificate_for(new_key());
  made.identity = "web1\npublish: **";
  CHECK(sign(made, authority).has_error());
  made = certificate_for(new_key());
  made.topics.publish = Patterns{"a\npublish: **"};
  CHECK(sign(made, authority).has_error());
  made = certificate_for("no key at all");
  CHECK(sign(made, authority).has_error());
  made = certificate_for(new_key());
  made.not_after_s = made.not_before_s;
  CHECK(sign(made, authority).has_error());
}

TEST_CASE("a later serial is greater", "[certificate]") {
  const auto first = new_serial();
  usleep(2000);
  const auto second = new_serial();
  CHECK(first < second);
  CHECK(is_serial(first));
  CHECK_FALSE(is_serial("ABCDEF"));
}

TEST_CASE("times that do not exist are refused", "[certificate]") {
  CHECK(*read_time("2026-11-22T13:30:00Z") == 1795354200);
  CHECK(time_text(1795354200) == "2026-11-22T13:30:00Z");
  for (const auto* bad : {"", "2026-02-30T00:00:00Z", "2026-11-22 13:30:00Z", "2026-11-22T13:30:00", "2026-11-22T24:00:00Z",
                          "26-11-22T13:30:00Z", "2026-11-22T13:30:00z", "+026-11-22T13:30:00Z"})
    CHECK(read_time(bad).has_error());
  CHECK(*read_duration("30d") == 30 * 86400);
  CHECK(*read_duration("2w") == 14 * 86400);
  CHECK(*read_duration("90m") == 5400);
  for (const auto* bad : {"", "d", "30", "0d", "-1d", "1.5h", "99999999999999999999d", "100000d", "1y"})
    CHECK(read_duration(bad).has_error());
}

TEST_CASE("the operator's key is made once, and is read only where nobody else can", "[certificate]") {
  const test::ScratchDirectory scratch;
  const auto made = make_authority_files(scratch.path + "/ca");
  REQUIRE(made.has_value());
  struct stat found {};
  REQUIRE(::stat((scratch.path + "/ca/ca.secret").c_str(), &found) == 0);
  CHECK((found.st_mode & 07777) == 0600);
  const auto read = read_authority_secret(scratch.path + "/ca");
  REQUIRE(read.has_value());
  CHECK(read->secret_key == made->secret_key);
  CHECK(read->public_key == made->public_key);
  const auto text = read_whole_file(scratch.path + "/ca/ca.public", 4096);
  REQUIRE(text.has_value());
  CHECK(*read_authority_public(*text) == made->public_key);

  const auto again = make_authority_files(scratch.path + "/ca");
  REQUIRE(again.has_error());
  CHECK_THAT(again.error().message, Catch::Contains("exists already"));
  CHECK(read_authority_secret(scratch.path + "/ca")->secret_key == made->secret_key);

  ::chmod((scratch.path + "/ca/ca.secret").c_str(), 0640);
  const auto open = read_authority_secret(scratch.path + "/ca");
  REQUIRE(open.has_error());
  CHECK_THAT(open.error().message, Catch::Contains("0600"));
}

TEST_CASE("a secret key whose halves do not belong together signs nothing", "[certificate]") {
  const test::ScratchDirectory scratch;
  REQUIRE(make_authority_files(scratch.path).has_value());
  const auto path = scratch.path + "/ca.secret";
  auto text = *read_whole_file(path, 4096);
  auto& digit = text[text.size() - 2];
  digit = digit == '0' ? '1' : '0';
  std::ofstream(path) << text;
  const auto read = read_authority_secret(scratch.path);
  REQUIRE(read.has_error());
  CHECK_THAT(read.error().message, Catch::Contains("damaged"));
}
