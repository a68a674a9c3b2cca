#pragma once
// What is remembered of one spool file that was taken up, in a file beside it whose name begins with a dot: its id, which pieces of it
// were put together to units by which rules, and which units are done. On the pool; failures are Errors.
//
//   gorgone-spool 1 <id> <taken> <device> <inode>      taken: nanoseconds since 1970
//   portion <from> <to> <bulk> <sequential> <place>…   with the places of lines that were marked already, by another daemon
//   done <place>…                                      places of units
//
// With it a unit has the same delivery id however often the daemon is killed, and another one than any unit of any other file.

#include <gorgone/result.hpp>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "line.hpp"

namespace gorgone::legacycmd {

class SpoolRecord {
 public:
  struct Portion {
    static constexpr std::uint64_t bytes_max = 4 << 20;
    std::uint64_t from = 0, to = 0;
    BulkRules rules;
    std::set<std::uint64_t> skipped = {};  ///< lines that another daemon had marked
  };
  struct Identity {
    std::uint64_t device = 0, inode = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };

  static std::string path_for(const std::string& spool_file);
  /// The record of a spool file as an earlier process left it; an Error where there is none, or it is of another file. With the code
  /// "unreadable" it may be the right one, and must not be made anew.
  static Result<std::unique_ptr<SpoolRecord>> load(const std::string& path, const Identity& of);
  /// A new one, with a new id.
  static Result<std::unique_ptr<SpoolRecord>> make(const std::string& path, const Identity& of);
  ~SpoolRecord();
  SpoolRecord(const SpoolRecord&) = delete;
  SpoolRecord& operator=(const SpoolRecord&) = delete;

  const std::string& id() const { return id_; }
  std::int64_t taken() const { return taken_; }
  /// In the order of the file, whenever they were added.
  const std::vector<Portion>& portions() const { return portions_; }
  bool is_done(std::uint64_t place) const { return done_.contains(place); }

  Result<void> add(const Portion& portion);
  Result<void> add_done(const std::vector<std::uint64_t>& places);
  void remove();

 private:
  SpoolRecord(std::string path, int file) : path_(std::move(path)), file_(file) {}
  Result<void> append(const std::string& text);
  Result<void> cut();
  void insert(Portion portion);
  bool read(const std::string& text, const Identity& of);

  std::string path_;
  int file_;
  std::uint64_t size_ = 0;  // of its whole lines
  bool is_torn_ = false;    // something stands behind them
  std::string id_;
  std::int64_t taken_ = 0;
  std::vector<Portion> portions_;
  std::set<std::uint64_t> done_;  // as it was read
};

}  // namespace gorgone::legacycmd
