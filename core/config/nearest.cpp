#include <fmt/format.h>
#include <core/config/nearest.hpp>
#include <gorgone/log.hpp>

#include <algorithm>
#include <cctype>

namespace gorgone {

namespace {

constexpr std::size_t name_max = 64;

std::string folded(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// How many letters must be added, taken out, replaced or swapped with their neighbour.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::string nearest(std::string_view name, const std::vector<std::string>& known) {
  if (name.size() > name_max) return {};
  const std::string wanted = folded(name);
  std::size_t best = name_max;
  std::string found;
  for (const std::string& candidate : known) {
    const std::size_t steps = distance(wanted, folded(candidate));
    // A third of the letters wrong is a slip, more is another word.
    const std::size_t allowed = std::min<std::size_t>(std::max(wanted.size(), candidate.size()) / 3, 3);
    if (steps <= allowed && steps < best) {
      best = steps;
      found = candidate;
    }
  }
  return found;
}

std::string unknown_option(std::string_view path, std::string_view where, std::string_view name, const std::vector<std::string>& known) {
  std::string message = fmt::format("{}: unknown option", printable(path));
  if (!where.empty()) message += fmt::format(" ({})", where);
  if (const std::string meant = nearest(name, known); !meant.empty()) message += fmt::format("; did you mean \"{}\"?", meant);
  return message;
}

}  // namespace gorgone
