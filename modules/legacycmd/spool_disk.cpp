#include "spool_disk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "orders.hpp"

namespace gorgone::legacycmd {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto portion_max = SpoolRecord::Portion::bytes_max;
constexpr std::size_t portions_of_step = 16;
constexpr std::string_view taken_suffix = "_read";
// One that is empty may just have been made; one that stays so is taken up all the same, which deletes it.
constexpr std::int64_t empty_s = 60;

std::string failure(const char* what, const std::string& path) { return fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)); }

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

std::int64_t nanoseconds(const timespec& time) { return static_cast<std::int64_t>(time.tv_sec) * 1000000000 + time.tv_nsec; }

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// A file of that name may be under way still.
std::string free_name(const std::string& path) {
  for (int number = 0;; ++number) {
    auto name = path + (number == 0 ? "" : fmt::format(".{}", number)) + std::string(taken_suffix);
    if (!exists(name)) return name;
  }
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* directory = ::opendir(folder.c_str());
  if (directory == nullptr) return names;
  while (const auto* entry = ::readdir(directory))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  ::closedir(directory);
  return names;
}

}  // namespace

struct SpoolDisk::File {
  std::uint64_t number = 0;
  std::string path;
  int file = -1;
  bool can_mark = false;
  std::unique_ptr<SpoolRecord> record;
  std::size_t next_portion = 0;  // of those in the record
  std::uint64_t planned = 0;     // bytes
  /// Pieces of which something waits for room, by where they begin: for each full lane the place of its first unit that was not sent.
  std::map<std::uint64_t, std::map<std::string, std::uint64_t>> left;
  std::uint64_t seen = 0;  // its size when it was looked at last
  Clock::time_point grown = Clock::now();
  std::map<std::uint64_t, std::vector<std::uint64_t>> open;  // units: the places of their lines

  ~File() {
    if (file >= 0) ::close(file);
  }
};

struct SpoolDisk::Found {
  std::string path;
  std::int64_t time = 0;
  bool is_taken = false;  // by an earlier process
  int rank = 0;           // the one file before those of the folder
  auto key() const { return std::tuple(!is_taken, rank, time, path); }
};

SpoolDisk::SpoolDisk(Options options) : options_(std::move(options)) {}
SpoolDisk::~SpoolDisk() = default;

SpoolDisk::Step SpoolDisk::step(const std::vector<Done>& done, bool scans, Room room) {
  Step out;
  portions_ = 0;
  for (const auto& one : done) guarded(out, "note what is done of the spool", [&] { note(one, out); });
  if (scans) guarded(out, "look through the spool", [&] { scan(out); });
  for (auto entry = files_.begin(); entry != files_.end();) {
    auto& file = *entry->second;
    bool is_over = false;
    guarded(out, "take up " + file.path, [&] { is_over = read(file, out, room) && finish(file, out); });
    entry = is_over ? files_.erase(entry) : std::next(entry);
  }
  return out;
}

// What was read before stays: one file that cannot be worked through holds up no other, and is tried again at the next step.
void SpoolDisk::guarded(Step& out, const std::string& what, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& failure) {
    out.problems.push_back(fmt::format("cannot {}: {}", what, failure.what()));
  }
}

void SpoolDisk::note(const Done& done, Step& out) {
  const auto found = files_.find(done.file);
  if (found == files_.end()) return;
  auto& file = *found->second;
  const auto noted = file.record->add_done(done.places);
  if (!noted) out.problems.push_back(noted.error().message);
  for (const auto place : done.places) {
    const auto unit = file.open.find(place);
    if (unit == file.open.end()) continue;
    if (file.can_mark)
      for (const auto line : unit->second)
        if (::pwrite(file.file, "-", 1, static_cast<off_t>(line)) != 1) out.problems.push_back(failure("mark lines in", file.path));
    file.open.erase(unit);
  }
}

void SpoolDisk::scan(Step& out) {
  std::vector<Found> list;
  std::set<std::string> ours;
  for (const auto& [number, file] : files_) ours.insert(file->path);
  auto look = [&](const std::string& path, int rank) {
    struct stat status {};
    if (ours.contains(path) || ::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    Found found{path, nanoseconds(status.st_mtim), path.ends_with(taken_suffix), rank};
    if (found.is_taken) {
      const SpoolRecord::Identity identity{status.st_dev, status.st_ino};
      const auto record = SpoolRecord::load(SpoolRecord::path_for(path), identity);
      if (record) found.time = (*record)->taken();
      found.rank = 0;
    } else if (status.st_size == 0 && status.st_mtim.tv_sec + empty_s > ::time(nullptr)) {
      return;
    }
    list.push_back(std::move(found));
  };
  if (!options_.cmd_file.empty()) {
    const auto name = name_of(options_.cmd_file);
    const auto folder = folder_of(options_.cmd_file);
    look(options_.cmd_file, 0);
    for (const auto& other : names_in(folder))
      if (other.starts_with(name) && other.ends_with(taken_suffix)) look(folder + '/' + other, 0);
  }
  if (!options_.cmd_dir.empty())
    for (const auto& name : names_in(options_.cmd_dir)) look(options_.cmd_dir + '/' + name, 1);
  std::sort(list.begin(), list.end(), [](const Found& left, const Found& right) { return left.key() < right.key(); });
  for (const auto& found : list) take_up(found, out);
}

void SpoolDisk::take_up(const Found& found, Step& out) {
  if (found.is_taken) return adopt(found.path, out);
  const auto path = free_name(found.path);
  // What an earlier file of this name has left would tell of another one.
  ::unlink(SpoolRecord::path_for(path).c_str());
  if (::rename(found.path.c_str(), path.c_str()) != 0) {
    if (errno != ENOENT) out.problems.push_back(failure("take up", found.path));
    return;
  }
  adopt(path, out);
}

void SpoolDisk::adopt(const std::string& path, Step& out) {
  auto file = std::make_unique<File>();
  file->path = path;
  file->file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  file->can_mark = file->file >= 0 && options_.marks_lines;
  if (file->file < 0) file->file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  struct stat status {};
  if (file->file < 0 || ::fstat(file->file, &status) != 0) {
    out.problems.push_back(failure("read", path));
    return;
  }
  const SpoolRecord::Identity identity{status.st_dev, status.st_ino};
  auto record = SpoolRecord::load(SpoolRecord::path_for(path), identity);
  if (!record && record.error().code != "unreadable") record = SpoolRecord::make(SpoolRecord::path_for(path), identity);
  if (!record) {
    out.problems.push_back(record.error().message);
    return;
  }
  file->record = std::move(*record);
  file->number = next_++;
  const auto number = file->number;
  files_.emplace(number, std::move(file));
}

bool SpoolDisk::emit(File& file, const SpoolRecord::Portion& portion, Step& out, Room& room) {
  ++portions_;
  std::string text(portion.to - portion.from, '\0');
  for (std::size_t done = 0; done < text.size();) {
    const auto count = ::pread(file.file, text.data() + done, text.size() - done, static_cast<off_t>(portion.from + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      out.problems.push_back(failure("read", file.path));
      return false;
    }
    if (count == 0) {
      struct stat status {};
      if (::fstat(file.file, &status) != 0 || static_cast<std::uint64_t>(status.st_size) > portion.from + done) return false;
      // Nothing will come of waiting for what somebody, or a crash of the machine, has cut off.
      out.problems.push_back(fmt::format("{} was cut short: it has {} bytes, expected {}", file.path, portion.from + done, portion.to));
      text.resize(done);
      break;
    }
    done += static_cast<std::size_t>(count);
  }
  const auto before = file.left.find(portion.from);
  std::map<std::string, std::uint64_t> left;
  std::set<std::string> reached;
  for (auto& unit : plan(text, portion.from, portion.rules, portion.skipped)) {
    const auto place = unit.places.front();
    const auto lane = lane_of(unit.line);
    if (before != file.left.end()) {
      const auto first = before->second.find(lane);
      if (first != before->second.end() && first->second == place) reached.insert(lane);
      if (!reached.contains(lane)) continue;  // sent before
    }
    if (unit.is_done || file.record->is_done(place) || file.open.contains(place)) continue;
    if (room.is_full(lane)) {
      left.try_emplace(lane, place);
      continue;
    }
    room.take(lane, unit.bytes());
    file.open[place] = unit.places;
    out.jobs.push_back({file.number, fmt::format("{}{:012x}", file.record->id(), place), file.path, std::move(unit)});
  }
  file.planned = std::max(file.planned, portion.to);
  if (left.empty())
    file.left.erase(portion.from);
  else
    file.left[portion.from] = std::move(left);
  return true;
}

// What had no room before, where there is some now.
bool SpoolDisk::emit_left(File& file, Step& out, Room& room) {
  std::vector<std::uint64_t> places;
  for (const auto& [from, lanes] : file.left) places.push_back(from);
  bool is_well = true;
  for (const auto from : places) {
    const auto lanes = file.left.at(from);
    const bool has_room = std::any_of(lanes.begin(), lanes.end(), [&](const auto& lane) { return !room.is_full(lane.first); });
    if (!has_room) continue;
    const auto& known = file.record->portions();
    const auto portion = std::find_if(known.begin(), known.end(), [&](const auto& one) { return one.from == from; });
    if (is_well && portions_ < portions_of_step && emit(file, SpoolRecord::Portion(*portion), out, room)) continue;
    // Nothing of these lanes may overtake it.
    is_well = is_well && portions_ >= portions_of_step;
    for (const auto& [lane, first] : lanes) room.close(lane);
  }
  return is_well;
}

// Puts the next piece before `limit` into the record; false where there is none yet.
bool SpoolDisk::extend(File& file, std::uint64_t limit, bool is_end, Step& out) {
  SpoolRecord::Portion portion{file.planned, std::min(limit, file.planned + portion_max), options_.bulk, {}};
  std::string text(portion.to - portion.from, '\0');
  const auto count = ::pread(file.file, text.data(), text.size(), static_cast<off_t>(portion.from));
  if (count < 0) out.problems.push_back(failure("read", file.path));
  if (count <= 0) return false;
  const auto end = text.rfind('\n', static_cast<std::size_t>(count) - 1);
  const bool is_whole = end != std::string::npos;
  const bool is_cut = static_cast<std::uint64_t>(count) == portion_max || !is_end;  // no line is as long
  if (!is_whole && !is_cut && Clock::now() < file.grown + options_.grace) {
    out.waits_for_grace = true;  // its writer may be in the middle of a line
    return false;
  }
  portion.to = portion.from + (is_whole ? end + 1 : static_cast<std::uint64_t>(count));
  text.resize(portion.to - portion.from);
  portion.skipped = marked_lines(text, portion.from);
  const auto noted = file.record->add(portion);
  // Without it nobody would know after a kill how these lines were put together.
  if (!noted) out.problems.push_back(noted.error().message);
  return noted.has_value();
}

// False where there is more than could be read now: the file is not over.
bool SpoolDisk::read(File& file, Step& out, Room& room) {
  if (!emit_left(file, out, room)) return false;
  for (;;) {
    if (!file.left.empty()) out.waits_for_room = true;
    struct stat status {};
    if (::fstat(file.file, &status) != 0) {
      out.problems.push_back(failure("read", file.path));
      return false;
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size != file.seen) file.grown = Clock::now();
    file.seen = size;
    const auto& known = file.record->portions();
    const bool is_known = file.next_portion < known.size();
    if (!is_known && size <= file.planned) return true;
    if (portions_ >= portions_of_step) {
      out.waits_for_room = true;
      return true;
    }
    // A record that once lost a line has a hole, whose lines were perhaps never sent.
    const bool is_next = is_known && (known[file.next_portion].from <= file.planned || size <= file.planned);
    if (is_next) {
      if (!emit(file, known[file.next_portion], out, room)) return false;
      ++file.next_portion;
    } else {
      const auto limit = is_known ? std::min(size, known[file.next_portion].from) : size;
      if (!extend(file, limit, !is_known, out)) return false;
    }
  }
}

bool SpoolDisk::finish(File& file, Step& out) {
  if (!file.open.empty() || !file.left.empty() || file.seen > file.planned || file.next_portion < file.record->portions().size())
    return false;
  // Whoever opened it before it was renamed may write still.
  if (Clock::now() < file.grown + options_.grace) {
    out.waits_for_grace = true;
    return false;
  }
  if (::unlink(file.path.c_str()) != 0 && errno != ENOENT) {
    out.problems.push_back(failure("delete", file.path));
    return false;
  }
  file.record->remove();
  return true;
}

}  // namespace gorgone::legacycmd
