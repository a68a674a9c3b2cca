// What REMOTECOPY asks for, and the messages that come of it.
#include "copy_order.hpp"
#include "bulk.hpp"
#include "copy_jobs.hpp"

#include <gorgone/base64.hpp>

#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

using namespace gorgone;
using namespace gorgone::proxy;
namespace fs = std::filesystem;

namespace {

struct SourceFixture {
  fs::path folder;

  SourceFixture() {
    std::string name = fs::temp_directory_path() / "gorgone-XXXXXX";
    folder = ::mkdtemp(name.data());
  }
  ~SourceFixture() { fs::remove_all(folder); }

  void write(const std::string& name, const std::string& content) const {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name) << content;
  }
  CopyOrder order(const std::string& source, const std::string& destination) const {
    return CopyOrder{folder / source, destination, "/cache", "", "", "", "", {}};
  }

  struct Sent {
    std::string bytes;
    std::vector<json::object> contents;
    std::size_t longest = 0;
    Error error{"", ""};
  };
  static Sent pack(const CopyOrder& order, std::size_t piece_bytes) {
    Sent sent;
    auto packer = CopyPacker::open(order, piece_bytes);
    REQUIRE(packer.has_value());
    for (bool is_last = false; !is_last;) {
      auto piece = (*packer)->next();
      if (!piece) {
        sent.error = piece.error();
        break;
      }
      is_last = piece->is_last;
      auto data = json::parse(piece->data).as_object();
      auto& content = data.at("content").as_object();
      if (!is_last) {
        CHECK(content.at("offset").to_number<std::size_t>() == sent.bytes.size());
        const auto bytes = base64_decode(content.at("chunk").at("data").as_string());
        CHECK(content.at("chunk").at("size").to_number<std::size_t>() == bytes.size());
        sent.longest = std::max(sent.longest, bytes.size());
        sent.bytes += bytes;
      }
      CHECK(piece->sent == sent.bytes.size());
      sent.contents.push_back(content);
    }
    return sent;
  }
};

std::string md5(const std::string& bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_md5(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::map<std::string, std::string> members_of(const std::string& packed) {
  std::map<std::string, std::string> members;
  auto* reader = archive_read_new();
  archive_read_support_filter_gzip(reader);
  archive_read_support_format_tar(reader);
  REQUIRE(archive_read_open_memory(reader, packed.data(), packed.size()) == ARCHIVE_OK);
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
    std::string content(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
    archive_read_data(reader, content.data(), content.size());
    if (const auto* target = archive_entry_symlink(entry)) content = std::string("-> ") + target;
    members[archive_entry_pathname(entry)] = content;
  }
  archive_read_free(reader);
  return members;
}

Result<CopyOrder> read(const std::string& content) { return read_copy_order(json::parse(R"({"content":)" + content + "}")); }

}  // namespace

TEST_CASE_METHOD(SourceFixture, "a file goes in pieces of the size that is asked for, and its end has the MD5 of the whole") {
  std::string bytes;
  for (int i = 0; i < 2500; ++i) bytes += static_cast<char>(i * 7);
  write("f", bytes);
  auto order = this->order("f", "/to/x");
  order.mode = "0640";
  const auto sent = pack(order, 1000);
  CHECK(sent.bytes == bytes);
  REQUIRE(sent.contents.size() == 4);
  CHECK(sent.longest == 1000);
  const auto& chunk = sent.contents.front();
  CHECK(chunk.at("status") == "inprogress");
  CHECK(chunk.at("type") == "regular");
  CHECK(chunk.at("needs") == 2500);
  const auto& end = sent.contents.back();
  CHECK(end.at("md5").as_string() == md5(bytes));
  CHECK(end.at("destination") == "/to/x");
  CHECK(end.at("mode") == "0640");
  CHECK(end.at("owner").is_null());
}

TEST_CASE_METHOD(SourceFixture, "a destination that ends in a slash gets the source's name for a file, and keeps its own for a folder") {
  write("d/f", "x");
  CHECK(pack(order("d/f", "/to/"), 1000).contents.back().at("destination") == "/to/f");
  CHECK(pack(order("d", "/to/"), 1000).contents.back().at("destination") == "/to/");
}

TEST_CASE_METHOD(SourceFixture, "an empty file is one empty chunk and an end") {
  write("f", "");
  const auto sent = pack(order("f", "/x"), 1000);
  REQUIRE(sent.contents.size() == 2);
  CHECK(sent.contents[1].at("md5").as_string() == md5(""));
}

TEST_CASE_METHOD(SourceFixture, "a folder goes as a tar.gz with its folders, links and long names, and without pipes") {
  const std::string long_name(200, 'n');
  write("d/sub/a", "1");
  write("d/" + long_name, "2");
  write("d/Umlaut-ä", "3");
  fs::create_directory(folder / "d/empty");
  fs::create_symlink("sub/a", folder / "d/link");
  REQUIRE(::mkfifo((folder / "d/pipe").c_str(), 0600) == 0);
  const auto sent = pack(order("d", "/to"), 100);
  CHECK(sent.contents.front().at("type") == "archive");
  CHECK(sent.longest == 100);
  CHECK(sent.contents.back().at("md5").as_string() == md5(sent.bytes));
  const std::map<std::string, std::string> expected{{"sub/", ""},      {"sub/a", "1"}, {long_name, "2"},
                                                    {"Umlaut-ä", "3"}, {"empty/", ""}, {"link", "-> sub/a"}};
  CHECK(members_of(sent.bytes) == expected);
}

TEST_CASE_METHOD(SourceFixture, "a file that is cut or rewritten while it is read is told as changed") {
  write("f", std::string(3000, 'x'));
  write("d/f", std::string(300'000, 'x'));
  auto file = CopyPacker::open(order("f", "/to"), 1000);
  REQUIRE((*file)->next().has_value());
  fs::resize_file(folder / "f", 1500);
  auto piece = (*file)->next();
  REQUIRE(!piece);
  CHECK(piece.error().code == "changed");
  auto rewritten = CopyPacker::open(order("f", "/to"), 1000);
  REQUIRE((*rewritten)->next().has_value());
  write("f", std::string(1500, 'y'));
  fs::last_write_time(folder / "f", fs::file_time_type::clock::now() + std::chrono::seconds(5));
  CHECK((*rewritten)->next().error().code == "changed");
}

TEST_CASE_METHOD(SourceFixture, "a source is checked against what the order says of it") {
  write("f", "x");
  CHECK(*check_source(order("f", "/to")) == false);
  CHECK(*check_source(order("", "/to")) == true);
  CHECK(check_source(order("none", "/to")).error().message ==
        "remote copy: cannot read source '" + (folder / "none").string() + "': No such file or directory");
  auto wrong = order("f", "/to");
  wrong.type = "archive";
  CHECK(check_source(wrong).error().message == "remote copy: type is 'archive', but source '" + (folder / "f").string() + "' is a file");
  CHECK(check_source(order("../../dev/null", "/to")).error().message.find("is neither a file nor a folder") != std::string::npos);
}

TEST_CASE("what an order lacks or has wrong is named, and what means nothing is remembered") {
  CHECK(read(R"({"source":"a","destination":"/b"})").error().message == "remote copy: source is 'a', expected an absolute path");
  CHECK(read(R"({"source":"/a"})").error().message == "remote copy: destination is '', expected an absolute path");
  CHECK(read(R"({"source":"/a","destination":"/b","type":"engine"})")->type.empty());
  CHECK(read("[]").error().message.find("content is missing") != std::string::npos);
  const auto order = read(R"({"source":"/a","destination":"/b","mode":644,"ower":"x"})");
  REQUIRE(order.has_value());
  CHECK(order->unknown == std::vector<std::string>{"ower"});
  CHECK(order->mode == "644");
  CHECK(order->cache_dir == "/tmp");
}

TEST_CASE("the token of a try is known as one and another each time") {
  const auto token = token_of_try("abc");
  CHECK(token.starts_with("abc-try-"));
  CHECK(is_token_of_try(token));
  CHECK(token != token_of_try("abc"));
  CHECK(token_of_try(std::string(1000, 'x')).size() <= 200);
  CHECK_FALSE(is_token_of_try("abc"));
  CHECK_FALSE(is_token_of_try("-try-0123456"));
  CHECK_FALSE(is_token_of_try("abc-try-0123456X"));
}

TEST_CASE("pieces of content and chunks of tries are kept in no outbox; what starts or undoes a sync is") {
  auto message = [](const std::string& action, const std::string& token) { return Message{action, token, {}, Payload(), {}}; };
  CHECK(is_loose_bulk(message("CONTENTPIECE", "t")));
  CHECK(is_loose_bulk(message("PROCESSCOPY", token_of_try("t"))));
  CHECK_FALSE(is_loose_bulk(message("PROCESSCOPY", "t")));
  for (const char* action : {"CONTENTPUSH", "CONTENTROLLBACK", "COMMAND"}) CHECK_FALSE(is_loose_bulk(message(action, token_of_try("t"))));
  CHECK(is_bulk("PROCESSCOPY"));
  CHECK_FALSE(is_bulk("COMMAND"));
}

TEST_CASE("a message says by its data or by a parameter that it comes after the copies") {
  auto says = [](const char* data) { return is_after_copies(Message{"COMMAND", "t", {}, Payload(data), {}}); };
  CHECK(says(R"({"content":[],"after_copies":true})"));
  CHECK(says(R"({"content":[],"parameters":{"after_copies":"1"}})"));
  CHECK_FALSE(says(R"({"content":[],"after_copies":false})"));
  CHECK_FALSE(says(R"({"content":[],"parameters":{"after_copies":"0"}})"));
  CHECK_FALSE(says(R"({"content":["after_copies"]})"));
}
