#pragma once
// What other implementations made of the same input: tests/data/vectors.json, and the fleet's own vectors where they are at hand.

#include <boost/json.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

namespace gorgone::test {

// The program lies in build/<preset>/bin of the sources; __FILE__ is no help, for a compiler cache makes it relative.
inline std::filesystem::path source_directory() {
  auto directory = std::filesystem::canonical("/proc/self/exe").parent_path();
  while (directory.has_relative_path() && !std::filesystem::exists(directory / "tests/data/vectors.json"))
    directory = directory.parent_path();
  return directory;
}

inline std::string text_of_file(const std::filesystem::path& file) {
  std::ifstream stream{file, std::ios::binary};
  INFO("reading " << file);
  REQUIRE(stream.good());
  return {std::istreambuf_iterator<char>{stream}, {}};
}

inline boost::json::value own_vectors() { return boost::json::parse(text_of_file(source_directory() / "tests/data/vectors.json")); }

/// conformance/vectors.json below $GORGONE_SHARED or ../shared; nothing, and a warning, where there is none.
inline std::optional<boost::json::value> shared_vectors() {
  const char* const named = std::getenv("GORGONE_SHARED");
  const auto directory = named != nullptr ? std::filesystem::path{named} : source_directory().parent_path() / "shared";
  const auto file = directory / "conformance/vectors.json";
  if (!std::filesystem::exists(file)) {
    WARN("skipped, for there is no " << file << " (GORGONE_SHARED names its directory)");
    return std::nullopt;
  }
  return std::optional<boost::json::value>{boost::json::parse(text_of_file(file))};
}

inline std::string text_at(const boost::json::value& object, const char* name) { return std::string{object.at(name).as_string()}; }

inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

}  // namespace gorgone::test
