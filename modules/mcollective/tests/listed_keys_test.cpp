#include "listed_keys.hpp"

#include <catch2/catch.hpp>

#include "keys.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;

namespace {

std::string new_key() { return to_z85(new_key_pair().public_key); }

KeyList list_of(const std::string& text) {
  KeyList list;
  read_key_list(text, "/etc/authorized_keys", "", list);
  return list;
}

}  // namespace

TEST_CASE("a line of authorized_keys gives a key its name and its rules", "[listed]") {
  const auto key = new_key();
  const auto list =
      list_of("\n" + key + R"( web1 identity=web1.* allow_publish="* reply **,mcollective puppet" allow_subscribe=** # a node)" + "\r\n");
  CHECK(list.problems.empty());
  REQUIRE(list.keys.contains(key));
  const auto& found = list.keys.at(key);
  CHECK(found.name == "web1");
  CHECK(found.identity == "web1.*");
  CHECK(*found.topics.publish == Patterns{"* reply **", "mcollective puppet"});
  CHECK(*found.topics.subscribe == Patterns{"**"});
  CHECK(found.where == "authorized_keys:2");
}

TEST_CASE("patterns may be quoted one by one, said in several options, and be none at all", "[listed]") {
  const auto key = new_key();
  const auto list = list_of(key + R"( allow_publish="a b","c d" allow_publish=e allow_subscribe="")");
  CHECK(list.problems.empty());
  CHECK(list.keys.at(key).name.empty());
  CHECK(*list.keys.at(key).topics.publish == Patterns{"a b", "c d", "e"});
  REQUIRE(list.keys.at(key).topics.subscribe.has_value());
  CHECK(list.keys.at(key).topics.subscribe->empty());
}

TEST_CASE("no key of 32 bytes begins with the character of comments", "[listed]") {
  const auto greatest = to_z85(std::string(32, '\xff'));
  CHECK(greatest.substr(0, 1) == "%");
  CHECK(from_z85("#" + greatest.substr(1)).has_error());
  CHECK(from_z85("$" + greatest.substr(1)).has_error());
  CHECK(list_of(greatest + " all-ones").keys.size() == 1);
}

TEST_CASE("a key that was commented out is no key, and one with # inside is one", "[listed]") {
  auto inside = new_key();
  // A group of five may hold # anywhere but first.
  inside.replace(35, 5, "0000#");
  REQUIRE(from_z85(inside).has_value());
  const auto list = list_of("#" + new_key() + " old\n  # " + new_key() + " older\n" + inside + " odd\n########\n");
  CHECK(list.problems.empty());
  CHECK(list.keys.size() == 1);
  CHECK(list.keys.at(inside).name == "odd");
}

TEST_CASE("a bad line is told with its file and number and does not touch the others", "[listed]") {
  const auto key = new_key(), twice = new_key();
  const auto list = list_of("too-short web1\n" + key + " ok\n" + new_key() + " a colour=red\n" + new_key() + " a allow_publish=\"open\n" +
                            new_key() + " a allow_publish=a**\n" + new_key() + " two names\n" + twice + " first allow_publish=a\n" + twice +
                            " second\n" + new_key() + "x a\n");
  CHECK(list.keys.size() == 2);
  CHECK(list.keys.contains(key));
  CHECK(list.keys.at(twice).name == "first");
  REQUIRE(list.problems.size() == 7);
  CHECK_THAT(list.problems[0], Catch::StartsWith("/etc/authorized_keys:1: passed over: "));
  CHECK_THAT(list.problems[1], Catch::Contains(":3:") && Catch::Contains("colour"));
  CHECK_THAT(list.problems[2], Catch::Contains(":4:") && Catch::Contains("double quote"));
  CHECK_THAT(list.problems[3], Catch::Contains(":5:"));
  CHECK_THAT(list.problems[4], Catch::Contains(":6:"));
  CHECK_THAT(list.problems[5], Catch::Contains(":8:") && Catch::Contains("authorized_keys:7"));
  CHECK_THAT(list.problems[6], Catch::Contains(":9:"));
}

TEST_CASE("no problem with a line shows what stood where the key was expected", "[listed]") {
  const auto list = list_of("this-may-be-a-secret-of-somebody web1\n");
  REQUIRE(list.problems.size() == 1);
  CHECK(list.problems[0].find("secret-of-somebody") == std::string::npos);
}

TEST_CASE("a file of one key gives it the file's name", "[listed]") {
  KeyList list;
  const auto key = new_key();
  read_key_list(key + "\n", "/keys/web1.example.com.pub", name_of_key_file("/keys/web1.example.com.pub"), list);
  CHECK(list.keys.at(key).name == "web1.example.com");
  CHECK(name_of_key_file("/keys/web1.example.com") == "web1.example.com");
  CHECK(name_of_key_file("web1.key") == "web1");
  CHECK(name_of_key_file(".pub") == ".pub");
}
