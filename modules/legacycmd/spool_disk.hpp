#pragma once
// The spool on the disk: which files wait, those that were taken up, and what of them is done. Everything happens in step(), which runs
// on the pool, never twice at the same time.

#include <gorgone/result.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "line.hpp"
#include "room.hpp"
#include "spool_record.hpp"

namespace gorgone::legacycmd {

class SpoolDisk {
 public:
  struct Options {
    std::string cmd_file, cmd_dir;
    bool marks_lines = true;  ///< dirty_mode 0
    BulkRules bulk;
    std::chrono::milliseconds grace{
        200};  ///< how long a file must not have grown before it is deleted, or its end without a line break is taken
  };
  /// A unit and where it comes from.
  struct Job {
    std::uint64_t file = 0;
    std::string id;    ///< 28 characters, the same after a restart, of no other unit
    std::string name;  ///< of the file, for logs
    Unit unit;
  };
  struct Done {
    std::uint64_t file = 0;
    std::vector<std::uint64_t> places;
  };
  struct Step {
    std::vector<Job> jobs;              ///< in the order in which they are to be sent
    std::vector<std::string> problems;  ///< for the log
    bool waits_for_room = false;        ///< more is there than there was room for
    bool waits_for_grace = false;       ///< to be called again after Options::grace
  };

  explicit SpoolDisk(Options options);
  ~SpoolDisk();

  /// Notes what is done, looks (where `scans`) for files, and reads the jobs for which there is room. The first call takes up what an
  /// earlier process left.
  Step step(const std::vector<Done>& done, bool scans, Room room);

  std::size_t files() const { return files_.size(); }

 private:
  struct File;
  struct Found;
  static void guarded(Step& out, const std::string& what, const std::function<void()>& work);
  void note(const Done& done, Step& out);
  void scan(Step& out);
  void take_up(const Found& found, Step& out);
  void adopt(const std::string& path, Step& out);
  bool read(File& file, Step& out, Room& room);
  bool emit(File& file, const SpoolRecord::Portion& portion, Step& out, Room& room);
  bool emit_left(File& file, Step& out, Room& room);
  bool extend(File& file, std::uint64_t limit, bool is_end, Step& out);
  bool finish(File& file, Step& out);

  Options options_;
  std::map<std::uint64_t, std::unique_ptr<File>> files_;  // in the order they were taken up
  std::uint64_t next_ = 1;
  std::size_t portions_ = 0;  // read in this step
};

}  // namespace gorgone::legacycmd
