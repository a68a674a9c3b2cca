#include "request.hpp"

#include <catch2/catch.hpp>

#include <climits>

using namespace gorgone;
using namespace gorgone::engine;

namespace {

Result<Request> read(std::string_view text) { return read_request(json::parse(text), "/standard"); }

}  // namespace

TEST_CASE("line breaks in a command separate commands, and empty lines are left out") {
  const auto request = read(R"({"content":{"command_file":"/pipe","commands":["a\nb\r\n\n","c"]}})");
  REQUIRE(request.has_value());
  CHECK(request->command_file == "/pipe");
  CHECK(request->lines == std::vector<std::string>{"a\n", "b\n", "c\n"});
  CHECK(request->ends == std::vector<std::size_t>{2, 3});
  CHECK(request->bytes == 6);
}

TEST_CASE("a request that names no pipe is for the configured one") {
  CHECK(read(R"({"content":{"commands":["a"]}})")->command_file == "/standard");
}

TEST_CASE("what is no list of commands is refused, and what is wrong in a list is named by its index") {
  CHECK(read(R"({"content":[]})").error().message.find("'commands'") != std::string::npos);
  CHECK(read(R"({"content":{"commands":"a"}})").error().message.find("expected array") != std::string::npos);
  CHECK(read(R"({"content":{"commands":["a",""]}})").error().message == "need command argument at array index '1'");
  CHECK(read(R"({"content":{"commands":["a\u0000b"]}})").error().message == "a NUL character in the command at array index '0'");
}

TEST_CASE("a batch holds whole lines, no more than the system writes as one, and a longer line alone") {
  const std::vector<std::string> lines{std::string(PIPE_BUF - 10, 'a'), std::string(10, 'b'), "c", std::string(PIPE_BUF + 1, 'd'), "e"};
  CHECK(batch_end(lines, 0) == 2);
  CHECK(batch_end(lines, 2) == 3);
  CHECK(batch_end(lines, 3) == 4);
  CHECK(batch_end(lines, 4) == 5);
}
