#pragma once
// A folder to unpack into, with a folder beside it that nothing may reach. One per process.

#include "tests/fuzz/scratch.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace gorgone::fuzz {

class Sandbox {
 public:
  Sandbox() { reset(); }

  /// As it was at first: the destination holds a folder, a file and two links, one of which leads out.
  void reset();

  std::filesystem::path root() const { return scratch_.path(); }
  std::filesystem::path destination() const { return scratch_.path() / "to"; }
  std::filesystem::path outside() const { return scratch_.path() / "outside"; }
  std::filesystem::path cache() const { return scratch_.path() / "cache"; }
  std::filesystem::path copied() const { return scratch_.path() / "copied"; }  ///< where a single file may be put

  /// Nothing outside of the destination has changed, nothing in it leads out that did not before, nothing unfinished is left that is not
  /// named like that in the archive itself.
  void check(std::string_view archive = {}) const;
  /// The names of all that is in the destination.
  std::vector<std::string> listing() const;

 private:
  void check_outside() const;
  void check_link(const std::filesystem::path& link) const;

  Scratch scratch_;
};

/// From now on every name that is created, opened or renamed below the destination must be one part of a path; the system's
/// folders that are opened for it must lie in `root`. Empty: nothing is checked. Names may begin with `own_folder`, which the code under
/// test makes itself.
void guard_names(const std::string& root, const std::string& own_folder = {});

}  // namespace gorgone::fuzz
