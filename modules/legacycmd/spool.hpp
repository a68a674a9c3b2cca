#pragma once
// The spool on the loop: wakes when something was written, takes it from the disk, gives it to the lanes, and has noted what is done.

#include <gorgone/agent.hpp>

#include <map>
#include <set>

#include "journal_disk.hpp"
#include "lanes.hpp"
#include "spool_disk.hpp"
#include "watch.hpp"

namespace gorgone::legacycmd {

class Spool {
 public:
  struct Options {
    SpoolDisk::Options disk;
    std::chrono::seconds rescan{10};
    std::size_t queued_bytes_max = 0;
  };
  Spool(Agent& agent, Lanes& lanes, Options options);

  /// To its cancellation.
  asio::awaitable<void> run();

 private:
  asio::awaitable<void> watch();
  asio::awaitable<void> wait();
  asio::awaitable<std::vector<SpoolDisk::Done>> take_done();
  void give(SpoolDisk::Job job);
  void tell(const std::vector<std::string>& problems);

  Agent& agent_;
  Lanes& lanes_;
  Options options_;
  JournalDisk journal_disk_;
  std::shared_ptr<SpoolDisk> disk_;  // the pool may hold it a little longer
  Watch watch_;
  Signal changed_;
  bool is_dirty_ = true;  // a file was written
  bool waits_for_grace_ = false, waits_for_room_ = false;
  Signal::Clock::time_point scanned_, flushed_;
  std::map<std::uint64_t, std::vector<std::uint64_t>> done_;  // file → places, not yet noted
  std::set<std::string> told_;                                // since told_at_
  Signal::Clock::time_point told_at_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::legacycmd
