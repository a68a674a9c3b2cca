// PROCESSCOPY: rows and what is on the disk after.
#include "copier.hpp"
#include "files.hpp"
#include "partial_file.hpp"
#include "runner_fixture.hpp"

#include <openssl/evp.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <limits>
#include <sstream>

using namespace gorgone;
using namespace gorgone::action::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

struct CopyFixture {
  fs::path folder, cache, destination;
  action::Options options;
  gorgone::test::LoopAgent agent;
  action::Copier copier{agent, options};

  CopyFixture() {
    std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
    cache = folder / "cache";
    destination = folder / "got.bin";
  }
  ~CopyFixture() { fs::remove_all(folder); }

  json::object content(std::string_view status) const {
    json::object content;
    content["status"] = status;
    content["type"] = "regular";
    content["destination"] = destination.string();
    content["cache_dir"] = cache.string();
    content["chunk"] = nullptr;
    content["md5"] = nullptr;
    return content;
  }
  static std::string data(json::object content) {
    json::object data;
    data["content"] = std::move(content);
    return to_text(json::value(std::move(data)));
  }
  /// Base64 with line breaks, as deployed senders make it.
  static std::string base64(std::string_view bytes) {
    std::string text;
    for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(57, bytes.size()))) {
      std::string line(100, '\0');
      auto piece = bytes.substr(0, 57);
      line.resize(
          static_cast<std::size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(line.data()),
                                                   reinterpret_cast<const unsigned char*>(piece.data()), static_cast<int>(piece.size()))));
      text += line + "\n";
    }
    return text;
  }
  static std::string md5(std::string_view bytes) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_md5(), nullptr);
    std::string hex;
    for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
    return hex;
  }
  void send(std::string text, std::string token = "t") {
    agent.spawn(copier.take(message("PROCESSCOPY", std::move(text), std::move(token))));
  }
  void send_chunk(std::string_view bytes, std::int64_t size, const std::string& token = "t") {
    auto chunk = content("inprogress");
    chunk["chunk"] = {{"data", base64(bytes)}, {"size", size}};
    send(data(std::move(chunk)), token);
  }
  void send_file(std::string_view bytes, const std::string& token = "t") {
    for (std::size_t i = 0; i < bytes.size(); i += 1000) {
      auto piece = bytes.substr(i, 1000);
      send_chunk(piece, static_cast<std::int64_t>(piece.size()), token);
    }
  }
  json::object end(std::string_view bytes) const {
    auto last = content("end");
    last["md5"] = md5(bytes);
    return last;
  }
  std::vector<Row> finish(json::object last, const std::string& token = "t") {
    send(data(std::move(last)), token);
    agent.run();
    return rows_of(agent.recorded(), token);
  }
  std::string got() const {
    std::stringstream text;
    text << std::ifstream(destination).rdbuf();
    return text.str();
  }
  static std::string noise(std::size_t size, unsigned x = 1) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
    return bytes;
  }
  bool is_clean() const { return !fs::exists(cache) || fs::is_empty(cache); }
};

}  // namespace

TEST_CASE_METHOD(CopyFixture, "a file in chunks is put together, checked and given its mode") {
  auto bytes = noise(4500);
  send_file(bytes);
  auto last = end(bytes);
  last["mode"] = "0604";
  auto rows = finish(std::move(last));
  REQUIRE(codes(rows) == std::vector<int>{101, 101, 101, 101, 101, 2});
  CHECK(rows[0].message() == "process copy inprogress");
  CHECK(rows[5].data == json::parse(R"({"message":"process copy finished successfully"})").as_object());
  CHECK(got() == bytes);
  struct stat status {};
  REQUIRE(::stat(destination.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0604);
  CHECK(is_clean());
  CHECK(std::distance(fs::directory_iterator(folder), fs::directory_iterator()) == 2);
}

TEST_CASE_METHOD(CopyFixture, "a chunk that was under way when its copy ended makes no new file") {
  action::PartialFile file((cache / "copy_x").string());
  fs::create_directories(cache);
  REQUIRE(file.append("YQ==", 1, 0).has_value());
  file.remove();
  CHECK_FALSE(file.append("YQ==", 1, 0).has_value());
  CHECK(fs::is_empty(cache));
}

TEST_CASE_METHOD(CopyFixture, "copies of several tokens do not mix") {
  std::vector<std::string> files;
  for (unsigned i = 0; i < 4; ++i) files.push_back(noise(20'000, i));
  for (std::size_t at = 0; at < 20'000; at += 1000) {
    for (std::size_t i = 0; i < 4; ++i) send_chunk(std::string_view(files[i]).substr(at, 1000), 1000, "t" + std::to_string(i));
  }
  agent.run();
  for (std::size_t i = 0; i < 4; ++i) {
    destination = folder / ("got" + std::to_string(i));
    CHECK(finish(end(files[i]), "t" + std::to_string(i)).back().code == 2);
    CHECK(got() == files[i]);
  }
}

TEST_CASE_METHOD(CopyFixture, "a wrong MD5 leaves the destination as it was and removes what had come") {
  std::ofstream(destination) << "old";
  send_file("new");
  auto rows = finish(end("other"));
  REQUIRE(codes(rows) == std::vector<int>{101, 1});
  CHECK(rows[1].message() == "md5 does not match");
  CHECK(got() == "old");
  CHECK(is_clean());
}

TEST_CASE_METHOD(CopyFixture, "a chunk of another size than it says fails the copy once; what follows is passed over") {
  send_chunk("abc", 4);
  send_chunk("def", 3);
  auto rows = finish(end("abcdef"));
  REQUIRE(codes(rows) == std::vector<int>{1});
  CHECK(rows[0].message() == "process copy: a chunk holds 3 bytes, expected the 4 that its size says");
  CHECK_FALSE(fs::exists(destination));
  CHECK(is_clean());
  // The token is free again after its end.
  agent.recorded().rows.clear();
  send_file("again");
  CHECK(finish(end("again")).back().code == 2);
}

TEST_CASE_METHOD(CopyFixture,
                 "an existing file keeps its mode where no other is asked for, and a link leads to the file that is replaced") {
  std::ofstream(folder / "real") << "old";
  ::chmod((folder / "real").c_str(), 0600);
  fs::create_symlink(folder / "real", destination);
  send_file("new");
  CHECK(finish(end("new")).back().code == 2);
  CHECK(fs::is_symlink(destination));
  CHECK(got() == "new");
  struct stat status {};
  ::stat((folder / "real").c_str(), &status);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE_METHOD(CopyFixture, "an owner that is not known here is a warning in the last row, not the end of the copy") {
  send_file("x");
  auto last = end("x");
  last["owner"] = "no-such-user-x";
  auto rows = finish(std::move(last));
  REQUIRE(rows.back().code == 2);
  CHECK(rows.back().data.at("warnings") == json::parse(R"(["owner 'no-such-user-x' is not known here"])"));
}

TEST_CASE_METHOD(CopyFixture, "what is missing or wrong in a request is named") {
  auto [key, value, text] = GENERATE(table<std::string, json::value, std::string>({
      {"status", json::value("x"), "process copy: status is 'x', expected inprogress or end"},
      {"type", json::value(nullptr), "process copy: type is '', expected regular or archive"},
      {"cache_dir", json::value("cache"), "process copy: cache_dir is 'cache', expected an absolute path"},
      {"destination", json::value(nullptr), "process copy: destination is '', expected an absolute path"},
      {"mode", json::value("abc"), "process copy: mode \"abc\" is not known, expected an octal number such as 0644"},
  }));
  send_file("x");
  auto last = end("x");
  last[key] = value;
  auto rows = finish(std::move(last));
  REQUIRE(codes(rows) == std::vector<int>{101, 1});
  CHECK(rows[1].message() == text);
  CHECK(is_clean());
}

TEST_CASE_METHOD(CopyFixture, "a destination that cannot be written is told with the system's reason") {
  destination = folder / "no/such/file";
  send_file("x");
  auto rows = finish(end("x"));
  REQUIRE(rows.back().code == 1);
  CHECK(rows.back().message().find("process copy: cannot create a file in '" + (folder / "no/such").string() + "'") == 0);
  CHECK(is_clean());
}

TEST_CASE_METHOD(CopyFixture, "an archive is unpacked over its destination") {
  fs::create_directory(folder / "from");
  std::ofstream(folder / "from/a") << "1";
  fs::create_directory(folder / "from/d");
  std::ofstream(folder / "from/d/b") << "2";
  REQUIRE(std::system(("tar -C " + (folder / "from").string() + " -czf " + (folder / "x.tgz").string() + " .").c_str()) == 0);
  std::stringstream packed;
  packed << std::ifstream(folder / "x.tgz").rdbuf();
  destination = folder / "to/";
  send_file(packed.str());
  auto last = end(packed.str());
  last["type"] = "archive";
  REQUIRE(finish(std::move(last)).back().code == 2);
  destination = folder / "to/d/b";
  CHECK(got() == "2");
  CHECK(is_clean());
}

TEST_CASE_METHOD(CopyFixture, "a token cannot name a file outside of the cache folder") {
  auto path = action::partial_path("/c", "../../etc/x");
  CHECK(path.find("/c/copy_") == 0);
  CHECK(path.find('/', 3) == std::string::npos);
  CHECK(path.find("..") == std::string::npos);
  CHECK(action::partial_path("/c", "a-B_9") == "/c/copy_a-B_9");
  CHECK(action::partial_path("/c", "..") != action::partial_path("/c", "./"));
  send_chunk("x", 1, "../got.bin");
  CHECK(finish(end("x"), "../got.bin").back().code == 2);
}

TEST_CASE_METHOD(CopyFixture, "a link in the place of the partial file is not followed") {
  fs::create_directory(cache);
  std::ofstream(folder / "victim") << "";
  fs::create_symlink(folder / "victim", cache / "copy_t");
  send_chunk("x", 1);
  CHECK(finish(end("x")).back().code == 1);
  CHECK(fs::file_size(folder / "victim") == 0);
}

TEST_CASE_METHOD(CopyFixture, "a copy that nothing more comes of is given up, and so are an earlier run's leftovers") {
  options.copy_idle = 1s;
  fs::create_directory(cache);
  auto leftover = cache / ("copy_" + std::string(128, 'a'));
  std::ofstream(leftover) << "x";
  fs::last_write_time(leftover, fs::file_time_type::clock::now() - 2s);
  std::ofstream(cache / "copy_other") << "x";
  fs::last_write_time(cache / "copy_other", fs::file_time_type::clock::now() - 2s);
  agent.spawn(copier.watch_idle());
  send_chunk("x", 1);
  agent.run_for(300ms);
  CHECK_FALSE(fs::exists(leftover));
  CHECK(fs::exists(cache / "copy_t"));
  agent.run_for(2s);
  agent.cancel_all();
  agent.run();
  CHECK_FALSE(fs::exists(cache / "copy_t"));
  CHECK(fs::exists(cache / "copy_other"));
  auto rows = rows_of(agent.recorded(), "t");
  REQUIRE(codes(rows) == std::vector<int>{101, 1});
  CHECK(rows[1].message() == "process copy given up: nothing has come for 1 s");
}

TEST_CASE_METHOD(CopyFixture, "with offsets a chunk that came already is passed over, and one after a gap asks for another try") {
  auto chunk_at = [&](std::int64_t offset, std::string_view bytes, const std::string& token) {
    auto chunk = content("inprogress");
    chunk["offset"] = offset;
    chunk["chunk"] = {{"data", base64(bytes)}, {"size", bytes.size()}};
    send(data(std::move(chunk)), token);
  };
  chunk_at(0, "abc", "t");
  chunk_at(3, "def", "t");
  chunk_at(0, "abc", "t");
  auto rows = finish(end("abcdef"));
  CHECK(codes(rows) == std::vector<int>{101, 101, 101, 2});
  CHECK(rows[1].data.at("bytes") == 6);
  CHECK(got() == "abcdef");

  chunk_at(0, "abc", "gap");
  chunk_at(6, "ghi", "gap");
  agent.run();
  rows = rows_of(agent.recorded(), "gap");
  REQUIRE(codes(rows) == std::vector<int>{101, 1});
  CHECK(rows[1].data.at("error") == "again");
  CHECK(rows[1].message() == "process copy: a chunk begins at byte 6, but 3 bytes have come");

  chunk_at(std::numeric_limits<std::int64_t>::max(), "abc", "far away");
  agent.run();
  rows = rows_of(agent.recorded(), "far away");
  REQUIRE(codes(rows) == std::vector<int>{1});
  CHECK(rows[0].data.at("error") == "again");
}

TEST_CASE_METHOD(CopyFixture, "the end of a copy of which nothing is here any more asks for another try") {
  send_chunk("a", 1, "job-try-00000001");
  agent.run();
  agent.spawn(copier.stop());
  agent.run();
  action::Copier restarted{agent, options};
  agent.spawn(restarted.take(message("PROCESSCOPY", data(end("a")), "job-try-00000001")));
  agent.run();
  const auto rows = rows_of(agent.recorded(), "job-try-00000001");
  REQUIRE(codes(rows) == std::vector<int>{101, 1});
  CHECK(rows[1].data.at("error") == "again");
  CHECK_FALSE(fs::exists(destination));
}

TEST_CASE_METHOD(CopyFixture, "another try of a copy takes the place of the one before it, on the disk too") {
  send_chunk("old", 3, "job-try-00000001");
  agent.run();
  REQUIRE(fs::exists(cache / "copy_job-try-00000001"));
  std::ofstream(cache / "copy_job-try-00000002") << "of an earlier run";
  std::ofstream(cache / "copy_job2-try-00000001") << "of another copy";
  auto chunk = content("inprogress");
  chunk["offset"] = 0;
  chunk["chunk"] = {{"data", base64("new")}, {"size", 3}};
  send(data(std::move(chunk)), "job-try-00000003");
  agent.run();
  CHECK_FALSE(fs::exists(cache / "copy_job-try-00000001"));
  CHECK_FALSE(fs::exists(cache / "copy_job-try-00000002"));
  CHECK(fs::exists(cache / "copy_job2-try-00000001"));
  CHECK(finish(end("new"), "job-try-00000003").back().code == 2);
  CHECK(got() == "new");
}

TEST_CASE_METHOD(CopyFixture, "a stop takes away what tries have brought, and leaves other copies to go on after it") {
  send_chunk("a", 1, "job-try-00000001");
  send_chunk("b", 1, "deployed");
  agent.run();
  agent.spawn(copier.stop());
  agent.run();
  CHECK_FALSE(fs::exists(cache / "copy_job-try-00000001"));
  CHECK(fs::exists(cache / "copy_deployed"));
}

TEST_CASE_METHOD(CopyFixture,
                 "a copy that is being put in place when the daemon stops is put there, and one that fails then may be tried again") {
  const auto bytes = noise(2000);
  for (const bool is_right : {true, false}) {
    const std::string token = is_right ? "job-try-00000001" : "job-try-00000002";
    send_file(bytes, token);
    agent.run();
    // No thread is free for it until the stop has been asked for.
    std::promise<void> go_on;
    const auto until = go_on.get_future().share();
    for (int i = 0; i < 2; ++i) agent.on_pool([until] { until.wait(); });
    send(data(is_right ? end(bytes) : end("other")), token);
    agent.run_for(20ms);
    agent.spawn(copier.stop());
    agent.run_for(20ms);
    go_on.set_value();
    agent.run();
    const auto last = rows_of(agent.recorded(), token).back();
    CHECK(last.code == (is_right ? 2 : 1));
    CHECK(got() == bytes);
    CHECK_FALSE(fs::exists(cache / ("copy_" + token)));
    if (!is_right) CHECK(last.data.at("error") == "stopping");
  }
}

TEST_CASE_METHOD(CopyFixture, "a copy that needs more than the disk has is refused at its first chunk") {
  auto chunk = content("inprogress");
  chunk["offset"] = 0;
  chunk["needs"] = std::int64_t{1} << 60;
  chunk["chunk"] = {{"data", base64("abc")}, {"size", 3}};
  send(data(std::move(chunk)));
  agent.run();
  auto rows = rows_of(agent.recorded(), "t");
  REQUIRE(codes(rows) == std::vector<int>{1});
  CHECK(rows[0].message().find("process copy: no room for '") == 0);
  CHECK(is_clean());
}

TEST_CASE_METHOD(CopyFixture, "a copy whose chunks came partly before a restart is checked as a whole") {
  send_chunk("before ", 7);
  agent.run();
  action::Copier restarted(agent, options);
  auto chunk = content("inprogress");
  chunk["chunk"] = {{"data", base64("after")}, {"size", 5}};
  agent.spawn(restarted.take(message("PROCESSCOPY", data(std::move(chunk)), "t")));
  agent.spawn(restarted.take(message("PROCESSCOPY", data(end("before after")), "t")));
  agent.run();
  CHECK(rows_of(agent.recorded(), "t").back().code == 2);
  CHECK(got() == "before after");
}

TEST_CASE_METHOD(CopyFixture, "chunks that the disk is too slow for are refused as busy, once for a copy") {
  options.copy_queue_bytes = 3000;
  auto bytes = noise(10'000);
  send_file(bytes);
  auto rows = finish(end(bytes));
  CHECK(rows.back().code != 2);
  int busy = 0;
  for (const auto& row : rows) {
    if (row.code == 1) {
      ++busy;
      CHECK(row.message().find("busy: ") == 0);
    }
  }
  CHECK(busy == 1);
  CHECK_FALSE(fs::exists(destination));
  CHECK(is_clean());
}

TEST_CASE_METHOD(CopyFixture, "as many copies as the bound are open at once, and one that has ended or failed makes room for the next") {
  const auto token = [](std::size_t number) { return fmt::format("many-{}", number); };
  for (std::size_t i = 0; i < action::Copier::copies_max; ++i) send_chunk("abc", 3, token(i));
  send_chunk("abc", 3, "beyond");
  agent.run();
  auto rows = rows_of(agent.recorded(), "beyond");
  REQUIRE(codes(rows) == std::vector<int>{1});
  CHECK(rows[0].message() == "busy: 1000 copies are under way already");
  CHECK(codes(rows_of(agent.recorded(), token(999))) == std::vector<int>{101});

  // It fails, and its end never comes.
  send_chunk("abc", 4, token(0));
  agent.run();
  send_chunk("abc", 3, "next");
  send_chunk("abc", 3, "too many");
  agent.run();
  CHECK(codes(rows_of(agent.recorded(), "next")) == std::vector<int>{101});
  CHECK(codes(rows_of(agent.recorded(), "too many")) == std::vector<int>{1});
  // What still comes of it is passed over.
  send_chunk("abc", 3, token(0));
  agent.run();
  CHECK(codes(rows_of(agent.recorded(), token(0))) == std::vector<int>{101, 1});

  finish(end("abc"), token(1));
  send_chunk("abc", 3, "after an end");
  agent.run();
  CHECK(codes(rows_of(agent.recorded(), "after an end")) == std::vector<int>{101});
}

TEST_CASE_METHOD(CopyFixture, "copies that fail without an end keep none of the next from being taken") {
  for (std::size_t i = 0; i < 2 * action::Copier::copies_max + 5; ++i) send_chunk("abc", 4, fmt::format("failed-{}", i));
  agent.run();
  CHECK(agent.recorded().rows.size() == 2 * action::Copier::copies_max + 5);
  send_chunk("abc", 3);
  CHECK(finish(end("abc")).back().code == 2);
}
