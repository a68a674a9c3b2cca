#include "index.hpp"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <vector>

#include "folder.hpp"

namespace gorgone::content {
namespace {

constexpr std::string_view magic = "GORGONE-INDEX-1\n";
constexpr std::size_t file_max = std::size_t{256} << 20;
// The clock of file times ticks every 4 to 10 ms: a change within the tick of the last one is not seen in them.
constexpr std::int64_t tick_ns = 20'000'000;

std::int64_t ns_of(const timespec& time) { return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec; }

}  // namespace

Stamp stamp_of(const struct stat& status) {
  return {static_cast<std::uint64_t>(status.st_size), status.st_ino, status.st_dev, ns_of(status.st_mtim), ns_of(status.st_ctim)};
}

std::int64_t file_clock_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return ns_of(now);
}

std::optional<Hash> TreeIndex::find(const std::string& path, const Stamp& stamp) const {
  const auto found = files_.find(path);
  if (found == files_.end() || !(found->second.stamp == stamp)) return {};
  if (stamp.ctime_ns + tick_ns > found->second.known_ns) return {};
  return found->second.hash;
}

void TreeIndex::put(const std::string& path, const Stamp& stamp, const Hash& hash, std::int64_t known_ns) {
  files_.insert_or_assign(path, Known{stamp, hash, known_ns});
}

std::string TreeIndex::encode(const std::string& root) const {
  std::string out(magic);
  put_text(out, root);
  put_number(out, files_.size());
  for (const auto& [path, known] : files_) {
    put_text(out, path);
    for (const auto number : {known.stamp.size, known.stamp.inode, known.stamp.device}) put_number(out, number);
    for (const auto time : {known.stamp.mtime_ns, known.stamp.ctime_ns, known.known_ns}) put_number(out, static_cast<std::uint64_t>(time));
    out += view_of(known.hash);
  }
  out += view_of(sha256(out));
  return out;
}

TreeIndex TreeIndex::decode(std::string_view bytes, const std::string& root) {
  if (bytes.size() < Hash{}.size()) return {};
  const auto body = bytes.substr(0, bytes.size() - Hash{}.size());
  if (view_of(sha256(body)) != bytes.substr(body.size())) return {};
  Reader reader(body);
  if (reader.bytes(magic.size()) != magic || reader.text() != root) return {};
  TreeIndex index;
  const auto count = reader.number();
  for (std::uint64_t i = 0; i < count && !reader.failed(); ++i) {
    std::string path(reader.text());
    Known known;
    for (auto* number : {&known.stamp.size, &known.stamp.inode, &known.stamp.device}) *number = reader.number();
    for (auto* time : {&known.stamp.mtime_ns, &known.stamp.ctime_ns, &known.known_ns}) *time = static_cast<std::int64_t>(reader.number());
    known.hash = reader.hash();
    index.files_.insert_or_assign(std::move(path), known);
  }
  if (reader.failed() || !reader.at_end()) return {};
  return index;
}

std::string IndexStore::file_of(const std::string& root) const { return folder_ + "/index-" + to_hex(sha256(root)).substr(0, 32); }

TreeIndex IndexStore::load(const std::string& root) const {
  const auto bytes = read_file(file_of(root), file_max);
  return bytes ? TreeIndex::decode(*bytes, root) : TreeIndex();
}

Result<void> IndexStore::save(const std::string& root, const TreeIndex& index) const {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return system_error("create folder", folder_, error.value());
  auto written = write_file(file_of(root), index.encode(root), false);
  forget_oldest();
  return written;
}

void IndexStore::forget_oldest() const {
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> files;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->path().filename().string().starts_with("index-")) files.emplace_back(it->last_write_time(ignored), it->path());
  }
  if (files.size() <= trees_max_) return;
  std::sort(files.begin(), files.end());
  for (std::size_t i = 0; i + trees_max_ < files.size(); ++i) std::filesystem::remove(files[i].second, error);
}

}  // namespace gorgone::content
