#pragma once
// How far the requests that are being written have come, in a file that outlives the process: a memory map, so that noting it costs
// nothing and a killed daemon has lost none of it. With it a request that was cut off goes on where it was. On the loop.
//
// The file: 64 slots of 64 bytes, each the request's delivery id (40 bytes, filled up with zeros) and three 8-byte numbers of this
// machine: when it was taken, up to which line it was about to write, up to which line it has written. The upper halves of the last two
// are the end and the beginning of what is in doubt since an earlier end of the process.

#include <gorgone/result.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace gorgone::engine {

class ProgressFile {
 public:
  class Slot {
   public:
    void about_to(std::size_t line);
    void written(std::size_t line);
    /// Nobody knows whether the lines from `first` up to and without `end` were written. Kept beside the others.
    void in_doubt(std::size_t first, std::size_t end);
    std::size_t written() const { return static_cast<std::uint32_t>(written_); }
    /// Greater than written() where the process ended in the middle of a write.
    std::size_t about_to() const { return static_cast<std::uint32_t>(about_to_); }
    std::size_t doubt_begin() const { return static_cast<std::size_t>(written_ >> 32U); }
    /// Not greater than doubt_begin() where nothing is in doubt.
    std::size_t doubt_end() const { return static_cast<std::size_t>(about_to_ >> 32U); }

   private:
    friend class ProgressFile;
    char delivery_[40];
    std::uint64_t taken_, about_to_, written_;
  };

  static Result<std::unique_ptr<ProgressFile>> open(const std::string& path);
  ~ProgressFile();
  ProgressFile(const ProgressFile&) = delete;
  ProgressFile& operator=(const ProgressFile&) = delete;

  /// The slot of a request, what it says kept where the request was seen before; else the one that was taken longest ago and is not in
  /// use. nullptr where all are in use.
  Slot* take(const std::string& delivery);
  /// It is not in use any more. What it says is kept until the slot is needed for another request.
  void leave(Slot* slot);

 private:
  static constexpr std::size_t slots = 64;
  explicit ProgressFile(Slot* first);

  Slot* first_;
  bool in_use_[slots] = {};
  std::uint64_t taken_ = 0;
};

}  // namespace gorgone::engine
