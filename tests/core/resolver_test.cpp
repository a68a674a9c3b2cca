#include "core/net/resolver.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>

using gorgone::Error;
using gorgone::Result;
using gorgone::net::Resolver;
using Addresses = Resolver::Addresses;

namespace {

// A name server that says nothing about names that begin with "dead", until it is let go. Outlived by no thread that asks it.
struct NameServer {
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_mute = true;
    std::map<std::string, int> asked;
    int under_way = 0;
  };
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();

  Resolver::Ask ask() {
    return [shared = shared](const std::string& name) -> Result<Addresses> {
      std::unique_lock lock(shared->mutex);
      ++shared->asked[name];
      ++shared->under_way;
      if (name.starts_with("dead")) shared->changed.wait(lock, [&] { return !shared->is_mute; });
      --shared->under_way;
      shared->changed.notify_all();
      if (name.starts_with("dead")) return Error{"no such name"};
      return Addresses{boost::asio::ip::make_address("192.0.2.7")};
    };
  }
  void let_go() {
    const std::lock_guard lock(shared->mutex);
    shared->is_mute = false;
    shared->changed.notify_all();
  }
  int asked(const std::string& name) {
    const std::lock_guard lock(shared->mutex);
    return shared->asked[name];
  }
  int under_way() {
    const std::lock_guard lock(shared->mutex);
    return shared->under_way;
  }
};

struct Asking {
  NameServer server;
  boost::asio::io_context loop;
  Resolver& resolver = boost::asio::use_service<Resolver>(loop);
  std::map<std::string, int> answers;

  Asking() { resolver.set_ask(server.ask()); }
  ~Asking() { server.let_go(); }
  void look_up(const std::string& name) {
    resolver.look_up(name, [this, name](const Result<Addresses>&) { ++answers[name]; });
  }
  void run(std::chrono::milliseconds limit, const std::function<bool()>& is_done) {
    loop.restart();
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!is_done() && std::chrono::steady_clock::now() < until)
      loop.run_one_until(std::min(until, std::chrono::steady_clock::now() + std::chrono::milliseconds(20)));
    CHECK(is_done());
  }
};

}  // namespace

TEST_CASE("names that hang keep no other name waiting for long, however many they are") {
  Asking names;
  const auto dead = Resolver::at_once + 10;
  for (std::size_t i = 0; i < dead; ++i) names.look_up("dead-" + std::to_string(i));
  names.look_up("live");
  CHECK(names.answers.empty());
  const auto begin = std::chrono::steady_clock::now();
  names.run(std::chrono::seconds(30), [&] { return names.answers["live"] == 1; });
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
  CHECK(names.answers.size() == 1);
}

TEST_CASE("a name has one question under way, which answers all who asked, and those that hang do not become threads without end") {
  Asking names;
  for (int i = 0; i < 3; ++i) names.look_up("dead");
  for (std::size_t i = 0; i < 2 * Resolver::threads_max; ++i) names.look_up("dead-" + std::to_string(i));
  names.run(std::chrono::seconds(30), [&] { return names.server.under_way() == static_cast<int>(Resolver::threads_max); });
  CHECK(names.server.asked("dead") == 1);
  names.server.let_go();
  names.run(std::chrono::seconds(30), [&] { return names.answers.size() == 2 * Resolver::threads_max + 1; });
  CHECK(names.answers["dead"] == 3);
  CHECK(names.server.asked("dead") == 1);
}

TEST_CASE("an address is its own answer, and a loop that ends while a name hangs leaves nothing behind") {
  NameServer server;
  {
    boost::asio::io_context loop;
    auto& resolver = boost::asio::use_service<Resolver>(loop);
    resolver.set_ask(server.ask());
    Addresses found;
    resolver.look_up("dead", [](const Result<Addresses>&) { FAIL("called after the loop's end"); });
    resolver.look_up("2001:db8::1", [&](const Result<Addresses>& outcome) { found = *outcome; });
    loop.run_one();
    REQUIRE(found.size() == 1);
    CHECK(found[0].to_string() == "2001:db8::1");
  }
  server.let_go();
  CHECK(server.asked("2001:db8::1") == 0);
}
