#pragma once
// What a deployed central takes of a log. It asks for all rows at once, but closes the connection on a message of more than 256 KiB, and
// would ask for the same rows again: so it gets them in portions. Pure.

#include <gorgone/message.hpp>

#include <cstddef>
#include <string>

namespace gorgone::pullwss {

/// A GETLOG without a portion, as deployed centrals send it, becomes one for a portion; false where it has one.
bool ask_for_a_portion(Message& getlog);

struct LogText {
  std::string text;          ///< with entities, as it goes up
  bool leaves_some = false;  ///< there are more rows
};
/// The oldest rows of the SETLOGS, as many as fit. A row that does not fit by itself has the texts in its data shortened.
LogText fit(const Answer& setlogs, std::size_t bytes_max);

}  // namespace gorgone::pullwss
