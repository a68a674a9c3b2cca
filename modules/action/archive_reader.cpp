#include "archive_reader.hpp"

#include "attributes.hpp"
#include "files.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <unistd.h>

#include <gorgone/log.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace gorgone::action {
namespace {

std::string text(const char* locale, const char* utf8) {
  if (locale != nullptr) return locale;
  return utf8 == nullptr ? "" : utf8;
}

constexpr std::size_t path_size_max = PATH_MAX - 1;
constexpr std::size_t parts_max = 200;

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    auto end = std::min(path.find('/', begin), path.size());
    auto part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

/// For a message: a name may have megabytes, and bytes of any kind.
std::string shown(const std::string& name) { return printable(name, 300); }

Error refused(const std::string& name, const std::string& why) {
  return Error{fmt::format("archive refused: member '{}' {}", shown(name), why)};
}

Error link_refused(const std::string& name, const std::string& to, const std::string& why) {
  return refused(name, fmt::format("is a link to '{}', which {}", shown(to), why));
}

std::string too_long(std::size_t size) { return fmt::format("has a path of {} bytes, expected at most {}", size, path_size_max); }

Result<Member> judge(archive_entry* entry) {
  auto name = text(archive_entry_pathname(entry), archive_entry_pathname_utf8(entry));
  auto path = safe_path(name);
  if (!path) return refused(name, path.error().message);
  Member member;
  member.path = std::move(*path);
  member.mode = archive_entry_perm(entry) & 0777;
  member.uid = static_cast<uid_t>(archive_entry_uid(entry));
  member.gid = static_cast<gid_t>(archive_entry_gid(entry));
  member.mtime = archive_entry_mtime(entry);
  member.size = static_cast<std::uint64_t>(std::max<la_int64_t>(0, archive_entry_size(entry)));

  auto hardlink = text(archive_entry_hardlink(entry), archive_entry_hardlink_utf8(entry));
  auto type = archive_entry_filetype(entry);
  if (!hardlink.empty()) {
    member.kind = Member::Kind::hardlink;
    auto link = safe_path(hardlink);
    if (!link) return link_refused(name, hardlink, link.error().message);
    if (link->empty()) return link_refused(name, hardlink, "has no name");
    member.link = std::move(*link);
  } else if (type == AE_IFDIR) {
    member.kind = Member::Kind::folder;
  } else if (type == AE_IFLNK) {
    member.kind = Member::Kind::symlink;
    member.target = text(archive_entry_symlink(entry), archive_entry_symlink_utf8(entry));
    if (member.target.size() > path_size_max) return link_refused(name, member.target, too_long(member.target.size()));
    if (!stays_inside(member.path, member.target)) return link_refused(name, member.target, "leads out of the destination");
  } else if (type != AE_IFREG) {
    return refused(name, "is a device, a pipe or a socket, expected files, folders and links");
  }
  if (member.path.empty() && member.kind != Member::Kind::folder) return refused(name, "has no name");
  return member;
}

}  // namespace

Result<Path> safe_path(const std::string& path) {
  if (path.empty()) return Error{"has no name"};
  if (path.size() > path_size_max) return Error{too_long(path.size())};
  if (path.front() == '/') return Error{"has an absolute path, expected one below the destination"};
  auto parts = parts_of(path);
  if (parts.size() > parts_max) return Error{fmt::format("has a path of {} parts, expected at most {}", parts.size(), parts_max)};
  for (const auto& part : parts) {
    if (part == "..") return Error{"has a path with '..', expected one below the destination"};
  }
  return parts;
}

bool stays_inside(const Path& path, const std::string& target) {
  if (target.empty() || target.front() == '/') return false;
  std::size_t climbs = 0;
  bool is_down = false;
  for (const auto& part : parts_of(target)) {
    if (part != "..") {
      is_down = true;
    } else if (is_down || ++climbs >= path.size()) {
      return false;
    }
  }
  return true;
}

void ArchiveReader::Free::operator()(archive* reader) const { archive_read_free(reader); }

Result<ArchiveReader> ArchiveReader::open(const std::string& file) {
  ArchiveReader reader(archive_read_new());
  archive_read_support_filter_gzip(reader.reader_.get());
  archive_read_support_format_tar(reader.reader_.get());
  archive_read_support_format_empty(reader.reader_.get());
  if (archive_read_open_filename(reader.reader_.get(), file.c_str(), 65536) != ARCHIVE_OK) return reader.broken();
  return reader;
}

Result<std::optional<Member>> ArchiveReader::next() {
  archive_entry* entry = nullptr;
  auto result = archive_read_next_header(reader_.get(), &entry);
  if (result == ARCHIVE_EOF) return std::optional<Member>{};
  // A warning is about a name that this locale cannot say; the bytes are there.
  if (result < ARCHIVE_WARN) return broken();
  auto member = judge(entry);
  if (!member) return member.error();
  return std::optional<Member>(std::move(*member));
}

Result<void> ArchiveReader::write_to(int fd) {
  for (;;) {
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    auto result = archive_read_data_block(reader_.get(), &block, &size, &offset);
    if (result == ARCHIVE_EOF) {
      // A sparse file may end in a hole.
      return ::ftruncate(fd, offset) == 0 ? Result<void>{} : Result<void>(Error{fmt::format("errno {}", errno)});
    }
    if (result < ARCHIVE_WARN) return broken();
    if (::lseek(fd, offset, SEEK_SET) < 0) return system_error("seek in", "a file of the archive", errno);
    if (auto error = write_all(fd, {static_cast<const char*>(block), size}); error != 0) {
      return system_error("write", "a file of the archive", error);
    }
  }
}

Error ArchiveReader::broken() const {
  const auto* why = archive_error_string(reader_.get());
  return Error{fmt::format("the archive cannot be read: {}", why == nullptr ? "unknown format" : why)};
}

}  // namespace gorgone::action
