// One try to bring a file to a node, and what it sends.
#include "remote_copy.hpp"

#include <support/loop_agent.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace gorgone;
using namespace gorgone::proxy;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

struct RecordingWays final : CopyWays {
  std::vector<std::string> statuses;

  std::optional<CopyWay> way_to(const std::string&) override { return {}; }
  Result<void> send_piece(const CopyWay&, Message message) override {
    const auto data = message.data.json();
    statuses.push_back(text_of(member(*member(**data, "content"), "status")).value_or(""));
    return {};
  }
  void withdraw(const CopyWay&, const std::string&) override {}
  void fetch_log(const std::string&) override {}
  bool runs_content(const std::string&) override { return false; }
  void release(Message, std::int64_t) override {}
  void stored(const std::string&, const Result<bool>&) override {}
  void refuse_copy(const Message&, const Reply&, const Error&, bool) override {}
};

struct CopyFixture {
  fs::path folder;
  gorgone::test::LoopAgent agent;
  RecordingWays ways;

  CopyFixture() {
    std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
    std::ofstream(folder / "file") << "content";
  }
  ~CopyFixture() {
    agent.cancel_all();
    fs::remove_all(folder);
  }

  /// What is sent on such a way while nobody says anything.
  std::vector<std::string> sent_on(CopyWay way) {
    RemoteCopy copy(agent, ways, CopyOrder{folder / "file", "/to", "/cache", "", "", "", "", {}}, "job", "4", std::move(way), 1000, 300ms);
    auto run = [&copy]() -> asio::awaitable<void> { (void)co_await copy.run(); };
    agent.spawn(run());
    agent.run_for(3500ms);
    copy.stop();
    agent.run();
    return ways.statuses;
  }
};

}  // namespace

TEST_CASE_METHOD(CopyFixture, "the last piece of a copy is repeated in silence where others lead to the node") {
  const auto sent = sent_on({"3", "4", Pace::rows});
  REQUIRE(sent.size() >= 4);
  CHECK(sent[0] == "inprogress");
  for (std::size_t i = 1; i < sent.size(); ++i) CHECK(sent[i] == "end");
}

TEST_CASE_METHOD(CopyFixture, "a neighbour and a deployed node get the last piece of a copy once") {
  const auto way = GENERATE(CopyWay{"4", "", Pace::rows}, CopyWay{"3", "4", Pace::polled}, CopyWay{"4", "", Pace::answers});
  CHECK(sent_on(way) == std::vector<std::string>{"inprogress", "end"});
}
