#pragma once
// A temporary folder for one process, in memory where the system has such a place; gone at a clean end.

#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>

namespace gorgone::fuzz {

class Scratch {
 public:
  Scratch() {
    std::error_code unknown;
    const auto memory = std::filesystem::is_directory("/dev/shm", unknown) ? std::string("/dev/shm") : std::string();
    std::string name = (memory.empty() ? std::filesystem::temp_directory_path().string() : memory) + "/gorgone-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make the folder " + name);
    path_ = name;
  }
  ~Scratch() {
    std::error_code unknown;
    std::filesystem::remove_all(path_, unknown);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace gorgone::fuzz
