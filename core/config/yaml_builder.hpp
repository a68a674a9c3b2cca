#pragma once
// Builds ConfigValues from the events of the YAML parser, one builder per file, on any thread. Works on events because only they
// give the line of each key and let a bomb of aliases be stopped while it is unfolded.

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/mark.h>
#include <core/config/yaml_file.hpp>

#include <functional>
#include <map>
#include <optional>
#include <unordered_map>

namespace gorgone {

/// Throws YAML::ParserException for what it refuses; the mark tells where.
class YamlBuilder : public YAML::EventHandler {
 public:
  /// Gives what stands in place of `!include patterns`.
  using Include = std::function<ConfigValue(const std::string& patterns, const Where& where, std::size_t depth)>;

  YamlBuilder(std::string file, std::size_t depth, YamlBudget& budget, std::vector<Problem>& problems, Include include)
      : file_(std::move(file)), depth_(depth), budget_(budget), problems_(problems), include_(std::move(include)) {}

  ConfigValue take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override;
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& text) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value style) override;
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value style) override;
  void OnMapEnd() override { close(); }

 private:
  // A list or map that is not at its end yet.
  struct Open {
    ConfigValue value;
    YAML::anchor_t anchor = 0;
    YAML::Mark mark = {};
    std::optional<std::string> key = {};
    int key_line = 0;
    std::unordered_map<std::string, std::size_t> places = {};
  };

  void open(ConfigValue::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor);
  void close();
  void add(ConfigValue value, YAML::anchor_t anchor, const YAML::Mark& mark);
  void add_member(Open& map, ConfigValue value, const YAML::Mark& mark);
  bool wants_key() const;
  void count(std::size_t nodes, std::size_t levels, const YAML::Mark& mark);
  ConfigValue made(ConfigValue::Kind kind, const YAML::Mark& mark) const;

  std::string file_;
  std::size_t depth_;
  YamlBudget& budget_;
  std::vector<Problem>& problems_;
  Include include_;
  ConfigValue root_;
  bool has_document_ = false;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, ConfigValue> anchors_;
};

}  // namespace gorgone
