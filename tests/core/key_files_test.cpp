#include "core/wire/key_files.hpp"

#include "core/wire/rsa.hpp"
#include "vectors.hpp"

#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

using namespace gorgone;
namespace fs = std::filesystem;

namespace {

/// A directory of this test's own, gone at its end.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "gorgone-keys-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { fs::remove_all(directory_); }

  std::string operator/(const std::string& name) const { return (directory_ / name).string(); }
  std::string put(const std::string& name, const std::string& text) const {
    std::ofstream{directory_ / name} << text;
    return *this / name;
  }

 private:
  fs::path directory_;
};

unsigned mode_of(const std::string& file) {
  struct stat found {};
  REQUIRE(::stat(file.c_str(), &found) == 0);
  return found.st_mode & 07777U;
}

std::size_t entries(const std::string& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator{directory}, fs::directory_iterator{}));
}

std::string own_key(const char* form) { return test::text_at(test::own_vectors().at("keys").at(0), form); }

}  // namespace

TEST_CASE("a generated pair belongs together, and its modes do not depend on the umask") {
  for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
    const Scratch scratch;
    const auto private_file = scratch / "rsakey.priv.pem";
    const auto public_file = scratch / "rsakey.pub.pem";
    const mode_t before = ::umask(mask);
    const auto made = wire::generate_key_pair(private_file, public_file, 2048);
    ::umask(before);
    REQUIRE(made.has_value());
    CHECK(mode_of(private_file) == 0600);
    CHECK(mode_of(public_file) == 0640);
    const auto private_key = wire::load_private_key(private_file);
    const auto public_key = wire::load_public_key(public_file);
    REQUIRE(private_key.has_value());
    REQUIRE(public_key.has_value());
    CHECK(private_key->bits() == 2048);
    CHECK(private_key->public_key() == *public_key);
    CHECK(test::text_of_file(private_file).starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    CHECK(test::text_of_file(public_file).starts_with("-----BEGIN PUBLIC KEY-----\n"));
    CHECK(entries(scratch / "") == 2);
  }
}

TEST_CASE("directories that are missing are made for the pair, closed to others") {
  const Scratch scratch;
  REQUIRE(wire::generate_key_pair(scratch / "a/b/private.pem", scratch / "c/public.pem", 1024).has_value());
  CHECK((mode_of(scratch / "a/b") & 07U) == 0);
  CHECK(fs::exists(scratch / "c/public.pem"));
}

TEST_CASE("generating again replaces both files, whatever their modes were") {
  const Scratch scratch;
  const auto private_file = scratch.put("private.pem", "old");
  const auto public_file = scratch.put("public.pem", "old");
  fs::permissions(private_file, fs::perms::all);
  REQUIRE(wire::generate_key_pair(private_file, public_file, 1024).has_value());
  CHECK(mode_of(private_file) == 0600);
  CHECK(wire::load_private_key(private_file)->public_key() == wire::load_public_key(public_file).value());
}

TEST_CASE("a pair that cannot be written is told with file and reason, and leaves nothing behind") {
  const Scratch scratch;
  const auto file = scratch.put("file", "");
  const auto below_file = wire::generate_key_pair(file + "/private.pem", file + "/public.pem", 1024);
  REQUIRE(below_file.has_error());
  CHECK(below_file.error().message == file + ": the directory cannot be made: Not a directory");

  fs::create_directory(scratch / "taken");
  const auto on_directory = wire::generate_key_pair(scratch / "private.pem", scratch / "taken", 1024);
  REQUIRE(on_directory.has_error());
  CHECK(on_directory.error().message == scratch / "taken" + ": cannot be put in place: Is a directory");
  CHECK(entries(scratch / "") == 3);

  const auto same = wire::generate_key_pair(scratch / "one.pem", scratch / "one.pem", 1024);
  REQUIRE(same.has_error());
  CHECK(same.error().message == scratch / "one.pem" + ": named for the private and for the public key, expected two files");
}

TEST_CASE("a private key's file serves where a public key is asked for") {
  const Scratch scratch;
  const auto key = wire::load_public_key(scratch.put("key.pem", own_key("pkcs8_private")));
  REQUIRE(key.has_value());
  CHECK(key->pem() == own_key("spki"));
}

TEST_CASE("a key file that cannot be used is told with its name and the reason") {
  const Scratch scratch;
  const auto absent = scratch / "absent.pem";
  CHECK(wire::load_public_key(absent).error().message == absent + ": cannot be read: No such file or directory");
  CHECK(wire::load_private_key(absent).error().message == absent + ": cannot be read: No such file or directory");
  CHECK(wire::load_public_key(scratch / "").error().message == scratch / "" + ": cannot be read: Is a directory");
  const auto empty = scratch.put("empty.pem", "");
  CHECK(wire::load_public_key(empty).error().message == empty + ": no RSA public key: there is nothing in it");
  const auto large = scratch.put("large.pem", std::string(70000, 'x'));
  CHECK(wire::load_public_key(large).error().message == large + ": no key file: it is above 64 KB");
  const auto locked = scratch.put("locked.pem", test::text_at(test::own_vectors().at("encrypted"), "pkcs8"));
  CHECK(wire::load_public_key(locked).error().message ==
        locked + ": no RSA private key: it is encrypted and there is no passphrase for it");
  CHECK(wire::load_private_key(locked, "open sesame").has_value());
  const auto public_only = scratch.put("public.pem", own_key("spki"));
  CHECK(wire::load_private_key(public_only).error().message == public_only + ": no RSA private key: it is a public key");
}

TEST_CASE("a key file that others may read is noticed") {
  const Scratch scratch;
  const auto file = scratch.put("key.pem", "x");
  fs::permissions(file, fs::perms{0640});
  CHECK_FALSE(wire::readable_by_others(file));
  fs::permissions(file, fs::perms{0644});
  CHECK(wire::readable_by_others(file));
  CHECK_FALSE(wire::readable_by_others(scratch / "absent"));
}
