#pragma once
// Lines of Centreon's spool, `COMMAND:TARGET[:PARAM]`, and how they are put together to what is sent at once. No I/O.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::legacycmd {

struct Line {
  std::string command, target, param;
};

/// Nothing for a line that is none of Centreon's: no such command, or a target that is no poller's id.
std::optional<Line> parse_line(std::string_view text);
bool is_known_command(std::string_view command);

/// What is sent at once: one line, or external commands of one poller in bulk.
struct Unit {
  Line line;                          ///< the commands of a bulk joined by line breaks; empty where the line made no sense
  std::string text;                   ///< of a line that made no sense
  std::vector<std::uint64_t> places;  ///< of its lines in the file; the first one names the unit
  bool is_done = false;               ///< one of its lines is marked, which only happens when all of it was sent
  std::size_t bytes() const { return line.param.size() + text.size() + places.size() * sizeof(places[0]) + sizeof(Unit); }
};

struct BulkRules {
  std::size_t lines = 50;
  bool is_sequential = true;  ///< a bulk is closed by any other command to its poller
  friend bool operator==(const BulkRules&, const BulkRules&) = default;
};

/// The units of a piece of a file that begins at `place`. The same text gives the same units, marked lines or not: what was sent is
/// known by the place of a unit after a restart. Lines that were marked before they were ours, at the places `skipped`, are left out.
std::vector<Unit> plan(std::string_view text, std::uint64_t place, const BulkRules& rules, const std::set<std::uint64_t>& skipped = {});

/// The places of marked lines.
std::set<std::uint64_t> marked_lines(std::string_view text, std::uint64_t place);

}  // namespace gorgone::legacycmd
