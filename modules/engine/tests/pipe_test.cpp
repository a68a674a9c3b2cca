#include "pipe_fixture.hpp"

#include <climits>

using namespace gorgone;
using namespace gorgone::engine;
using namespace gorgone::engine::test;
using Catch::Matchers::Contains;

namespace {

PipeFixture::Lines numbered(int count, std::size_t size = 80) {
  PipeFixture::Lines lines;
  for (int number = 0; number < count; ++number) {
    auto line = std::to_string(number);
    line.resize(size - 1, '.');
    lines.push_back(line + '\n');
  }
  return lines;
}

std::string joined(const PipeFixture::Lines& lines) {
  std::string all;
  for (const auto& line : lines) all += line;
  return all;
}

constexpr auto a_moment = std::chrono::milliseconds(60);

}  // namespace

TEST_CASE_METHOD(PipeFixture, "requests reach the reader whole and in the order they came") {
  Reader reader(path);
  const auto first = start({"a\n", "b\n"});
  const auto second = start({"c\n"});
  agent.run();
  CHECK(reader.read() == "a\nb\nc\n");
  CHECK(first->written == 2);
  CHECK(second->outcome->has_value());
}

TEST_CASE_METHOD(PipeFixture, "a reader that comes a little later gets what waited, once") {
  const auto run = start({"a\n"});
  agent.run_for(a_moment);
  CHECK(!run->outcome.has_value());
  Reader reader(path);
  agent.run();
  CHECK(reader.read() == "a\n");
}

TEST_CASE_METHOD(PipeFixture, "without a reader all that waited is refused when the time is up, not one after the other") {
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::shared_ptr<Run>> runs;
  for (int number = 0; number < 5; ++number) runs.push_back(start({"a\n"}));
  agent.run();
  for (const auto& run : runs) CHECK_THAT(message_of(*run), Contains("has no reader"));
  CHECK(std::chrono::steady_clock::now() - began < 3 * limits.reader);
}

TEST_CASE_METHOD(PipeFixture, "what is no pipe is refused at once, what is missing when the time is up") {
  std::filesystem::remove(path);
  CHECK_THAT(message_of(*finish({"a\n"})), Contains("'" + path + "' must exist"));
  std::filesystem::create_directory(path);
  const auto began = std::chrono::steady_clock::now();
  CHECK_THAT(message_of(*finish({"a\n"})), Contains("must be a pipe file"));
  CHECK(std::chrono::steady_clock::now() - began < limits.reader);
}

TEST_CASE_METHOD(PipeFixture, "a full pipe is waited for, and every line arrives once") {
  Reader reader(path);
  const auto lines = numbered(4000);
  const auto run = start(lines);
  agent.run_for(a_moment);
  CHECK(!run->outcome.has_value());
  std::string seen;
  while (agent.running() > 0) {
    seen += reader.read(30000);
    agent.run_for(std::chrono::milliseconds(5));
  }
  CHECK(seen + reader.read() == joined(lines));
  CHECK(run->outcome->has_value());
}

TEST_CASE_METHOD(PipeFixture, "a pipe that stays full is given up, with whole lines in it") {
  Reader reader(path);
  const auto lines = numbered(4000);
  const auto run = finish(lines);
  CHECK_THAT(message_of(*run), Contains("was full for 0.7 s"));
  const auto seen = reader.read();
  CHECK(run->written * 80 == seen.size());
  CHECK(seen == joined(lines).substr(0, seen.size()));
}

TEST_CASE_METHOD(PipeFixture, "a line longer than the system writes at once arrives whole") {
  Reader reader(path);
  const std::string line = std::string(200000, 'x') + '\n';
  const auto run = start({"before\n", line, "after\n"});
  std::string seen;
  while (agent.running() > 0) {
    seen += reader.read(10000);
    agent.run_for(std::chrono::milliseconds(2));
  }
  CHECK(seen + reader.read() == "before\n" + line + "after\n");
}

TEST_CASE_METHOD(PipeFixture, "a long line that was cut off is told, and nothing stands behind its part on the same line") {
  std::string seen;
  {
    Reader reader(path);
    const auto run = finish({std::string(200000, 'x') + '\n', "never\n"});
    CHECK_THAT(message_of(*run), Contains("written in part"));
    CHECK(run->written == 0);
    seen = reader.read();
    CHECK(seen.find('\n') == std::string::npos);
    finish({"next\n"});
    CHECK(reader.read() == "\nnext\n");
  }
}

TEST_CASE_METHOD(PipeFixture,
                 "a reader that goes away in the middle of a long line ends the request, and half of the line is not sent to the next") {
  auto reader = std::make_unique<Reader>(path);
  const auto run = start({std::string(200000, 'x') + '\n'});
  agent.run_for(a_moment);
  reader.reset();
  agent.run();
  CHECK_THAT(message_of(*run), Contains("went away in the middle of a line"));
  Reader next(path);
  CHECK(next.read().empty());
}

TEST_CASE_METHOD(PipeFixture, "lines that a reader that went away left unwritten go to the next reader") {
  auto reader = std::make_unique<Reader>(path);
  const auto lines = numbered(2000);
  const auto run = start(lines);
  agent.run_for(a_moment);
  const auto before = run->written;
  const auto seen = reader->read(before * 80);
  reader.reset();
  agent.run_for(a_moment);
  Reader next(path);
  std::string rest;
  while (agent.running() > 0) {
    rest += next.read(30000);
    agent.run_for(std::chrono::milliseconds(5));
  }
  CHECK(seen + rest + next.read() == joined(lines));
}

TEST_CASE_METHOD(PipeFixture, "a pipe that was replaced while the old one was full gets the rest") {
  Reader old_reader(path);
  const auto lines = numbered(2000);
  const auto run = start(lines);
  agent.run_for(a_moment);
  std::filesystem::remove(path);
  make_pipe();
  Reader reader(path);
  std::string rest;
  while (agent.running() > 0) {
    rest += reader.read(30000);
    agent.run_for(std::chrono::milliseconds(5));
  }
  CHECK(old_reader.read() + rest + reader.read() == joined(lines));
}

TEST_CASE_METHOD(PipeFixture, "the pipe is closed when nobody has anything to write, so that its reader sees the end") {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  finish({"a\n"});
  char byte[4];
  CHECK(::read(descriptor, byte, 4) == 2);
  CHECK(::read(descriptor, byte, 4) == 0);
  ::close(descriptor);
}
