#pragma once
// One line per event: `2026-11-22 01:02:03 - INFO - [module] text`. error = someone must act, warning = degraded,
// info = start, stop, link up and down, debug = each message. Never a secret. Text from peers goes through printable().

#include <gorgone/export.hpp>

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace gorgone {

enum class Severity { debug, info, notice, warning, error, fatal };

/// A named log. On the loop and on pool threads alike.
class GORGONE_API Log {
 public:
  explicit Log(std::string name) : name_(std::move(name)) {}

  template <class... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(Severity::debug)) write(Severity::debug, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(Severity::info)) write(Severity::info, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void notice(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(Severity::notice)) write(Severity::notice, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(Severity::warning)) write(Severity::warning, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(Severity::error)) write(Severity::error, fmt::format(format, std::forward<Args>(args)...));
  }

  static bool enabled(Severity severity);
  void write(Severity severity, std::string_view text) const;
  const std::string& name() const { return name_; }

 private:
  std::string name_;
};

/// What a peer wrote, fit for one log line: control characters and broken UTF-8 as \xNN, cut after `limit` characters.
GORGONE_API std::string printable(std::string_view text, std::size_t limit = 120);

}  // namespace gorgone
