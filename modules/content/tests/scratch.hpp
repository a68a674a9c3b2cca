#pragma once
// A folder for one test, removed at its end.

#include <gorgone/files.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace gorgone::content::test {

class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "gorgone-content-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Scratch() { remove_tree(AT_FDCWD, path_); }
  std::string at(const std::string& name) const { return (path_ / name).string(); }
  void write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary | std::ios::trunc) << content;
  }
  std::string read(const std::string& name) const {
    std::ifstream in(path_ / name, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return in ? out.str() : "missing";
  }
  bool has(const std::string& name) const { return std::filesystem::exists(std::filesystem::symlink_status(path_ / name)); }

 private:
  std::filesystem::path path_;
};

/// While it lives the test is somebody whom modes stop; root may do everything.
class Unprivileged {
 public:
  Unprivileged() : was_(::geteuid()) {
    if (was_ == 0 && ::seteuid(somebody) != 0) std::abort();
  }
  ~Unprivileged() {
    if (was_ == 0 && ::seteuid(0) != 0) std::abort();
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;

 private:
  static constexpr uid_t somebody = 65534;
  uid_t was_;
};

}  // namespace gorgone::content::test
