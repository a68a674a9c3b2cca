#pragma once
// Where log lines go: standard error, or a file that is opened again when it was moved away (log rotation). Set once at the
// start; writing is thread-safe.

#include <gorgone/log.hpp>
#include <gorgone/result.hpp>

#include <optional>
#include <string>

namespace gorgone {

/// `file` empty: standard error.
GORGONE_API Result<void> open_log(const std::string& file, Severity severity);
/// Opens the file anew at once, as after SIGHUP.
void reopen_log();
/// A line from a signal's handler, where nothing may be locked or allocated.
void log_from_signal(Severity severity, std::string_view text);
/// Writes out what is still buffered.
GORGONE_API void flush_log();

GORGONE_API std::optional<Severity> severity_of(std::string_view name);
void set_severity(Severity severity);
/// The severity that open_log() was given.
Severity configured_severity();

}  // namespace gorgone
