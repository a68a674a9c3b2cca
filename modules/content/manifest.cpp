#include "manifest.hpp"

#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

namespace gorgone::content {
namespace {

constexpr std::string_view magic = "GORGONE-TREE-1\n", magic_with_owners = "GORGONE-TREE-2\n";
// Each is looked up among the accounts of the node.
constexpr std::size_t owners_max = 4096;
constexpr std::size_t path_max = 4096, name_max = 255;
// Whoever goes down a path holds each folder on it open.
constexpr std::ptrdiff_t depth_max = 200;
constexpr mode_t mode_max = 0777;
constexpr std::uint64_t size_max = std::uint64_t{1} << 62;

std::string wrong_with_path(std::string_view path) {
  if (path.size() > path_max) return "is too long";
  if (path.find('\0') != std::string_view::npos) return "has a zero byte";
  if (std::count(path.begin(), path.end(), '/') > depth_max) return fmt::format("lies deeper than {} folders", depth_max);
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    const auto name = path.substr(begin, end - begin);
    if (name.empty() || name == "." || name == "..") return "leads elsewhere";
    if (name.size() > name_max) return "has too long a name in it";
    begin = end + 1;
  }
  return {};
}

std::string_view folder_of(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::size_t shared_length(std::string_view left, std::string_view right) {
  const auto end =
      std::mismatch(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(std::min(left.size(), right.size())), right.begin());
  return static_cast<std::size_t>(end.first - left.begin());
}

Account read_account(Reader& reader) {
  Account account;
  account.uid = static_cast<std::uint32_t>(reader.number());
  account.gid = static_cast<std::uint32_t>(reader.number());
  account.user = reader.text();
  account.group = reader.text();
  return account;
}

std::string wrong_with_name(std::string_view name) {
  if (name.size() > name_max) return "is too long";
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  return std::any_of(name.begin(), name.end(), is_control) ? "has a control character" : "";
}

// The accounts that entries name by their place in the list.
Result<std::vector<Account>> read_owners(Reader& reader) {
  const auto count = reader.number();
  if (count == 0 || count > owners_max) return Error{fmt::format("the manifest lists {} owners, expected 1 to {}", count, owners_max)};
  std::vector<Account> owners;
  for (std::uint64_t i = 0; i < count && !reader.failed(); ++i) {
    owners.push_back(read_account(reader));
    for (const auto& name : {owners.back().user, owners.back().group})
      if (const auto wrong = wrong_with_name(name); !wrong.empty())
        return Error{fmt::format("owner '{}' of the manifest {}", printable(name), wrong)};
  }
  if (reader.failed()) return Error{"the manifest ends early or is broken in its owners"};
  return owners;
}

// Reads one entry; `before` is the path of the one before it.
Entry read_entry(Reader& reader, const std::string& before, std::size_t owners) {
  Entry entry;
  const auto kind = reader.number();
  if (kind > 2) (void)reader.bytes(reader.left() + 1);
  entry.kind = static_cast<Entry::Kind>(kind);
  const auto shared = reader.number();
  if (shared > before.size()) (void)reader.bytes(reader.left() + 1);
  if (reader.failed()) return entry;
  entry.path = before.substr(0, shared);
  entry.path += reader.text();
  entry.mode = static_cast<mode_t>(std::min<std::uint64_t>(reader.number(), mode_max + 1));
  if (owners > 0) {
    const auto owner = reader.number();
    if (owner >= owners) (void)reader.bytes(reader.left() + 1);
    entry.owner = static_cast<std::uint32_t>(owner);
  }
  if (entry.kind == Entry::Kind::file) {
    entry.size = reader.number();
    if (entry.size > 0) entry.hash = reader.hash();
  }
  if (entry.kind == Entry::Kind::link) entry.target = reader.text();
  return entry;
}

struct HashOfHash {
  std::size_t operator()(const Hash& hash) const { return std::hash<std::string_view>()(view_of(hash)); }
};

// What is said of the entries so far, for the next one to be held against.
struct Said {
  std::unordered_set<std::string_view> folders;               // views of the entries' paths
  std::unordered_map<Hash, std::uint64_t, HashOfHash> sizes;  // of each content
  std::uint64_t sum = 0;                                      // of all sizes
  std::size_t text_bytes = 0;                                 // of paths and targets: a short manifest can say long ones
};

// What is wrong with an entry by itself and after those before it.
std::string wrong_with(const Entry& entry, const Manifest& before, Said& said) {
  if (entry.mode > mode_max) return "has a mode beyond 0777";
  said.sum += std::min(entry.size, size_max);
  if (entry.size > size_max || said.sum > size_max) return "is too large";
  if (entry.kind == Entry::Kind::file && entry.size > 0 && said.sizes.try_emplace(entry.hash, entry.size).first->second != entry.size)
    return "has the hash of another file and not its size";
  if (before.entries.empty()) {
    if (!entry.path.empty() || entry.kind == Entry::Kind::link) return "is the first, expected the root";
    return {};
  }
  if (before.is_single_file()) return "comes after a single file";
  if (auto wrong = wrong_with_path(entry.path); !wrong.empty()) return wrong;
  if (entry.path <= before.entries.back().path) return "is out of order";
  if (!said.folders.contains(folder_of(entry.path))) return "has no folder above it";
  if (entry.kind == Entry::Kind::link) return wrong_with_link(entry.path, entry.target);
  return {};
}

}  // namespace

std::string wrong_with_link(std::string_view path, std::string_view target) {
  if (target.empty() || target.size() > path_max || target.find('\0') != std::string_view::npos) return "is a link to nothing";
  if (target.front() == '/') return "is a link to an absolute path";
  auto depth = std::count(path.begin(), path.end(), '/');
  bool has_name = false;
  for (std::size_t begin = 0; begin <= target.size();) {
    const auto end = std::min(target.find('/', begin), target.size());
    const auto part = target.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      has_name = true;
      continue;
    }
    if (has_name) return "is a link with .. behind a name";
    if (--depth < 0) return "is a link that leads out of the tree";
  }
  return {};
}

std::uint64_t Manifest::files() const {
  return static_cast<std::uint64_t>(
      std::count_if(entries.begin(), entries.end(), [](const Entry& entry) { return entry.kind == Entry::Kind::file; }));
}

std::uint64_t Manifest::bytes() const {
  return std::accumulate(entries.begin(), entries.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Entry& entry) { return sum + entry.size; });
}

const Entry* Manifest::find(std::string_view path) const {
  const auto found = std::lower_bound(entries.begin(), entries.end(), path,
                                      [](const Entry& entry, std::string_view wanted) { return entry.path < wanted; });
  return found != entries.end() && found->path == path ? &*found : nullptr;
}

std::vector<Blob> Manifest::blobs() const {
  std::vector<Blob> blobs;
  std::unordered_set<Hash, HashOfHash> known;
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (entries[i].kind == Entry::Kind::file && entries[i].size > 0 && known.insert(entries[i].hash).second)
      blobs.push_back({entries[i].hash, entries[i].size, i});
  return blobs;
}

std::string encode(const Manifest& manifest) {
  const bool has_owners = !manifest.owners.empty();
  std::string out(has_owners ? magic_with_owners : magic);
  if (has_owners) put_number(out, manifest.owners.size());
  for (const auto& account : manifest.owners) {
    put_number(out, account.uid);
    put_number(out, account.gid);
    put_text(out, account.user);
    put_text(out, account.group);
  }
  put_number(out, manifest.entries.size());
  std::string_view before;
  for (const auto& entry : manifest.entries) {
    const auto shared = shared_length(before, entry.path);
    put_number(out, static_cast<std::uint64_t>(entry.kind));
    put_number(out, shared);
    put_text(out, std::string_view(entry.path).substr(shared));
    put_number(out, entry.mode);
    if (has_owners) put_number(out, entry.owner);
    if (entry.kind == Entry::Kind::file) {
      put_number(out, entry.size);
      if (entry.size > 0) out += view_of(entry.hash);
    }
    if (entry.kind == Entry::Kind::link) put_text(out, entry.target);
    before = entry.path;
  }
  return out;
}

Result<Manifest> decode(std::string_view bytes, const ManifestLimits& limits) {
  Reader reader(bytes);
  const auto begin = reader.bytes(magic.size());
  if (begin != magic && begin != magic_with_owners) return Error{"the manifest is none, or of another version"};
  Manifest manifest;
  if (begin == magic_with_owners) {
    auto owners = read_owners(reader);
    if (!owners) return owners.error();
    manifest.owners = std::move(*owners);
  }
  const auto count = reader.number();
  if (count > limits.entries)
    return Error{fmt::format("the manifest lists {} paths, expected {} at most (max_files)", count, limits.entries)};
  // Each entry takes four bytes at least: a count alone must not cost memory.
  manifest.entries.reserve(std::min<std::size_t>(count, reader.left() / 4 + 1));
  Said said;
  for (std::uint64_t i = 0; i < count; ++i) {
    auto entry = read_entry(reader, manifest.entries.empty() ? std::string() : manifest.entries.back().path, manifest.owners.size());
    if (reader.failed()) return Error{fmt::format("the manifest ends early or is broken at its path {} of {}", i + 1, count)};
    if (auto wrong = wrong_with(entry, manifest, said); !wrong.empty())
      return Error{fmt::format("path '{}' of the manifest {}", printable(entry.path), wrong)};
    said.text_bytes += entry.path.size() + entry.target.size();
    if (said.text_bytes > limits.bytes) return Error{fmt::format("the paths of the manifest take more than {} bytes", limits.bytes)};
    manifest.entries.push_back(std::move(entry));
    if (manifest.entries.back().kind == Entry::Kind::folder) said.folders.insert(manifest.entries.back().path);
  }
  if (manifest.entries.empty()) return Error{"the manifest lists nothing"};
  if (!reader.at_end()) return Error{"the manifest goes on behind its end"};
  return manifest;
}

}  // namespace gorgone::content
