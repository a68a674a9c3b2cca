#include "topic_rules.hpp"

#include <catch2/catch.hpp>

using namespace gorgone::mcollective;

TEST_CASE("the identity is all of a routing id before its first space", "[topics]") {
  CHECK(identity_of("web1.example.com 4711 #<Thread:0x00007f>") == "web1.example.com");
  CHECK(identity_of("web1") == "web1");
  CHECK(identity_of(" 4711").empty());
  CHECK(identity_of("").empty());
}

TEST_CASE("a pattern matches topics word by word", "[topics]") {
  CHECK(topic_matches("mcollective * *", "mcollective nodes web1"));
  CHECK_FALSE(topic_matches("mcollective * *", "mcollective nodes"));
  CHECK_FALSE(topic_matches("mcollective * *", "mcollective reply web1 4711"));
  CHECK_FALSE(topic_matches("mcollective *", "linux discovery"));
  CHECK(topic_matches("*", "discovery"));
  CHECK_FALSE(topic_matches("*", ""));
  CHECK_FALSE(topic_matches("* *", "mcollective "));
  CHECK_FALSE(topic_matches("mcollective", "mcollective "));
}

TEST_CASE("a star inside a word matches any part of that word and never the space behind it", "[topics]") {
  CHECK(topic_matches("* nodes web*", "mcollective nodes web1"));
  CHECK(topic_matches("* nodes web*", "mcollective nodes web"));
  CHECK(topic_matches("*.example.*m", "a.b.example.com"));
  CHECK(topic_matches("a*b*c", "a1b2bxc"));
  CHECK_FALSE(topic_matches("a*b*c", "a1b2bx"));
  CHECK_FALSE(topic_matches("web*", "web1 nodes"));
}

TEST_CASE("two stars at the end match any number of words, none too", "[topics]") {
  CHECK(topic_matches("* reply **", "mcollective reply web1 4711"));
  CHECK(topic_matches("* reply **", "mcollective reply"));
  CHECK(topic_matches("**", ""));
  CHECK_FALSE(topic_matches("* reply **", "mcollective replyx web1"));
  CHECK_FALSE(topic_matches("* reply **", "reply web1"));
}

TEST_CASE("a word of thousands of stars is compared in time that can be borne", "[topics]") {
  std::string pattern, topic(20000, 'a');
  for (int i = 0; i < 500; ++i) pattern += "*a";
  CHECK_FALSE(topic_matches(pattern + "b", topic));
}

TEST_CASE("a client that calls itself a star is given its own name and not everybody's", "[topics]") {
  CHECK(topic_matches(for_identity("* nodes %i", "web1"), "mcollective nodes web1"));
  CHECK_FALSE(topic_matches(for_identity("* nodes %i", "*"), "mcollective nodes web1"));
  CHECK(topic_matches(for_identity("* nodes %i", "*"), "mcollective nodes *"));
  CHECK_FALSE(topic_matches(for_identity("* nodes %i", "**"), "mcollective nodes web1"));
  CHECK(topic_matches(for_identity("* nodes %i", R"(a\*)"), R"(mcollective nodes a\*)"));
  CHECK(topic_matches(for_identity("* nodes %i", "%i"), "mcollective nodes %i"));
  CHECK(for_identity("100%% %i-%i", "a") == "100% a-a");
}

TEST_CASE("a pattern that cannot mean what was meant is refused", "[topics]") {
  for (const auto* good : {"**", "* reply **", "mcollective nodes %i", "web%i*", R"(a\* b)", "100%%"})
    CHECK(check_pattern(good).has_value());
  for (const auto* bad : {"", " a", "a ", "a  b", "** a", "a**", "%x", "a%", "a\\", "a\nb"}) CHECK(check_pattern(bad).has_error());
  CHECK(check_identity_pattern("web*.example.com").has_value());
  CHECK(check_identity_pattern("*").has_value());
  for (const auto* bad : {"", "a b", "**", "a\\", "\\\\\\"}) CHECK(check_identity_pattern(bad).has_error());
  CHECK(check_identity_pattern("\\\\").has_value());
}

TEST_CASE("without any rule a client may use every topic", "[topics]") {
  const auto all = grant_topics({}, {}, "web1", "web1");
  CHECK(all.publish == Patterns{"**"});
  CHECK(all.subscribe == Patterns{"**"});
}

TEST_CASE("a client that no rule names may do nothing where there are rules", "[topics]") {
  const auto none = grant_topics({}, {{"web*", {Patterns{"a"}, Patterns{"b"}}}}, "db1", "db1");
  CHECK(none.publish.empty());
  CHECK(none.subscribe.empty());
}

TEST_CASE("all rules that name a client hold together, and a direction they say nothing of is free", "[topics]") {
  const std::vector<TopicRule> rules{{"web*", {Patterns{"a"}, {}}}, {"*1", {Patterns{"b %i"}, {}}}, {"db*", {{}, Patterns{"c"}}}};
  const auto found = grant_topics({}, rules, "web1", "web1");
  CHECK(found.publish == Patterns{"a", "b web1"});
  CHECK(found.subscribe == Patterns{"**"});
}

TEST_CASE("what a client's own line says stands before the configuration's rules, each direction for itself", "[topics]") {
  const std::vector<TopicRule> rules{{"*", {Patterns{"a"}, Patterns{"b"}}}};
  const auto found = grant_topics({Patterns{"own %i"}, {}}, rules, "name", "web1");
  CHECK(found.publish == Patterns{"own web1"});
  CHECK(found.subscribe == Patterns{"b"});
  CHECK(grant_topics({Patterns{}, {}}, rules, "name", "web1").publish.empty());
}
