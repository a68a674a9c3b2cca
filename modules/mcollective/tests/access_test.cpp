// Who is let in, and with what: the decisions of AccessTable.

#include "access_table.hpp"

#include <catch2/catch.hpp>

#include "keys.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;

namespace {

constexpr std::int64_t now = 1'800'000'000;

std::string new_key() { return to_z85(new_key_pair().public_key); }

struct Given {
  AccessRules rules;
  AccessFiles files;
  std::string issuer = std::string(64, 'a');

  Given(AccessPolicy policy, bool has_authority = false) {
    rules.policy = policy;
    rules.has_authority = has_authority;
    rules.pins_max = 3;
    if (has_authority) files.authorities[issuer] = "key";
  }
  void list(const std::string& key, const std::string& name, TopicPermits topics = {}, const std::string& identity = "*") {
    files.listed[key] = {name, identity, std::move(topics), "authorized_keys:1"};
  }
  Certificate certificate(const std::string& key, const std::string& identity) const {
    Certificate out;
    out.serial = fmt::format("{:020x}", ++serials);
    out.key = key;
    out.identity = identity;
    out.not_before_s = now - 100;
    out.not_after_s = now + 100;
    out.issuer = issuer;
    return out;
  }
  void certify(const Certificate& certificate) { files.certificates[certificate.key].push_back({certificate, "file"}); }
  AccessTable table() const {
    AccessTable out(rules);
    out.set_files(std::make_shared<AccessFiles>(files));
    return out;
  }

  static inline int serials = 0;
};

std::string why_not(const Result<Grant>& grant) { return grant ? "let in: " + grant->source : grant.error().message; }

}  // namespace

TEST_CASE("any key is let in where any key is, and may do all", "[access]") {
  auto table = Given(AccessPolicy::any).table();
  const auto grant = table.grant(new_key(), "web1 1", now);
  REQUIRE(grant.has_value());
  CHECK(grant->source == "any");
  CHECK(grant->may_publish("mcollective nodes db1"));
  CHECK(grant->may_subscribe("mcollective discovery"));
  CHECK_FALSE(grant->awaits_certificate);
}

TEST_CASE("a key that is not listed is refused where keys are listed", "[access]") {
  Given given(AccessPolicy::listed);
  const auto key = new_key(), stranger = new_key();
  given.list(key, "ops");
  auto table = given.table();
  const auto grant = table.grant(key, "web1 1", now);
  REQUIRE(grant.has_value());
  CHECK(grant->name == "ops");
  CHECK(grant->source == "listed in authorized_keys:1");
  CHECK_THAT(why_not(table.grant(stranger, "web1 1", now)), Catch::Contains("not in authorized_keys"));
  CHECK_THAT(why_not(table.grant("", "web1 1", now)), Catch::Contains("not in authorized_keys"));
}

TEST_CASE("a listed key with an identity of its own is refused under another name", "[access]") {
  Given given(AccessPolicy::listed);
  const auto key = new_key();
  given.list(key, "web1", {}, "web1.example.com");
  auto table = given.table();
  CHECK(table.grant(key, "web1.example.com 77 #<Thread>", now).has_value());
  CHECK_THAT(why_not(table.grant(key, "web2.example.com 77", now)), Catch::Contains("web2.example.com"));
}

TEST_CASE("rules for a key's name hold for the key, whatever identity it claims", "[access]") {
  Given given(AccessPolicy::listed);
  const auto node = new_key();
  given.list(node, "web1");
  given.rules.topics = {{"admin", {Patterns{"**"}, {}}}, {"web*", {Patterns{"* reply **"}, Patterns{"* nodes %i"}}}};
  auto table = given.table();
  const auto grant = table.grant(node, "admin 1", now);
  REQUIRE(grant.has_value());
  CHECK_FALSE(grant->may_publish("mcollective nodes web2"));
  CHECK(grant->may_publish("mcollective reply web2 1"));
}

TEST_CASE("a certified key is let in under the identity it is certified for and no other", "[access]") {
  Given given(AccessPolicy::listed, true);
  const auto key = new_key();
  auto certificate = given.certificate(key, "web*");
  certificate.topics = {Patterns{"* reply **"}, Patterns{"* *", "* nodes %i"}};
  given.certify(certificate);
  auto table = given.table();
  const auto grant = table.grant(key, "web1 1 #<Thread>", now);
  REQUIRE(grant.has_value());
  CHECK(grant->until_s == certificate.not_after_s);
  CHECK_THAT(grant->source, Catch::Contains(certificate.serial));
  CHECK(grant->may_subscribe("mcollective nodes web1"));
  CHECK_FALSE(grant->may_subscribe("mcollective nodes web2"));
  CHECK_FALSE(grant->may_publish("mcollective nodes web1"));
  CHECK_THAT(why_not(table.grant(key, "db1 1", now)), Catch::Contains("for the identity web*"));
}

TEST_CASE("a certificate is worth nothing before it begins and in the second it ends", "[access]") {
  Given given(AccessPolicy::listed, true);
  const auto key = new_key();
  given.certify(given.certificate(key, "*"));
  auto table = given.table();
  auto is_let_in = [&](std::int64_t time) { return !table.grant(key, "web1", time)->awaits_certificate; };
  CHECK_FALSE(is_let_in(now - 101));
  CHECK(is_let_in(now - 100));
  CHECK(is_let_in(now + 99));
  CHECK_FALSE(is_let_in(now + 100));
  CHECK(table.next_change_s(now - 200) == now - 100);
  CHECK(table.next_change_s(now) == now + 100);
  CHECK(table.next_change_s(now + 100) == 0);
}

TEST_CASE("a certificate of an issuer that is no longer trusted is worth nothing", "[access]") {
  Given given(AccessPolicy::listed, true);
  const auto key = new_key();
  given.certify(given.certificate(key, "*"));
  given.files.authorities = {{std::string(64, 'b'), "other"}};
  CHECK(given.table().grant(key, "web1", now)->awaits_certificate);
}

TEST_CASE("an unknown key may do nothing but bring a certificate", "[access]") {
  auto table = Given(AccessPolicy::listed, true).table();
  const auto grant = table.grant(new_key(), "web1 1", now);
  REQUIRE(grant.has_value());
  CHECK(grant->awaits_certificate);
  CHECK_FALSE(grant->may_publish("mcollective reply web1 1"));
  CHECK_FALSE(grant->may_subscribe("mcollective discovery"));
}

TEST_CASE("a revoked key is refused whatever else speaks for it", "[access]") {
  for (const auto policy : {AccessPolicy::any, AccessPolicy::listed, AccessPolicy::first}) {
    Given given(policy, true);
    const auto key = new_key();
    given.list(key, "web1");
    given.certify(given.certificate(key, "*"));
    given.files.revocations[given.issuer] = {1, now, given.issuer, {}, {key}};
    auto table = given.table();
    CHECK_THAT(why_not(table.grant(key, "web1", now)), Catch::Contains("revoked"));
    CHECK(table.grant(new_key(), "web2", now).has_value());
  }
}

TEST_CASE("a revoked certificate is worth nothing, and another of the same key still is", "[access]") {
  Given given(AccessPolicy::listed, true);
  const auto key = new_key();
  const auto older = given.certificate(key, "web1"), newer = given.certificate(key, "web1");
  given.certify(older);
  given.certify(newer);
  given.files.revocations[given.issuer] = {1, now, given.issuer, {newer.serial}, {}};
  CHECK_THAT(given.table().grant(key, "web1", now)->source, Catch::Contains(older.serial));
  given.files.revocations[given.issuer].serials.insert(older.serial);
  CHECK(given.table().grant(key, "web1", now)->awaits_certificate);
}

TEST_CASE("a certificate that is revoked takes no other's place", "[access]") {
  Given given(AccessPolicy::listed, true);
  const auto key = new_key();
  const auto older = given.certificate(key, "web1"), newer = given.certificate(key, "web1");
  auto table = given.table();
  CHECK(table.take(newer, now).empty());
  REQUIRE(table.take(Revocations{1, now, given.issuer, {newer.serial}, {}}).has_value());
  CHECK(table.take(older, now).empty());
  CHECK_THAT(table.grant(key, "web1", now)->source, Catch::Contains(older.serial));
}

TEST_CASE("an issuer cannot take back the certificates of another, and a list of a stranger revokes nothing", "[access]") {
  Given given(AccessPolicy::listed, true);
  const auto key = new_key();
  const std::string other(64, 'b');
  const auto certificate = given.certificate(key, "*");
  given.certify(certificate);
  given.files.revocations[other] = {1, now, other, {certificate.serial}, {key}};
  CHECK_FALSE(given.table().grant(key, "web1", now)->awaits_certificate);
  given.files.authorities[other] = "trusted too";
  CHECK_THAT(why_not(given.table().grant(key, "web1", now)), Catch::Contains("revoked"));
}

TEST_CASE("a list of revocations that vanishes revokes on, and an older one does not take its place", "[access]") {
  Given given(AccessPolicy::any, true);
  const auto key = new_key();
  given.files.revocations[given.issuer] = {5, now, given.issuer, {}, {key}};
  auto table = given.table();
  auto without = std::make_shared<AccessFiles>(given.files);
  without->revocations.clear();
  table.set_files(without);
  CHECK(table.grant(key, "web1", now).has_error());
  CHECK(table.take(Revocations{4, now, given.issuer, {}, {}}).has_error());
  CHECK(table.grant(key, "web1", now).has_error());
  CHECK(table.take(Revocations{6, now, given.issuer, {}, {}}).has_value());
  CHECK(table.grant(key, "web1", now).has_value());
}

TEST_CASE("a list of revocations under a number that another one has is refused and told, and the one that was there holds", "[access]") {
  Given given(AccessPolicy::any, true);
  const auto first = new_key(), second = new_key();
  Revocations list;
  list.number = 7;
  list.issuer = given.issuer;
  list.keys = {first};
  given.files.revocations[list.issuer] = list;
  auto table = given.table();
  CHECK(table.take(list).has_value());
  list.keys = {second};
  const auto taken = table.take(list);
  REQUIRE(taken.has_error());
  CHECK_THAT(taken.error().message, Catch::Contains("number 7") && Catch::Contains("expected a higher number"));
  CHECK(table.grant(second, "web1", now).has_value());
  // Which of two lists that are there was read first is chance.
  given.files.revocations[list.issuer] = list;
  table.set_files(std::make_shared<AccessFiles>(given.files));
  REQUIRE(table.problems().size() == 1);
  CHECK_THAT(table.problems()[0], Catch::Contains("expected a higher number"));
  CHECK(table.grant(first, "web1", now).has_error());
  CHECK(table.grant(second, "web1", now).has_error());
  list.number = 8;
  list.keys = {first, second};
  CHECK(table.take(list).has_value());
  CHECK(table.grant(second, "web1", now).has_error());
}

TEST_CASE("a later certificate takes the place of an earlier one when its time comes, and an earlier one never that of a later",
          "[access]") {
  Given given(AccessPolicy::listed, true);
  const auto key = new_key();
  const auto wide = given.certificate(key, "*"), narrow = given.certificate(key, "web1");
  auto coming = given.certificate(key, "db1");
  coming.not_before_s = now + 50;
  auto table = given.table();
  CHECK(table.take(wide, now).empty());
  CHECK(table.grant(key, "db1", now).has_value());
  CHECK(table.take(narrow, now) == std::vector<std::string>{wide.serial});
  CHECK(table.grant(key, "db1", now).has_error());
  CHECK(table.take(wide, now) == std::vector<std::string>{wide.serial});
  CHECK(table.grant(key, "db1", now).has_error());
  CHECK(table.take(coming, now).empty());
  CHECK(table.grant(key, "web1", now).has_value());
  CHECK(table.grant(key, "db1", now + 50).has_value());
  CHECK(table.grant(key, "web1", now + 50).has_error());
  CHECK(table.drop_ended(now + 100).size() == 2);
  CHECK(table.grant(key, "web1", now + 100)->awaits_certificate);
}

TEST_CASE("an identity is pinned to the key it used first, until the pin is forgotten", "[access]") {
  Given given(AccessPolicy::first);
  auto table = given.table();
  const auto first = new_key(), second = new_key();
  CHECK(table.grant(first, "web1 10", now)->source == "pinned");
  CHECK(table.take_new_pins() == std::vector<std::pair<std::string, std::string>>{{"web1", first}});
  const auto refused = table.grant(second, "web1 11", now);
  CHECK_THAT(why_not(refused), Catch::Contains(first.substr(0, 8)) && Catch::Contains(second.substr(0, 8)));
  CHECK(table.grant(first, "web1 12", now).has_value());
  CHECK(table.take_new_pins().empty());
  CHECK(table.forget_pin("db1").has_error());
  CHECK(*table.forget_pin("web1") == "!" + first);
  // It is still connected, and must not pin itself again.
  CHECK_THAT(why_not(table.grant(first, "web1 10", now)), Catch::Contains("forgotten"));
  CHECK(table.grant(second, "web1 11", now).has_value());
  CHECK(table.take_new_pins() == std::vector<std::pair<std::string, std::string>>{{"web1", second + " trusted"}});
  CHECK(table.grant(first, "web1 10", now).has_error());
}

TEST_CASE("a pin that is forgotten twice leaves the identity to any key", "[access]") {
  Given given(AccessPolicy::first);
  auto table = given.table();
  const auto key = new_key();
  CHECK(table.grant(key, "web1", now).has_value());
  CHECK(table.forget_pin("web1").has_value());
  CHECK(table.forget_pin("web1")->empty());
  CHECK(table.forget_pin("web1").has_error());
  CHECK(table.grant(key, "web1", now).has_value());
}

TEST_CASE("what another broker has pinned holds here, and is as sure as its key was there", "[access]") {
  Given given(AccessPolicy::first);
  auto table = given.table();
  const auto owner = new_key(), stranger = new_key();
  using Learnt = AccessTable::Learnt;
  CHECK(table.learn_pin("web1", owner) == Learnt::added);
  CHECK_THAT(why_not(table.grant(stranger, "web1 1", now)), Catch::Contains(owner.substr(0, 8)));
  const auto granted = table.grant(owner, "web1 1", now);
  REQUIRE(granted.has_value());
  CHECK(granted->identity_key(owner).key == owner);
  CHECK_FALSE(granted->identity_key(owner).is_certain);
  CHECK(table.take_new_pins().empty());
  CHECK(table.pins() == Pins{{"web1", owner}});

  // Ours stays, until somebody has decided.
  CHECK(table.learn_pin("web1", stranger) == Learnt::differs);
  CHECK(table.grant(stranger, "web1 1", now).has_error());
  CHECK(table.learn_pin("web1", "no key") == Learnt::nothing);
  CHECK(table.learn_pin("web1", "!" + stranger) == Learnt::nothing);
  CHECK(table.learn_pin("web1", "!" + owner) == Learnt::replaced);
  CHECK(table.grant(owner, "web1 1", now).has_error());
  CHECK(table.learn_pin("web1", owner) == Learnt::nothing);
  CHECK(table.pins().empty());
  CHECK(table.learn_pin("web1", stranger) == Learnt::replaced);
  REQUIRE(table.grant(stranger, "web1 1", now).has_value());
  CHECK(table.grant(stranger, "web1 1", now)->binding == Grant::Binding::certain);
  CHECK(table.pin_of("web1") == stranger + " trusted");
  CHECK(table.learn_pin("web1", owner) == Learnt::differs);

  Given any(AccessPolicy::any);
  auto open = any.table();
  CHECK(open.learn_pin("web1", owner) == Learnt::nothing);
  CHECK(open.grant(stranger, "web1", now)->identity_key(stranger).key.empty());
}

TEST_CASE("the key that follows a forgotten one is sure of its identity, after a restart too, and one that is listed is", "[access]") {
  Given given(AccessPolicy::first);
  const auto first = new_key(), second = new_key(), third = new_key(), listed = new_key();
  given.list(listed, "ops");
  auto table = given.table();
  const auto is_certain = [&](const std::string& key) { return table.grant(key, "web1", now)->identity_key(key).is_certain; };
  CHECK_FALSE(is_certain(first));
  CHECK(is_certain(listed));
  CHECK(table.forget_pin("web1").has_value());
  CHECK(is_certain(second));
  auto again = given.table();
  again.set_pins({{"web1", table.take_new_pins().back().second}});
  CHECK(again.grant(second, "web1", now)->binding == Grant::Binding::certain);
  CHECK_THAT(why_not(again.grant(first, "web1", now)), Catch::Contains(second.substr(0, 8)));
  CHECK(*table.forget_pin("web1") == "!" + second);
  CHECK(table.forget_pin("web1")->empty());
  CHECK(is_certain(third));
  // Brokers that had not heard of it until now.
  CHECK(again.learn_pin("web1", third + " trusted") == AccessTable::Learnt::differs);
  CHECK(again.learn_pin("web1", "!" + second) == AccessTable::Learnt::replaced);
  CHECK(again.learn_pin("web1", "") == AccessTable::Learnt::replaced);
  CHECK(again.learn_pin("web1", third + " trusted") == AccessTable::Learnt::added);
}

TEST_CASE("pins of the journal hold, and their number is bounded", "[access]") {
  Given given(AccessPolicy::first);
  auto table = given.table();
  const auto first = new_key(), second = new_key();
  table.set_pins({{"web1", first}, {"web2", first}});
  CHECK(table.grant(second, "web1", now).has_error());
  CHECK(table.grant(second, "web3", now).has_value());
  CHECK_THAT(why_not(table.grant(second, "web4", now)), Catch::Contains("pins_max"));
  CHECK(table.grant(first, "web2", now).has_value());
}

TEST_CASE("a listed key needs no pin, and a stranger cannot take its identity after it", "[access]") {
  Given given(AccessPolicy::first);
  const auto listed = new_key(), stranger = new_key();
  given.list(listed, "ops");
  auto table = given.table();
  CHECK(table.grant(stranger, "web1", now).has_value());
  CHECK(table.grant(listed, "web1", now).has_value());
  CHECK(table.grant(listed, "web2", now).has_value());
  CHECK(table.grant(stranger, "web2", now).has_error());
}

TEST_CASE("clients that gave no name are not pinned", "[access]") {
  Given given(AccessPolicy::first);
  auto table = given.table();
  for (char c = 'a'; c < 'h'; ++c) CHECK(table.grant(new_key(), std::string("\0", 1) + c + "bcd", now).has_value());
  CHECK(table.take_new_pins().empty());
}

TEST_CASE("the description names keys, pins, certificates and their states", "[access]") {
  Given given(AccessPolicy::first, true);
  const auto key = new_key();
  given.list(key, "ops", {Patterns{"a"}, {}});
  given.certify(given.certificate(new_key(), "web*"));
  given.files.problems = {"file:3: passed over"};
  auto table = given.table();
  CHECK(table.grant(new_key(), "db1 1", now).has_value());
  const auto out = table.describe(now);
  CHECK(out.at("clients") == "first");
  CHECK(out.at("keys").as_array().at(0).at("name") == "ops");
  CHECK(out.at("keys").as_array().at(0).at("publish").as_array().at(0) == "a");
  CHECK(out.at("pins").as_array().at(0).at("identity") == "db1");
  CHECK(out.at("certificates").as_array().at(0).at("state") == "valid");
  CHECK(table.describe(now + 1000).at("certificates").as_array().at(0).at("state") == "ended");
  CHECK(out.at("problems").as_array().size() == 1);
}
