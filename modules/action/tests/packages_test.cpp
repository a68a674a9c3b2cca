#include "packages.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::action;

namespace {

Packages read(std::string_view text) {
  auto packages = read_packages(json::parse(text));
  REQUIRE(packages.has_value());
  return *packages;
}

}  // namespace

TEST_CASE("packages are read from maps of versions, maps of maps and lists") {
  CHECK(read(R"({"a":"1.2","b":20230101,"c":{"version":"3"},"d":null})") ==
        Packages{{"a", "1.2"}, {"b", "20230101"}, {"c", "3"}, {"d", ""}});
  CHECK(read(R"(["a",{"name":"b","version":"2"}])") == Packages{{"a", ""}, {"b", "2"}});
}

TEST_CASE("a name or version that could be taken for something else is refused") {
  for (const auto* text :
       {R"({"--type=x":"1"})", R"({"a b":"1"})", R"({"a":"1;x"})", R"({"":"1"})", R"(["a",{"version":"2"}])", R"({"a":"-1"})"}) {
    INFO(text);
    CHECK_FALSE(read_packages(json::parse(text)).has_value());
  }
  CHECK_FALSE(read_packages(json::value("a")).has_value());
}

TEST_CASE("only lines of what is installed count") {
  auto installed = read_installed("a\t1.2\tinstalled\ndpkg-query: no packages found matching x\nb\t2\tconfig-files\nc\t3-1\tinstalled");
  CHECK(installed == Packages{{"a", "1.2"}, {"c", "3-1"}});
}

TEST_CASE("versions are compared by number, as far as the wanted one goes") {
  CHECK(is_recent_enough("20211228-150846.el8", "20211228"));
  CHECK(is_recent_enough("20220101-1", "20211228-999999"));
  CHECK(is_recent_enough("1.10", "1.9"));
  CHECK(is_recent_enough("1:2.0", "2.0"));
  CHECK(is_recent_enough("1.09", "1.9"));
  CHECK(is_recent_enough("1", ""));
  CHECK_FALSE(is_recent_enough("20211227-235959", "20211228"));
  CHECK_FALSE(is_recent_enough("1.9", "1.10"));
  CHECK_FALSE(is_recent_enough("1", "1.1"));
}

TEST_CASE("what is missing or too old is to be installed, with its version") {
  Packages wanted{{"a", "2"}, {"b", "2"}, {"c", "2"}, {"d", ""}};
  Packages installed{{"a", "2"}, {"b", "1"}};
  CHECK(to_install(wanted, installed) == std::vector<std::string>{"b=2", "c=2", "d"});
}
