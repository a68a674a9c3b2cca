#pragma once
// A module's shared object: found, opened, its ABI stamp checked before anything else of it is used. It stays mapped until the
// process ends, for objects that its code made (services of the loop, exceptions) may outlive the module.

#include <gorgone/module.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace gorgone {

/// The file of `library`, a name such as "action" or a path, with all of its path.
std::filesystem::path library_file(const std::filesystem::path& modules_dir, const std::string& library);

/// Opens `library`, a name such as "action" or a path. An Error says what file and what is wrong with it.
Result<const ModuleInfo*> open_module(const std::filesystem::path& modules_dir, const std::string& library);

/// The names of all shared objects in the directory, sorted.
std::vector<std::string> modules_in(const std::filesystem::path& modules_dir);

/// Where the modules are when nothing says otherwise: `../lib/gorgone/modules` beside the program.
std::filesystem::path standard_modules_dir();

}  // namespace gorgone
