#include <catch2/catch.hpp>
#include <core/config/yaml_file.hpp>
#include <gorgone/config.hpp>
#include <gorgone/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

using namespace gorgone;

namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "gorgone_yaml_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  std::string at(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

// YAML's flow form without needless quotes, to compare whole trees.
std::string flat(const ConfigValue& value) {
  std::string out;
  switch (value.kind) {
    case ConfigValue::Kind::null:
      return "~";
    case ConfigValue::Kind::scalar:
      return value.scalar;
    case ConfigValue::Kind::list:
      for (const ConfigValue& item : value.list) out += (out.empty() ? "" : ",") + flat(item);
      return "[" + out + "]";
    case ConfigValue::Kind::map:
      for (const auto& [name, item] : value.map) out += (out.empty() ? "" : ",") + name + ":" + flat(item);
      return "{" + out + "}";
  }
  return out;
}

struct Loaded {
  ConfigValue value;
  std::vector<Problem> problems;
  std::string text() const { return flat(value); }
};

Loaded loaded(const Folder& folder, const std::string& name = "main.yaml") {
  Loaded out;
  Result<ConfigValue> value = load_yaml(folder.at(name), out.problems);
  INFO((value ? std::string() : value.error().message));
  REQUIRE(value.has_value());
  out.value = std::move(*value);
  return out;
}

std::string refused(const Folder& folder) {
  std::vector<Problem> problems;
  const Result<ConfigValue> value = load_yaml(folder.at("main.yaml"), problems);
  REQUIRE(value.has_error());
  return value.error().message;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("values know their file and line, a value of a map that of its key") {
  const Folder folder;
  folder.write("main.yaml", "a: 1\nb:\n  c:\n    - x\n    - y\n");
  const Loaded all = loaded(folder);
  CHECK(all.text() == "{a:1,b:{c:[x,y]}}");
  CHECK(all.problems.empty());
  CHECK(all.value.find("b")->where.text() == "main.yaml:2");
  CHECK(all.value.find("b")->find("c")->list[1].where.line == 5);
  CHECK(all.value.find("a")->where.file == folder.at("main.yaml"));
}

TEST_CASE("scalars stay text, and nothing is null") {
  const Folder folder;
  folder.write("main.yaml", "a: 'true'\nb: 007\nc:\nd: ~\ne: ''\nf: !!str 5\ng: !other x\n");
  CHECK(loaded(folder).text() == "{a:true,b:007,c:~,d:~,e:,f:5,g:x}");
  folder.write("main.yaml", "");
  CHECK(loaded(folder).value.kind == ConfigValue::Kind::null);
}

TEST_CASE("files of a pattern are taken in byte order, maps merged deeply and lists appended") {
  const Folder folder;
  folder.write("main.yaml", "top: !include conf.d/*.yaml\n");
  folder.write("conf.d/Z.yaml", "name: first\ndeep: {a: {x: 1}, list: [z]}\n");
  folder.write("conf.d/a.yaml", "name: second\ndeep: {a: {y: 2}, list: [a, b]}\n");
  folder.write("conf.d/a10.yaml", "deep:\n  a: {x: 3}\n");
  folder.write("conf.d/b.yml", "never: here\n");
  folder.write("conf.d/sub.yaml/c.yaml", "never: here\n");
  const Loaded all = loaded(folder);
  CHECK(all.text() == "{top:{name:second,deep:{a:{x:3,y:2},list:[z,a,b]}}}");
  CHECK(all.problems.empty());
  CHECK(all.value.find("top")->find("deep")->find("a")->find("x")->where.text() == "a10.yaml:2");
}

TEST_CASE("an included list takes the place of the value") {
  const Folder folder;
  folder.write("main.yaml", "cmds: !include one.yaml, sub/two.yaml\nmore:\n  - !include word.yaml\n");
  folder.write("one.yaml", "- ^a$\n- ^b$\n");
  folder.write("sub/two.yaml", "- ^c$\n");
  folder.write("word.yaml", "hello\n");
  CHECK(loaded(folder).text() == "{cmds:[^a$,^b$,^c$],more:[hello]}");
}

TEST_CASE("included files include relative to themselves, and absolute paths are taken as they are") {
  const Folder folder;
  folder.write("main.yaml", "a: !include sub/a.yaml\nb: !include " + folder.at("abs.yaml") + "\n");
  folder.write("sub/a.yaml", "c: !include c.yaml\n");
  folder.write("sub/c.yaml", "d: !include ../top.yaml\n");
  folder.write("top.yaml", "yes\n");
  folder.write("abs.yaml", "no\n");
  CHECK(loaded(folder).text() == "{a:{c:{d:yes}},b:no}");
}

TEST_CASE("a pattern without a match is no problem, one in a folder that is not there and a path without a file are warnings") {
  const Folder folder;
  folder.write("main.yaml", "a: !include '*.none'\n");
  CHECK(loaded(folder).text() == "{a:~}");
  CHECK(loaded(folder).problems.empty());
  folder.write("main.yaml", "x: 1\na: !include none/*.yaml\n");
  CHECK(loaded(folder).text() == "{x:1,a:~}");
  REQUIRE(loaded(folder).problems.size() == 1);
  CHECK(loaded(folder).problems[0].severity == Problem::Severity::warning);
  CHECK(has(loaded(folder).problems[0].message, "main.yaml:2: !include none/*.yaml: there is no folder"));
  folder.write("main.yaml", "x: 1\na: !include none.yaml\n");
  const Loaded all = loaded(folder);
  REQUIRE(all.problems.size() == 1);
  CHECK(all.problems[0].severity == Problem::Severity::warning);
  CHECK(has(all.problems[0].message, "main.yaml:2: !include none.yaml: there is no file"));
}

TEST_CASE("a broken included file is an error with file and line, and the others are read") {
  const Folder folder;
  folder.write("main.yaml", "a: !include conf.d/*.yaml\n");
  folder.write("conf.d/1.yaml", "ok: 1\n");
  folder.write("conf.d/2.yaml", "x: 1\ny: [1, 2\nz: }\n");
  folder.write("conf.d/3.yaml", "fine: 3\n");
  const Loaded all = loaded(folder);
  CHECK(all.text() == "{a:{ok:1,fine:3}}");
  REQUIRE(all.problems.size() == 1);
  CHECK(all.problems[0].severity == Problem::Severity::error);
  CHECK(has(all.problems[0].message, "2.yaml:3: cannot be parsed as YAML"));
  CHECK(has(all.problems[0].message, "(included at main.yaml:1)"));
}

TEST_CASE("what the parser says of a broken file is told in UTF-8, for it quotes single bytes") {
  const Folder folder;
  folder.write("main.yaml", "a: !include b.yaml\n");
  folder.write("b.yaml", "x: \"\\\xC3\xBF\"\n");
  const Loaded all = loaded(folder);
  REQUIRE(all.problems.size() == 1);
  CHECK(has(all.problems[0].message, "cannot be parsed as YAML: unknown escape character"));
  CHECK(to_utf8(all.problems[0].message) == all.problems[0].message);
}

TEST_CASE("an include loop is an error that names the chain") {
  const Folder folder;
  folder.write("main.yaml", "x: 1\na: !include b.yaml\n");
  folder.write("b.yaml", "c: !include ./sub/../c.yaml\n");
  folder.write("c.yaml", "d: !include main.yaml\n");
  fs::create_directories(folder.at("sub"));
  const Loaded all = loaded(folder);
  CHECK(all.text() == "{x:1,a:{c:{d:~}}}");
  REQUIRE(all.problems.size() == 1);
  CHECK(all.problems[0].message == "c.yaml:1: an include loop: main.yaml -> b.yaml -> c.yaml -> main.yaml");
}

TEST_CASE("the same file may be included twice where it is no loop") {
  const Folder folder;
  folder.write("main.yaml", "a: !include b.yaml\nc: !include b.yaml\n");
  folder.write("b.yaml", "1\n");
  CHECK(loaded(folder).text() == "{a:1,c:1}");
  CHECK(loaded(folder).problems.empty());
}

TEST_CASE("kinds that cannot be joined are an error that names both files") {
  const Folder folder;
  folder.write("main.yaml", "a: !include conf.d/*.yaml\n");
  folder.write("conf.d/1.yaml", "modules: [x]\n");
  folder.write("conf.d/2.yaml", "modules: {y: 1}\n");
  const Loaded all = loaded(folder);
  REQUIRE(all.problems.size() == 1);
  CHECK(has(all.problems[0].message, "modules: a map in 2.yaml:1 cannot be joined with a list in 1.yaml:1"));
  folder.write("conf.d/2.yaml", "- x\n");
  const Loaded whole = loaded(folder);
  REQUIRE(whole.problems.size() == 1);
  CHECK(has(whole.problems[0].message, "the top level of 2.yaml:1: a list in 2.yaml:1 cannot be joined with a map in 1.yaml:1"));
}

TEST_CASE("an include that names no file, or a star in a folder's name, is an error") {
  const Folder folder;
  for (const char* wrong : {"a: !include\n", "a: !include ' , '\n", "a: !include c*/x.yaml\n"}) {
    INFO(wrong);
    folder.write("main.yaml", wrong);
    const Loaded all = loaded(folder);
    REQUIRE(all.problems.size() == 1);
    CHECK(all.problems[0].severity == Problem::Severity::error);
  }
  folder.write("main.yaml", "a: !include [x.yaml]\n");
  CHECK(has(refused(folder), "main.yaml:1"));
}

TEST_CASE("a key that is written twice is a warning and the last one counts") {
  const Folder folder;
  folder.write("main.yaml", "a: 1\nb: 2\na: 3\n");
  const Loaded all = loaded(folder);
  CHECK(all.text() == "{a:3,b:2}");
  REQUIRE(all.problems.size() == 1);
  CHECK(all.problems[0].severity == Problem::Severity::warning);
  CHECK(has(all.problems[0].message, "main.yaml:3: \"a\" is written twice in one map (before at main.yaml:1)"));
}

TEST_CASE("anchors and aliases are followed") {
  const Folder folder;
  folder.write("main.yaml", "a: &x {k: [1, &y 2]}\nb: *x\nc: *y\n");
  CHECK(loaded(folder).text() == "{a:{k:[1,2]},b:{k:[1,2]},c:2}");
}

TEST_CASE("a bomb of aliases, too deep a file and an alias inside of itself are refused") {
  const Folder folder;
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string below = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + below;
    for (int j = 0; j < 9; ++j) bomb += ", " + below;
    bomb += "]\n";
  }
  folder.write("main.yaml", bomb);
  CHECK(has(refused(folder), "more than 1000000 values"));
  folder.write("main.yaml", std::string(101, '[') + std::string(101, ']'));
  CHECK(has(refused(folder), "deeper than 100 levels"));
  folder.write("main.yaml", std::string(100, '[') + std::string(100, ']'));
  CHECK(loaded(folder).problems.empty());
  folder.write("main.yaml", "a: &a [*a]\n");
  CHECK(has(refused(folder), "inside of what it names"));
}

TEST_CASE("files that include each other's successors many times over end at a limit") {
  const Folder folder;
  for (int i = 0; i < 30; ++i) {
    const std::string next = std::to_string(i + 1) + ".yaml";
    folder.write((i == 0 ? "main" : std::to_string(i)) + ".yaml", "!include " + next + "," + next + "\n");
  }
  folder.write("30.yaml", "[x]\n");
  const Loaded all = loaded(folder);
  REQUIRE_FALSE(all.problems.empty());
  CHECK(has(all.problems[0].message, "more than 10000 files"));
}

TEST_CASE("what cannot be read or parsed at all is refused with the reason") {
  const Folder folder;
  CHECK(has(refused(folder), "main.yaml: No such file or directory"));
  fs::create_directories(folder.at("main.yaml"));
  CHECK(has(refused(folder), "it is a directory"));
  fs::remove(folder.at("main.yaml"));
  folder.write("main.yaml", "a: 1\n---\nb: 2\n");
  CHECK(has(refused(folder), "a second document"));
  folder.write("main.yaml", "a: 1\nb: x\x04\nc: 2\n");
  CHECK(has(refused(folder), "main.yaml:2: a control character"));
}

TEST_CASE("a text of which the parser makes documents without end is refused") {
  const Folder folder;
  folder.write("main.yaml", ",\xFF>");
  CHECK(has(refused(folder), "a second document"));
}

TEST_CASE("a file in Latin-1 is read with a warning") {
  const Folder folder;
  folder.write("main.yaml", "a: caf\xE9\n");
  const Loaded all = loaded(folder);
  CHECK(all.text() == "{a:caf\xC3\xA9}");
  CHECK(all.problems.size() == 1);
}

TEST_CASE("a star matches any run of characters and nothing else is special") {
  CHECK(matches_pattern("40-gorgoned.yaml", "*.yaml"));
  CHECK(matches_pattern("abcbc", "a*bc"));
  CHECK(matches_pattern("a", "*a*"));
  CHECK_FALSE(matches_pattern("a.yaml~", "*.yaml"));
  CHECK_FALSE(matches_pattern("axyaml", "*.yaml"));
  CHECK_FALSE(matches_pattern("", "a"));
  CHECK(matches_pattern("", "*"));
}
