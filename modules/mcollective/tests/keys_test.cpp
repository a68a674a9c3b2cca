#include "keys.hpp"

#include <sys/stat.h>
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

using namespace gorgone::mcollective;

namespace {

struct Folder {
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gorgone-test-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }

  std::string secret() const { return (path / "secret").string(); }
  std::string public_key() const { return (path / "public").string(); }
  std::string text_of(const std::string& file) const {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& file, const std::string& text) const { std::ofstream(file) << text; }
  unsigned mode_of(const std::string& file) const {
    struct stat found {};
    REQUIRE(::stat(file.c_str(), &found) == 0);
    return found.st_mode & 07777;
  }

  std::filesystem::path path;
};

std::string error_of(const Folder& folder) {
  std::string warning;
  const auto pair = load_or_make_pair(folder.secret(), folder.public_key(), warning);
  return pair ? "none" : pair.error().message;
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the examples of Z85's RFC are written and read as it says") {
  CHECK(to_z85(std::string("\x86\x4F\xD2\x6F\xB5\x59\xF7\x5B", 8)) == "HelloWorld");
  // The keys of libzmq's manual and of its tests.
  const auto key = from_z85("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7");
  REQUIRE(key.has_value());
  CHECK(*key ==
        "\x54\xFC\xBA\x24\xE9\x32\x49\x96\x93\x16\xFB\x61\x7C\x87\x2B\xB0\xC1\xD1\xFF\x14\x80\x04\x27\xC5\x94\xCB\xFA\xCF\x1B\xC2\xD6\x52");
  CHECK(to_z85(*key) == "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7");
}

TEST_CASE("a text that is no key is refused without being repeated") {
  CHECK(from_z85("").error().message.starts_with("got 0 characters, expected a key of 40"));
  CHECK(from_z85(std::string(41, 'a')).error().message.starts_with("got 41 characters"));
  CHECK(from_z85(std::string(39, 'a') + '"').error().message.starts_with("character 40 is none of Z85"));
  CHECK(from_z85(std::string(40, '#')).error().message == "characters 1 to 5 are beyond the range of Z85");
}

TEST_CASE("every key comes back from its text") {
  for (int i = 0; i < 50; ++i) {
    const auto pair = new_key_pair();
    CHECK(from_z85(to_z85(pair.secret_key)).value() == pair.secret_key);
  }
}

TEST_CASE("where there are no keys a pair is made, for its owner alone, and read again at the next start") {
  const Folder folder;
  std::string warning;
  const auto made = load_or_make_pair(folder.secret(), folder.public_key(), warning);
  REQUIRE(made.has_value());
  CHECK(folder.mode_of(folder.secret()) == 0600);
  CHECK(folder.mode_of(folder.public_key()) == 0644);
  CHECK(folder.text_of(folder.public_key()) == to_z85(made->public_key) + "\n");
  CHECK(folder.text_of(folder.secret()) == to_z85(made->secret_key) + "\n");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 2);

  const auto read = load_or_make_pair(folder.secret(), folder.public_key(), warning);
  REQUIRE(read.has_value());
  CHECK(read->public_key == made->public_key);
  CHECK(read->secret_key == made->secret_key);
  CHECK(warning.empty());
}

TEST_CASE("a key file is one line, with or without its end") {
  const Folder folder;
  const auto key = new_key_pair().public_key;
  for (const auto* end : {"", "\n", "\r\n", "  \n\n"}) {
    folder.write(folder.public_key(), to_z85(key) + end);
    CHECK(read_key_file(folder.public_key()).value() == key);
  }
  folder.write(folder.public_key(), to_z85(key) + "\n" + to_z85(key) + "\n");
  CHECK(holds(read_key_file(folder.public_key()).error().message, folder.public_key() + ": got 81 characters"));
  CHECK(holds(read_key_file(folder.secret()).error().message, "No such file"));
  CHECK(holds(read_key_file(folder.path.string()).error().message, folder.path.string()));
}

TEST_CASE("half a pair, a pair that does not match, and a secret that others may read are told") {
  const Folder folder;
  const auto pair = new_key_pair();
  folder.write(folder.secret(), to_z85(pair.secret_key) + "\n");
  CHECK(holds(error_of(folder), folder.public_key() + " is not there"));
  folder.write(folder.public_key(), to_z85(new_key_pair().public_key) + "\n");
  CHECK(holds(error_of(folder), "does not hold the public key"));
  folder.write(folder.public_key(), to_z85(pair.public_key) + "\n");
  std::filesystem::permissions(folder.secret(), std::filesystem::perms(0640));
  std::string warning;
  CHECK(load_or_make_pair(folder.secret(), folder.public_key(), warning).has_value());
  CHECK(holds(warning, "mode 0640"));
  std::filesystem::remove(folder.secret());
  CHECK(holds(error_of(folder), folder.secret() + " is not there"));
}

TEST_CASE("a folder that is not there is told, and nothing is left behind") {
  const Folder folder;
  std::string warning;
  const auto made = load_or_make_pair((folder.path / "gone" / "secret").string(), folder.public_key(), warning);
  REQUIRE(made.has_error());
  CHECK(holds(made.error().message, "a new key: "));
  CHECK(holds(made.error().message, "/gone/secret.new-"));
  CHECK(holds(made.error().message, ": cannot be made: No such file"));
  CHECK(std::filesystem::is_empty(folder.path));
}
