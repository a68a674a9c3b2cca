#pragma once
// Persistent queues under test: an agent with a journal in a file, and one broker's queues on it.

#include <catch2/catch.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "backbone.hpp"
#include "core/journal/journal_file.hpp"
#include "kept_queues.hpp"
#include "support/loop_agent.hpp"

namespace gorgone::mcollective::test {

class Directory {
 public:
  Directory() {
    auto pattern = (std::filesystem::temp_directory_path() / "gorgone-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("no directory " + pattern);
    path_ = pattern;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

class JournalAgent : public gorgone::test::LoopAgent {
 public:
  explicit JournalAgent(const std::string& file) : file_(loop(), file) {}
  Journal& journal() override { return file_; }

 private:
  JournalFile file_;
};

inline SharedFrames message(const std::string& body) {
  return std::make_shared<const Frames>(Frames{"", "MESSAGE", "TOPIC", "t", "", body});
}

/// One broker's part: its backbone, where it has one, its queues, and what they did.
class Bench {
 public:
  Bench(const std::string& journal, const std::string& yaml) : agent_(journal) {
    Directory directory;
    const auto file = directory.file("options.yaml");
    std::ofstream(file) << yaml;
    std::vector<Problem> problems;
    auto values = std::make_shared<const ConfigValue>(*load_yaml(file, problems));
    auto schema = backbone_schema();
    for (auto& option : kept_schema()) schema.push_back(std::move(option));
    auto shared = std::make_shared<const Schema>(std::move(schema));
    for (const auto& problem : check(*values, *shared, "test")) FAIL(problem.message);
    const Settings settings(shared, values);
    for (const auto& found : {check_backbone(settings), check_kept(settings)})
      for (const auto& problem : found) FAIL(problem.message);
    backbone_ = make_backbone(agent_, settings);
    queues_ = make_kept_queues(agent_, settings, backbone_.get());
    KeptQueues::Events events;
    events.offer = [this](const std::string& topic, const KeptMessage& offered) {
      offers[topic].push_back(offered.frames->back());
      numbers_[topic].push_back(offered.number);
      if (takes) queues_->taken(topic, offered.number);
    };
    events.not_owner = [this](const std::string& topic, const std::string& identity, const std::string& owner) {
      refused_owners.push_back(topic + ": " + identity);
      rightful_owners.push_back(owner);
    };
    events.is_free = [this](const std::string& topic) { freed.push_back(topic); };
    REQUIRE(agent_.wait_for(queues_->start(std::move(events))).has_value());
    if (!backbone_) return;
    Backbone::Events of_backbone;
    of_backbone.message = [this](const std::string& topic, SharedFrames frames) { heard[topic].push_back(frames->back()); };
    of_backbone.sessions_here = [this] { return sessions; };
    backbone_->start(std::move(of_backbone));
  }

  KeptQueues& queues() { return *queues_; }
  Backbone& backbone() { return *backbone_; }
  JournalAgent& agent() { return agent_; }
  void end_queues() { queues_.reset(); }
  /// As the service does.
  void stop() {
    auto both = [this]() -> asio::awaitable<bool> {
      co_await queues_->stop();
      if (backbone_) co_await backbone_->stop();
      co_return true;
    };
    agent_.wait_for(both());
  }
  bool is_up() { return backbone_->describe().at("state") == "up"; }

  /// Puts a message; what came of it is in `results`, by its body.
  void put(const std::string& topic, const std::string& body) {
    queues_->put(topic, message(body), [this, body](Result<void> result) { results[body] = result ? "ok" : result.error().message; });
  }
  void take(const std::string& topic, std::size_t place) { queues_->taken(topic, numbers_[topic].at(place)); }
  void run_for(std::chrono::milliseconds time) { agent_.run_for(time); }

  bool takes = true;  ///< each message at once
  std::map<std::string, std::vector<std::string>> offers, heard;
  std::map<std::string, std::string> results;
  std::vector<SessionPlace> sessions;
  std::vector<std::string> refused_owners, rightful_owners, freed;

 private:
  JournalAgent agent_;
  std::unique_ptr<Backbone> backbone_;
  std::unique_ptr<KeptQueues> queues_;
  std::map<std::string, std::vector<std::uint64_t>> numbers_;
};

/// Runs all benches until `condition` holds; false where it does not within `limit`, that of a plain build.
inline bool within(std::chrono::milliseconds limit, const std::vector<Bench*>& benches, const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + limit * gorgone::test::slowness();
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    for (auto* bench : benches) bench->run_for(std::chrono::milliseconds(2));
  }
  return true;
}

inline std::vector<std::string> numbered(const std::string& name, int from, int until) {
  std::vector<std::string> all;
  for (int i = from; i < until; ++i) all.push_back(name + std::to_string(i));
  return all;
}

}  // namespace gorgone::mcollective::test
