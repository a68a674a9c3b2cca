#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>
#include <core/config/merge.hpp>
#include <core/config/yaml_builder.hpp>
#include <core/config/yaml_file.hpp>
#include <gorgone/log.hpp>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace gorgone {

namespace {

namespace fs = std::filesystem;

// The parser takes some control characters for the end of the file and would drop the rest without a word.
int line_of_control_character(const std::string& text) {
  int line = 1;
  for (char c : text) {
    if (c == '\n') ++line;
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t') return line;
  }
  return 0;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string::npos ? std::string() : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string identity_of(const std::string& file) {
  std::error_code failure;
  const fs::path whole = fs::canonical(file, failure);
  return failure ? file : whole.string();
}

// Listens to nothing.
class Deaf final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// The parser notices a quote that is never closed only where no white space follows to the end of the file.
void find_open_quote(const std::string& text) {
  std::istringstream in(text.substr(0, text.find_last_not_of(" \t\r\n") + 1));
  YAML::Parser parser(in);
  Deaf deaf;
  // One document: a file with more is refused, and there are texts of which the parser makes documents without end.
  parser.HandleNextDocument(deaf);
}

ConfigValue build(const std::string& text, YamlBuilder& builder) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  while (parser.HandleNextDocument(builder)) {
  }
  find_open_quote(text);
  return builder.take();
}

}  // namespace

Result<std::string> YamlLoader::read(const std::string& file) {
  if (++budget_.files > YamlBudget::files_max) {
    return Error{fmt::format("cannot read {}: more than {} files in one configuration", printable(file), YamlBudget::files_max)};
  }
  std::error_code failure;
  if (fs::is_directory(file, failure)) return Error{fmt::format("cannot read {}: it is a directory, expected a file", printable(file))};
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) return Error{fmt::format("cannot read {}: {}", printable(file), std::generic_category().message(errno == 0 ? EIO : errno))};
  std::string text;
  char buffer[65536];
  while (in.read(buffer, sizeof buffer) || in.gcount() > 0) {
    text.append(buffer, static_cast<std::size_t>(in.gcount()));
    if (text.size() > YamlBudget::bytes_max) {
      return Error{fmt::format("cannot read {}: larger than {} bytes", printable(file), YamlBudget::bytes_max)};
    }
  }
  if (in.bad()) return Error{fmt::format("cannot read {} to its end", printable(file))};
  if (const int line = line_of_control_character(text); line > 0) {
    return Error{fmt::format("{}: a control character, expected plain text in UTF-8", Where{file, line}.text())};
  }
  std::string converted = to_utf8(text);
  if (converted != text) report(Problem::Severity::warning, {file, 0}, "not all of it is UTF-8; those bytes are read as Latin-1");
  return {boost::system::in_place_value, std::move(converted)};
}

Result<ConfigValue> YamlLoader::load(const std::string& file, std::size_t depth) {
  Result<std::string> text = read(file);
  if (!text) return text.error();
  chain_.emplace_back(identity_of(file), Where{file, 0}.text());
  YamlBuilder builder(file, depth, budget_, problems_, [this](const std::string& patterns, const Where& where, std::size_t level) {
    return include(patterns, where, level);
  });
  Result<ConfigValue> loaded = ConfigValue();
  try {
    *loaded = build(*text, builder);
    if (loaded->where.file.empty()) loaded->where.file = file;
  } catch (const YAML::Exception& e) {
    loaded = Error{fmt::format("{}: cannot be parsed as YAML: {}", Where{file, e.mark.line + 1}.text(), printable(e.msg, 300))};
  }
  chain_.pop_back();
  return loaded;
}

ConfigValue YamlLoader::include(const std::string& patterns, const Where& where, std::size_t depth) {
  ConfigValue all;
  all.where = where;
  std::istringstream parts(patterns);
  bool has_pattern = false;
  for (std::string part; std::getline(parts, part, ',');) {
    const std::string pattern = trimmed(part);
    if (pattern.empty()) continue;
    has_pattern = true;
    for (const std::string& file : files_of(pattern, where)) include_file(all, file, where, depth);
  }
  if (!has_pattern) report(Problem::Severity::error, where, "!include names no file, expected a path or a pattern such as config.d/*.yaml");
  return all;
}

void YamlLoader::include_file(ConfigValue& into, const std::string& file, const Where& where, std::size_t depth) {
  const std::string identity = identity_of(file);
  const auto first = std::find_if(chain_.begin(), chain_.end(), [&](const auto& link) { return link.first == identity; });
  if (first != chain_.end()) {
    std::string names;
    for (auto link = first; link != chain_.end(); ++link) names += link->second + " -> ";
    return report(Problem::Severity::error, where, fmt::format("an include loop: {}{}", names, Where{file, 0}.text()));
  }
  Result<ConfigValue> loaded = load(file, depth + 1);
  if (!loaded) {
    problems_.push_back({Problem::Severity::error, fmt::format("{} (included at {})", loaded.error().message, where.text())});
    return;
  }
  merge(into, std::move(*loaded), {}, problems_);
}

std::vector<std::string> YamlLoader::files_of(const std::string& pattern, const Where& where) {
  const fs::path path = fs::path(where.file).parent_path() / pattern;
  const std::string name = path.filename().string();
  std::error_code failure;
  if (path.parent_path().string().find('*') != std::string::npos) {
    report(Problem::Severity::error, where, fmt::format("!include {}: expected \"*\" in the file's name only", printable(pattern)));
    return {};
  }
  if (name.find('*') == std::string::npos) {
    if (fs::exists(path, failure) || failure) return {path.string()};
    report(Problem::Severity::warning, where,
           fmt::format("!include {}: there is no file {}", printable(pattern), printable(path.string())));
    return {};
  }
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::vector<std::string> files;
  fs::directory_iterator entries(folder, failure);
  if (failure && failure != std::errc::no_such_file_or_directory) {
    report(Problem::Severity::error, where,
           fmt::format("!include {}: cannot list {}: {}", printable(pattern), folder.string(), failure.message()));
  } else if (failure) {
    // That a folder holds nothing is usual; that it is not there is a slip of the pen.
    report(Problem::Severity::warning, where, fmt::format("!include {}: there is no folder {}", printable(pattern), folder.string()));
  }
  for (; !failure && entries != fs::directory_iterator(); entries.increment(failure)) {
    std::error_code unknown;
    const std::string found = entries->path().filename().string();
    // As in the deployed daemon folders and dangling links are passed over.
    if (matches_pattern(found, name) && entries->is_regular_file(unknown)) files.push_back((path.parent_path() / found).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

void YamlLoader::report(Problem::Severity severity, const Where& where, const std::string& message) {
  problems_.push_back({severity, fmt::format("{}: {}", where.text(), message)});
}

ConfigValue parse_yaml_text(const std::string& text) {
  YamlBudget budget;
  std::vector<Problem> problems;
  YamlBuilder builder("", 0, budget, problems, [](const std::string&, const Where&, std::size_t) -> ConfigValue {
    throw std::logic_error("a default includes nothing");
  });
  try {
    return build(text, builder);
  } catch (const YAML::Exception& e) {
    throw std::logic_error("the default \"" + text + "\" is no YAML: " + e.msg);
  }
}

bool matches_pattern(std::string_view name, std::string_view pattern) {
  std::size_t at = 0, in_pattern = 0, star = std::string_view::npos, resume = 0;
  while (at < name.size()) {
    // Only the last star ever has to take more: an earlier one that took more could not find what a later one cannot.
    if (in_pattern < pattern.size() && pattern[in_pattern] == '*') {
      star = in_pattern++;
      resume = at;
    } else if (in_pattern < pattern.size() && pattern[in_pattern] == name[at]) {
      ++in_pattern;
      ++at;
    } else if (star != std::string_view::npos) {
      in_pattern = star + 1;
      at = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', in_pattern) == std::string_view::npos;
}

Result<ConfigValue> load_yaml(const std::string& file, std::vector<Problem>& problems) { return YamlLoader(problems).load(file); }

}  // namespace gorgone
