#include "core/host/module_library.hpp"

#include <boost/dll/shared_library.hpp>

#include <algorithm>
#include <map>

namespace gorgone {
namespace {

namespace fs = std::filesystem;
namespace dll = boost::dll;

// Libraries by file identity. The loader knows a library by its path: a file that was replaced since is opened under another
// spelling of the path, so that the new one is read.
struct Opened {
  std::vector<dll::shared_library> libraries;
  std::map<std::string, int> spellings;
};

Opened& opened() {
  static auto* instance = new Opened;  // never destroyed: modules' code must outlive everything
  return *instance;
}

std::string spelled_anew(const fs::path& file) {
  const int times = opened().spellings[file.string()]++;
  std::string path = file.parent_path().string();
  for (int i = 0; i < times; ++i) path += "/.";
  return path + "/" + file.filename().string();
}

}  // namespace

fs::path standard_modules_dir() {
  std::error_code ignored;
  return fs::read_symlink("/proc/self/exe", ignored).parent_path().parent_path() / "lib/gorgone/modules";
}

std::vector<std::string> modules_in(const fs::path& modules_dir) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(modules_dir, ignored))
    if (entry.path().extension() == ".so") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

fs::path library_file(const fs::path& modules_dir, const std::string& library) {
  fs::path file = library.find('/') == std::string::npos ? modules_dir / library : fs::path(library);
  if (file.extension() != ".so") file += ".so";
  return fs::absolute(file).lexically_normal();
}

Result<const ModuleInfo*> open_module(const fs::path& modules_dir, const std::string& library) {
  const fs::path file = library_file(modules_dir, library);
  std::error_code absent;
  if (!fs::is_regular_file(file, absent)) return Error{"there is no " + file.string()};

  boost::system::error_code error;
  std::string why;
  dll::shared_library opened_library;
  try {
    opened_library.load(spelled_anew(file), dll::load_mode::rtld_now | dll::load_mode::rtld_local);
  } catch (const boost::system::system_error& failure) {
    return Error{file.string() + " cannot be loaded: " + failure.what()};
  }
  if (!opened_library.has("gorgone_module_abi") || !opened_library.has("gorgone_module_info"))
    return Error{file.string() + " is no module of this daemon: it has no ABI stamp (GORGONE_MODULE is missing)"};
  const std::string stamp = opened_library.get<const char[sizeof(GORGONE_ABI)]>("gorgone_module_abi");
  if (stamp != GORGONE_ABI) return Error{file.string() + " was built for \"" + printable(stamp) + "\", this daemon is \"" GORGONE_ABI "\""};
  const auto info = opened_library.get<const ModuleInfo*()>("gorgone_module_info");
  opened().libraries.push_back(std::move(opened_library));
  try {
    return info();
  } catch (const std::exception& failure) {
    return Error{file.string() + " failed to describe itself: " + failure.what()};
  }
}

}  // namespace gorgone
