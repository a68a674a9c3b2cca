#pragma once
// What can still be read of a database with broken pages. On the journal's thread.

#include <cstdint>
#include <string>
#include <vector>

#include "core/journal/sqlite.hpp"

namespace gorgone {

struct Salvaged {
  std::string table;
  std::int64_t rows = 0;
  std::string why;  ///< what ended it; empty: all of the table was read
};

/// Copies into a new database what must outlive the old one: messages on their way, what modules keep, pinned keys, sessions. Each table by
/// itself, row by row until one cannot be read. Not the history, which may be long and stays readable in the old file, nor how far nodes'
/// logs were fetched: they are fetched again. Failures of `into` are thrown, those of the old file told.
std::vector<Salvaged> salvage(const std::string& from, sqlite::Database& into);

}  // namespace gorgone
