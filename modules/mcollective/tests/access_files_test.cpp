// Files that change, and what is kept of what was brought: Access with real files and a journal in memory.

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <chrono>
#include <cstdlib>
#include <ctime>

#include "access_options.hpp"
#include "authority.hpp"
#include "file_watch.hpp"
#include "keys.hpp"
#include "scratch_directory.hpp"
#include "support/loop_agent.hpp"

using namespace gorgone;
using namespace gorgone::mcollective;
using namespace std::chrono_literals;

namespace {

std::string new_key() { return to_z85(new_key_pair().public_key); }

Settings settings_of(json::object options) {
  return {std::make_shared<const Schema>(access_schema()),
          std::make_shared<const ConfigValue>(ConfigValue::from_json(json::value(std::move(options)), "test"))};
}

// Permissions do not stop root.
class Unreadable {
 public:
  explicit Unreadable(std::string path) : path_(std::move(path)) {
    ::chmod(path_.c_str(), is_root_ ? 0700 : 0);
    if (is_root_ && ::seteuid(65534) != 0) throw std::runtime_error("cannot be somebody else");
  }
  ~Unreadable() {
    if (is_root_ && ::seteuid(0) != 0) std::abort();
    if (!is_root_) ::chmod(path_.c_str(), 0700);
  }
  Unreadable(const Unreadable&) = delete;

 private:
  const std::string path_;
  const bool is_root_ = ::geteuid() == 0;
};

// A directory with an authority, and an Access that is asked.
struct Fixture {
  test::ScratchDirectory scratch;
  Authority authority = *make_authority_files(scratch.path + "/ca");
  test::LoopAgent agent;
  int changes = 0;
  std::unique_ptr<Access> access;

  ~Fixture() {
    access.reset();
    agent.run_for(10ms);
  }

  json::object options(const char* clients) const {
    return {{"clients", clients},
            {"authorized_keys", scratch.path + "/authorized_keys"},
            {"certificates", scratch.path + "/certificates"},
            {"certificate_authority", scratch.path + "/ca/ca.public"},
            {"revoked", scratch.path + "/revoked"}};
  }
  void open(const json::object& options) {
    access.reset();
    auto made = Access::make(agent, settings_of(options), true, [this] { ++changes; });
    REQUIRE(made.has_value());
    access = std::move(*made);
    bool is_started = false;
    auto start = [this, &is_started]() -> asio::awaitable<void> {
      auto started = co_await access->start();
      is_started = started.has_value();
    };
    agent.spawn(start());
    for (int i = 0; i < 500 && !is_started; ++i) agent.run_for(10ms);
    REQUIRE(is_started);
  }

  bool is_in(const std::string& key, const std::string& identity = "web1") {
    const auto grant = access->grant(key, identity);
    return grant && !grant->awaits_certificate;
  }
  // Within the 5 s that a revocation may take.
  bool becomes(bool wanted, const std::string& key) {
    const auto until = std::chrono::steady_clock::now() + 5s;
    while (is_in(key) != wanted && std::chrono::steady_clock::now() < until) agent.run_for(20ms);
    return is_in(key) == wanted;
  }
  // A moment after it holds: many changes at once are told as one.
  bool is_told(int before) {
    for (int i = 0; i < 500 && changes <= before; ++i) agent.run_for(10ms);
    return changes > before;
  }

  std::string certificate(const std::string& key, std::int64_t from = -60, std::int64_t until = 3600) const {
    Certificate out;
    out.serial = new_serial();
    out.key = key;
    out.identity = "web*";
    out.not_before_s = std::time(nullptr) + from;
    out.not_after_s = std::time(nullptr) + until;
    return *sign(out, authority);
  }
  std::string revocation(std::uint64_t number, const std::string& key) const {
    Revocations out;
    out.number = number;
    out.issued_s = std::time(nullptr);
    out.keys = {key};
    return *sign(out, authority);
  }
};

}  // namespace

TEST_CASE("a key that is taken from the list is no longer let in within 5 s, and the broker is told", "[access]") {
  Fixture f;
  const auto stays = new_key(), goes = new_key(), comes = new_key();
  f.scratch.write("authorized_keys", stays + " stays\n" + goes + " goes\n");
  f.open(f.options("listed"));
  CHECK(f.is_in(stays));
  CHECK(f.is_in(goes));
  const auto before = f.changes;
  f.scratch.write("authorized_keys", stays + " stays\n" + comes + " comes\n");
  CHECK(f.becomes(false, goes));
  CHECK(f.is_in(stays));
  CHECK(f.is_in(comes));
  CHECK(f.is_told(before));
}

TEST_CASE("a list that is away for a moment lets nobody out", "[access]") {
  Fixture f;
  const auto key = new_key();
  const auto file = f.scratch.write("authorized_keys", key + " web1\n");
  f.open(f.options("listed"));
  const auto until = std::chrono::steady_clock::now() + 3500ms;
  bool was_always_in = true;
  std::filesystem::rename(file, file + ".away");
  f.agent.run_for(600ms);
  std::filesystem::rename(file + ".away", file);
  while (std::chrono::steady_clock::now() < until) {
    was_always_in = was_always_in && f.is_in(key);
    f.agent.run_for(20ms);
  }
  CHECK(was_always_in);
  std::filesystem::remove(file);
  CHECK(f.becomes(false, key));
}

TEST_CASE("each file of a directory is a key, and removing it takes the key away", "[access]") {
  Fixture f;
  const auto key = new_key(), later = new_key();
  const auto file = f.scratch.write("authorized_keys/web1.pub", key + "\n");
  f.scratch.write("authorized_keys/.hidden", new_key() + "\n");
  f.open(f.options("listed"));
  REQUIRE(f.is_in(key));
  CHECK(f.access->grant(key, "web1")->name == "web1");
  f.scratch.write("authorized_keys/web2.pub", later + "\n");
  CHECK(f.becomes(true, later));
  std::filesystem::remove(file);
  CHECK(f.becomes(false, key));
  CHECK(f.is_in(later));
}

TEST_CASE("a look that has seen a change which it does not believe yet says so, until it is believed", "[access]") {
  const test::ScratchDirectory scratch;
  const auto path = scratch.path + "/web1";
  const auto write = [&path](const std::string& text) { REQUIRE(write_whole_file(path, text, 0600, false).has_value()); };
  FileWatch watch({scratch.path}, 1000);
  const auto look = [&watch] { return watch.look().size(); };
  const auto sees = [&](std::size_t changes, bool is_in_doubt) { return look() == changes && watch.is_in_doubt() == is_in_doubt; };
  CHECK(sees(0, false));
  write("one");
  CHECK(sees(0, true));
  CHECK(sees(1, false));
  CHECK(sees(0, false));
  write("another one");
  CHECK(sees(0, true));
  write("a third one");
  CHECK(sees(0, true));
  CHECK(sees(1, false));
  const auto aside = scratch.path + "/.aside";
  REQUIRE(::rename(path.c_str(), aside.c_str()) == 0);
  CHECK(sees(0, true));
  write("the fourth one");
  CHECK(sees(0, true));
  CHECK(sees(1, false));
  REQUIRE(::unlink(path.c_str()) == 0);
  CHECK(sees(0, true));
  CHECK(sees(1, false));
}

TEST_CASE("a directory or a file of keys that cannot be read for a while lets nobody out, is told, and is read when it can be",
          "[access]") {
  Fixture f;
  const auto key = new_key(), later = new_key();
  std::filesystem::permissions(f.scratch.path, std::filesystem::perms(0755));
  const std::string name = GENERATE("authorized_keys", "authorized_keys/web1.pub");
  const auto file = f.scratch.write(name, key + "\n");
  const auto place = f.scratch.path + "/authorized_keys";
  const auto told = [&] { return to_text(json::value(f.access->describe())); };
  f.open(f.options("listed"));
  REQUIRE(f.is_in(key));
  {
    const Unreadable unreadable(place);
    bool was_always_in = true;
    for (int i = 0; i < 35; ++i) {
      f.agent.run_for(100ms);
      was_always_in = was_always_in && f.is_in(key);
    }
    CHECK(was_always_in);
    CHECK_THAT(told(), Catch::Contains("cannot be read: Permission denied; what was read before holds on"));
    const auto before = f.changes;
    f.agent.run_for(2500ms);
    CHECK(f.changes == before);
  }
  f.agent.run_for(3500ms);
  CHECK(f.is_in(key));
  CHECK_THAT(told(), !Catch::Contains("cannot be read"));
  f.scratch.write(name, later + "\n");
  CHECK(f.becomes(true, later));
  CHECK(f.becomes(false, key));
}

TEST_CASE("a certificate in the directory lets its key in, and a list of revocations takes that back", "[access]") {
  Fixture f;
  const auto key = new_key();
  f.open(f.options("listed"));
  CHECK_FALSE(f.is_in(key));
  f.scratch.write("certificates/web1", f.certificate(key));
  CHECK(f.becomes(true, key));
  CHECK_FALSE(f.is_in(key, "db1"));
  f.scratch.write("revoked", f.revocation(1, key));
  CHECK(f.becomes(false, key));
  CHECK(f.access->grant(key, "web1").has_error());
}

TEST_CASE("a damaged list of revocations does not let in again who was revoked", "[access]") {
  Fixture f;
  const auto key = new_key();
  f.scratch.write("authorized_keys", key + " web1\n");
  f.scratch.write("revoked", f.revocation(2, key));
  f.open(f.options("listed"));
  CHECK_FALSE(f.is_in(key));
  f.scratch.write("revoked", f.revocation(1, new_key()));
  f.agent.run_for(3s);
  CHECK_FALSE(f.is_in(key));
  f.scratch.write("revoked", f.revocation(2, new_key()));
  f.agent.run_for(3s);
  CHECK_FALSE(f.is_in(key));
  CHECK_THAT(to_text(json::value(f.access->describe())), Catch::Contains("list number 2 has other entries than it had under that number"));
  f.scratch.write("revoked", "nonsense");
  f.agent.run_for(3s);
  CHECK_FALSE(f.is_in(key));
  f.scratch.write("revoked", f.revocation(3, new_key()));
  CHECK(f.becomes(true, key));
}

TEST_CASE("a certificate that a client brought holds after a restart, and its end is told in its second", "[access]") {
  Fixture f;
  const auto key = new_key();
  f.open(f.options("listed"));
  CHECK(f.access->take_certificate(f.certificate(key, -60, 4)).has_value());
  CHECK(f.is_in(key));
  f.open(f.options("listed"));
  CHECK(f.is_in(key));
  const auto ends = f.access->grant(key, "web1")->until_s;
  std::int64_t told_s = 0;
  const auto before = f.changes;
  for (int i = 0; i < 700 && told_s == 0; ++i) {
    f.agent.run_for(10ms);
    if (f.changes > before && !f.is_in(key))
      told_s = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());  // time() lags behind it
  }
  CHECK(told_s >= ends);
  CHECK(told_s <= ends + 1);
  f.agent.run_for(100ms);
  CHECK(f.agent.recorded().records["mcollective.certificate"].empty());
}

TEST_CASE("a certificate that is brought again and again is told and written once", "[access]") {
  Fixture f;
  const auto key = new_key();
  f.open(f.options("listed"));
  f.agent.run_for(700ms);
  const auto older = f.certificate(key);
  usleep(2000);
  const auto newer = f.certificate(key);
  const auto before = f.changes;
  auto& records = f.agent.recorded().records["mcollective.certificate"];
  for (int i = 0; i < 20; ++i) {
    REQUIRE(f.access->take_certificate(newer).has_value());
    const auto taken = f.access->take_certificate(older);
    REQUIRE(taken.has_error());
    CHECK(taken.error().code == "superseded");
    if (i == 0) {
      CHECK(records.size() == 1);
      records.clear();
    }
    f.agent.run_for(50ms);
  }
  CHECK(records.empty());
  CHECK(f.changes == before + 1);
}

TEST_CASE("a certificate that is wrong, ended, revoked or of a stranger is refused and not kept", "[access]") {
  Fixture f;
  const auto key = new_key();
  f.scratch.write("revoked", f.revocation(1, key));
  f.open(f.options("listed"));
  auto refusal = [&](const std::string& text) {
    const auto taken = f.access->take_certificate(text);
    return taken ? std::string("taken") : taken.error().message;
  };
  CHECK_THAT(refusal(f.certificate(key)), Catch::Contains("revoked"));
  CHECK_THAT(refusal(f.certificate(new_key(), -3600, -1)), Catch::Contains("has ended"));
  CHECK_THAT(refusal("nonsense"), Catch::Contains("first line"));
  CHECK_THAT(refusal(std::string(100'000, 'x')), Catch::Contains("at most"));
  Fixture other;
  CHECK_THAT(refusal(other.certificate(new_key())), Catch::Contains("not trusted"));
  CHECK(f.agent.recorded().records["mcollective.certificate"].empty());
}

TEST_CASE("a certificate whose time has not come is kept and holds from then on", "[access]") {
  Fixture f;
  const auto key = new_key();
  f.open(f.options("listed"));
  REQUIRE(f.access->take_certificate(f.certificate(key, 2, 3600)).has_value());
  CHECK_FALSE(f.is_in(key));
  CHECK(f.becomes(true, key));
  CHECK(f.is_told(0));
}

TEST_CASE("revocations that were brought hold after a restart", "[access]") {
  Fixture f;
  const auto key = new_key();
  f.scratch.write("authorized_keys", key + " web1\n");
  f.open(f.options("listed"));
  CHECK(f.is_in(key));
  REQUIRE(f.access->take_certificate(f.revocation(4, key)).has_value());
  CHECK_FALSE(f.is_in(key));
  CHECK(f.access->take_certificate(f.revocation(3, new_key())).has_error());
  f.open(f.options("listed"));
  CHECK_FALSE(f.is_in(key));
  // The file is read before the journal.
  f.scratch.write("revoked", f.revocation(4, new_key()));
  f.open(f.options("listed"));
  CHECK_FALSE(f.is_in(key));
}

TEST_CASE("an authority that is taken away takes all its certificates with it, and gives them back", "[access]") {
  Fixture f;
  const auto filed = new_key(), brought = new_key();
  f.scratch.write("certificates/web1", f.certificate(filed));
  f.open(f.options("listed"));
  REQUIRE(f.access->take_certificate(f.certificate(brought)).has_value());
  CHECK(f.is_in(filed));
  const auto file = f.scratch.path + "/ca/ca.public";
  const auto text = *read_whole_file(file, 4096);
  std::filesystem::remove(file);
  CHECK(f.becomes(false, filed));
  CHECK_FALSE(f.is_in(brought));
  f.open(f.options("listed"));
  CHECK_FALSE(f.is_in(brought));
  f.scratch.write("ca/ca.public", text);
  CHECK(f.becomes(true, filed));
  CHECK(f.becomes(true, brought));
}

TEST_CASE("a pin holds after a restart, until it is forgotten", "[access]") {
  Fixture f;
  const auto first = new_key(), second = new_key();
  f.open(f.options("first"));
  CHECK(f.is_in(first));
  f.open(f.options("first"));
  CHECK_FALSE(f.is_in(second));
  CHECK(f.is_in(first));
  CHECK(f.access->forget_pin("db1").has_error());
  CHECK(f.access->forget_pin("web1").has_value());
  CHECK(f.is_in(second));
  CHECK_FALSE(f.is_in(first));
}

TEST_CASE("options that cannot mean what was meant are refused with their key", "[access]") {
  auto refusal = [](json::object options, bool curve = true) {
    for (const auto& problem : check_access(settings_of(std::move(options)), curve))
      if (problem.severity == Problem::Severity::error) return problem.message;
    return std::string("taken");
  };
  CHECK(refusal({}) == "taken");
  CHECK(refusal({{"clients", "first"}}) == "taken");
  CHECK_THAT(refusal({{"clients", "listed"}}), Catch::Contains("modules.mcollective.clients"));
  CHECK_THAT(refusal({{"clients", "first"}}, false), Catch::Contains("curve is false"));
  CHECK_THAT(refusal({{"certificates", "/d"}}), Catch::Contains("certificate_authority"));
  const json::array bad{json::object{{"clients", "a b"}}};
  CHECK_THAT(refusal({{"topics", bad}}), Catch::Contains("topics[].clients"));
  const json::array worse{json::object{{"allow_publish", "a** b"}}};
  CHECK_THAT(refusal({{"topics", worse}}), Catch::Contains("topics[].allow_publish"));
}

TEST_CASE("an entry of topics that allows an empty list allows nothing, and without one it allows all", "[access]") {
  const json::array entries{json::object{{"clients", "web*"}, {"allow_publish", json::array()}}};
  const auto options = read_access_options(settings_of({{"topics", entries}}));
  AccessTable table(options.rules);
  const auto grant = table.grant("key", "web1", 0);
  REQUIRE(grant.has_value());
  CHECK_FALSE(grant->may_publish("mcollective reply web1"));
  CHECK(grant->may_subscribe("mcollective nodes web1"));
  CHECK_FALSE(table.grant("key", "db1", 0)->may_subscribe("mcollective nodes web1"));
}
