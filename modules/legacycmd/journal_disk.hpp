#pragma once
// Forces to the disk what the daemon's journal has committed, so that a machine that loses its power has it. By default the journal leaves
// that to the system, for each commit would wait; here it is once for all the lines that are marked together.

#include <gorgone/config.hpp>

#include <string>

namespace gorgone::legacycmd {

class JournalDisk {
 public:
  /// `gorgone`: the configuration below that key.
  explicit JournalDisk(const ConfigValue& gorgone);

  /// False where the journal does it at each commit.
  bool is_needed() const { return is_needed_; }
  const std::string& log() const { return log_; }
  /// All commits that came before. On the pool.
  Result<void> sync() const;

 private:
  std::string log_;  // SQLite's write-ahead log; what is no longer in it was forced to the disk before it left it
  bool is_needed_;
};

}  // namespace gorgone::legacycmd
