#pragma once
// Owner, group and mode of what a copy brings. Pure system calls, on a pool thread.

#include <gorgone/files.hpp>
#include <gorgone/result.hpp>

#include <sys/types.h>

#include <optional>
#include <string>

namespace gorgone::action {

/// As they come with the message; empty: not asked for.
struct Attributes {
  std::string owner, group, mode;
};

/// The same as numbers.
struct AttributeIds {
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<mode_t> mode;
};

/// An Error where the mode is no octal number; owners and groups that do not exist here, or cannot be set, are notes.
Result<AttributeIds> look_up(const Attributes& attributes, Notes& notes);

/// Applies what is set, as far as this process may; the rest becomes a note that names `path`.
void apply(int fd, const std::string& path, const AttributeIds& ids, Notes& notes);

/// "cannot <what> '<path>': <reason of errno>"
Error system_error(const char* what, const std::string& path, int error);

}  // namespace gorgone::action
