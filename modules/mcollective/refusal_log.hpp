#pragma once
// Who was not let in: one line for an address a minute, with the number of those that were not written. On the loop.

#include <gorgone/log.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace gorgone::mcollective {

class RefusalLog {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RefusalLog(const Log& log) : log_(log) {}
  /// `host` is the address without the port, `peer` with it.
  void note(const std::string& host, const std::string& peer, const std::string& why, Clock::time_point now = Clock::now());

 private:
  struct Entry {
    Clock::time_point written;
    std::uint64_t unwritten = 0;
  };

  const Log& log_;
  std::map<std::string, Entry> hosts_;
};

}  // namespace gorgone::mcollective
