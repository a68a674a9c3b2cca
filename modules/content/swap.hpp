#pragma once
// Puts a built tree in the place of the destination, and finishes what a crash has interrupted. In one step where that is possible:
// destination and staged tree change places (RENAME_EXCHANGE). Else file by file, each in one step. Either way the staging folder's `tree`
// holds afterwards what was there before, and becomes `previous`.
//
// Before the first step the file `switching` is on the disk; with it resume() knows at any time how far it came. Blocking.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "builder.hpp"
#include "staging.hpp"

namespace gorgone::content {

/// One step of a switch file by file.
struct Step {
  enum class Kind { exchange, put, take };
  Kind kind = Kind::exchange;
  std::string path;
  std::uint64_t inode = 0;  ///< of what is to stand there; 0: nothing
};

struct Switch {
  bool in_one_step = true;
  bool is_rollback = false;  ///< the tree is the previous one
  bool keeps_previous = true;
  bool keeps_extra = true;
  std::uint64_t inode = 0;          ///< of the tree that is put in place
  std::optional<Hash> now, before;  ///< manifests of the tree that is put in place and of the one it replaces
  std::vector<Step> steps;          ///< where it is not in one step
  std::string unfinished;           ///< by perform(): what could not be done after it, and is done by a later resume()
};

/// The steps that make the destination what `staged` is: what is equal stays as it is. `goes` tells whether a path that is only at the
/// destination is taken away.
std::vector<Step> steps_between(const Present& staged, const Present& present, const std::function<bool(const Found&)>& goes);

/// Does it. An Error has left the destination as it was; it has code "not_in_one_step" where the file system does not allow it so,
/// "busy" where somebody else is at it.
Result<void> perform(const Staging& staging, Switch& what);

/// Finishes or takes back a switch that was interrupted; true where there was one that was finished. An Error with code "busy" where
/// somebody else is at it.
Result<bool> resume(const Staging& staging);

}  // namespace gorgone::content
