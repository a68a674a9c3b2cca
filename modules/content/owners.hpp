#pragma once
// To whom files belong: told by the sender where a push asks for it (preserve_owner), found again among the accounts of the node. Looks
// up accounts: on a pool thread.

#include <gorgone/files.hpp>

#include <sys/types.h>

#include <vector>

#include "manifest.hpp"

namespace gorgone::content {

/// The numbers with the names that this machine has for them.
Account account_of(uid_t uid, gid_t gid);

/// Who shall own the entries of a manifest here; nothing: who owned what is there, or the folder that something new comes into.
struct WantedOwners {
  Owners all;                     ///< asked for of all that is pushed
  std::vector<Owners> each = {};  ///< by Entry::owner

  Owners of(const Entry& entry) const;
};

/// An account of a manifest as this machine knows it: by name. The number is taken where the sender has no name, or where neither the name
/// nor the number is anybody's here. What cannot be is a note, and left out.
Owners owners_here(const Account& account, Notes& notes);

}  // namespace gorgone::content
