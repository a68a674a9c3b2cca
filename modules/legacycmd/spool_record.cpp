#include "spool_record.hpp"

#include <gorgone/message.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>
#include <sstream>

namespace gorgone::legacycmd {
namespace {

constexpr std::size_t id_length = 16;
constexpr auto file_end_max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

Error failure(const std::string& what, const std::string& path) {
  return Error{fmt::format("cannot {} {}: {}", what, path, std::strerror(errno))};
}

Result<std::string> read_all(int file, const std::string& path) {
  std::string text;
  char buffer[65536];
  for (;;) {
    const auto count = ::read(file, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error{failure("read", path).message, "unreadable"};
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

}  // namespace

std::string SpoolRecord::path_for(const std::string& spool_file) {
  const auto slash = spool_file.rfind('/') + 1;
  return spool_file.substr(0, slash) + '.' + spool_file.substr(slash) + ".gorgone";
}

SpoolRecord::~SpoolRecord() { ::close(file_); }

Result<std::unique_ptr<SpoolRecord>> SpoolRecord::load(const std::string& path, const Identity& of) {
  const int file = ::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return failure("open", path);
  std::unique_ptr<SpoolRecord> record(new SpoolRecord(path, file));
  const auto text = read_all(file, path);
  if (!text) return text.error();
  if (!record->read(*text, of)) return Error{path + " tells of another file"};
  // A line that was being written when the process ended; the next one must not be glued to it.
  record->size_ = text->rfind('\n') + 1;
  record->is_torn_ = record->size_ != text->size();
  return record;
}

bool SpoolRecord::read(const std::string& text, const Identity& of) {
  std::istringstream lines(text);
  std::string line, word;
  if (!std::getline(lines, line) || lines.eof()) return false;
  Identity identity;
  int version = 0;
  std::istringstream head(line);
  head >> word >> version >> id_ >> taken_ >> identity.device >> identity.inode;
  if (!head || word != "gorgone-spool" || version != 1 || id_.size() != id_length || !(identity == of)) return false;
  while (std::getline(lines, line)) {
    if (lines.eof()) break;  // without its end: it was being written
    std::istringstream words(line);
    words >> word;
    if (word == "portion") {
      Portion portion;
      words >> portion.from >> portion.to >> portion.rules.lines >> portion.rules.is_sequential;
      // What cannot have been written here is damage; the lines are taken as if nothing were known of them.
      const bool is_sound =
          words && portion.from < portion.to && portion.to - portion.from <= Portion::bytes_max && portion.to <= file_end_max;
      if (!is_sound) continue;
      for (std::uint64_t place = 0; words >> place;) portion.skipped.insert(place);
      insert(std::move(portion));
    } else if (word == "done") {
      for (std::uint64_t place = 0; words >> place;) done_.insert(place);
    }
  }
  return true;
}

Result<std::unique_ptr<SpoolRecord>> SpoolRecord::make(const std::string& path, const Identity& of) {
  ::unlink(path.c_str());
  const int file = ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
  if (file < 0) return failure("make", path);
  std::unique_ptr<SpoolRecord> record(new SpoolRecord(path, file));
  record->id_ = new_token().substr(0, id_length);
  record->taken_ = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  auto written = record->append(fmt::format("gorgone-spool 1 {} {} {} {}\n", record->id_, record->taken_, of.device, of.inode));
  if (!written) return written.error();
  return record;
}

void SpoolRecord::insert(Portion portion) {
  auto behind = [](std::uint64_t from, const Portion& one) { return from < one.from; };
  portions_.insert(std::upper_bound(portions_.begin(), portions_.end(), portion.from, behind), std::move(portion));
}

Result<void> SpoolRecord::cut() {
  if (is_torn_ && ::ftruncate(file_, static_cast<off_t>(size_)) != 0) return failure("cut", path_);
  is_torn_ = false;
  return {};
}

Result<void> SpoolRecord::append(const std::string& text) {
  if (auto whole = cut(); !whole) return whole;
  for (std::size_t done = 0; done < text.size();) {
    const auto count = ::write(file_, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const auto why = failure("write", path_);
      is_torn_ = done > 0;
      (void)cut();  // else before the next line
      return why;
    }
    done += static_cast<std::size_t>(count);
  }
  size_ += text.size();
  return {};
}

Result<void> SpoolRecord::add(const Portion& portion) {
  auto text = fmt::format("portion {} {} {} {}", portion.from, portion.to, portion.rules.lines, portion.rules.is_sequential ? 1 : 0);
  for (const auto place : portion.skipped) fmt::format_to(std::back_inserter(text), " {}", place);
  auto written = append(text + '\n');
  if (written) insert(portion);
  return written;
}

Result<void> SpoolRecord::add_done(const std::vector<std::uint64_t>& places) {
  std::string text = "done";
  for (const auto place : places) fmt::format_to(std::back_inserter(text), " {}", place);
  return append(text + '\n');
}

void SpoolRecord::remove() { ::unlink(path_.c_str()); }

}  // namespace gorgone::legacycmd
