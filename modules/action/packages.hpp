#pragma once
// The packages (plugins) that a command needs, installed before it runs: names, versions and what the package manager
// says of them. No I/O here; package_keeper.hpp runs the programs.

#include <gorgone/json.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::action {

/// name → version; an empty version means any.
using Packages = std::map<std::string, std::string>;

/// Reads {"name": "version"}, {"name": {"version": "…"}}, or a list of names or of {"name", "version"}. Names and
/// versions reach a program that runs as root: an Error where one holds more than letters, digits and . _ + ~ : -
Result<Packages> read_packages(const json::value& value);

/// The versions found in lines of NAME TAB VERSION TAB STATUS; other lines (what is not installed) are passed over.
Packages read_installed(std::string_view output);

/// True where `have` is as new as `want`, compared part by part as far as `want` goes: 20211228-150846 satisfies 20211228.
bool is_recent_enough(std::string_view have, std::string_view want);

/// NAME=VERSION, or NAME, for each that is missing or too old.
std::vector<std::string> to_install(const Packages& wanted, const Packages& installed);

}  // namespace gorgone::action
