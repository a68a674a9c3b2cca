#include "access_files.hpp"

#include <fmt/format.h>

#include "authority.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::size_t file_bytes_max = std::size_t{16} << 20;

std::vector<std::string> one(const std::string& path) { return path.empty() ? std::vector<std::string>{} : std::vector<std::string>{path}; }

}  // namespace

AccessReader::AccessReader(const AccessPaths& paths)
    : keys_(one(paths.authorized_keys), file_bytes_max),
      authorities_(paths.authorities, file_bytes_max),
      certificates_(one(paths.certificates), file_bytes_max),
      revoked_(paths.revoked, file_bytes_max),
      key_directory_(paths.authorized_keys) {}

void AccessReader::note(const std::string& path, const Error& error) {
  const bool names_itself = error.message.starts_with(path);
  problems_[path] = names_itself ? error.message : fmt::format("{}: {}", path, error.message);
}

// What is told of it is true no more, or now.
bool AccessReader::is_unread(const FileChange& change) {
  problems_.erase(change.path);
  if (!change.holds_on()) return false;
  note(change.path, change.text->error());
  return true;
}

bool AccessReader::look_at_keys() {
  const auto changes = keys_.look();
  for (const auto& change : changes) {
    const auto& [path, text] = change;
    if (is_unread(change)) continue;
    key_texts_.erase(path);
    if (!text) continue;
    if (*text)
      key_texts_[path] = **text;
    else
      note(path, text->error());
  }
  return !changes.empty();
}

bool AccessReader::look_at_authorities() {
  const auto changes = authorities_.look();
  for (const auto& change : changes) {
    const auto& [path, text] = change;
    if (is_unread(change)) continue;
    authority_keys_.erase(path);
    if (!text) continue;
    const auto key = *text ? read_authority_public(**text) : Result<std::string>(text->error());
    if (key)
      authority_keys_[path] = *key;
    else
      note(path, key.error());
  }
  if (changes.empty()) return false;
  // Whose signature counts has changed.
  certificates_.forget();
  revoked_.forget();
  return true;
}

bool AccessReader::look_at_certificates() {
  Authorities trusted;
  for (const auto& [path, key] : authority_keys_) trusted[thumbprint_of(key)] = key;
  const auto changes = certificates_.look();
  for (const auto& change : changes) {
    const auto& [path, text] = change;
    if (is_unread(change)) continue;
    certificates_read_.erase(path);
    if (!text) continue;
    auto read = *text ? read_certificate(**text, trusted) : Result<Certificate>(text->error());
    if (read)
      certificates_read_[path] = std::move(*read);
    else
      note(path, read.error());
  }
  return !changes.empty();
}

bool AccessReader::look_at_revocations() {
  Authorities trusted;
  for (const auto& [path, key] : authority_keys_) trusted[thumbprint_of(key)] = key;
  const auto changes = revoked_.look();
  for (const auto& change : changes) {
    const auto& [path, text] = change;
    if (is_unread(change) || !text) continue;
    auto read = *text ? read_revocations(**text, trusted) : Result<Revocations>(text->error());
    if (!read) {
      // What was revoked stays so.
      note(path, read.error());
      continue;
    }
    auto& held = revocations_read_[path];
    if (held.issuer == read->issuer && read->number < held.number)
      note(path, Error{fmt::format("list number {} is older than number {}, which holds on", read->number, held.number)});
    else if (held.issuer == read->issuer && read->number == held.number && !held.revokes_the_same_as(*read))
      note(path,
           Error{fmt::format("list number {} has other entries than it had under that number, which hold on; expected a higher number",
                             read->number)});
    else
      held = std::move(*read);
  }
  return !changes.empty();
}

bool AccessReader::is_in_doubt() const {
  return keys_.is_in_doubt() || authorities_.is_in_doubt() || certificates_.is_in_doubt() || revoked_.is_in_doubt();
}

std::shared_ptr<const AccessFiles> AccessReader::look() {
  bool is_changed = look_at_authorities();
  is_changed = look_at_keys() || is_changed;
  is_changed = look_at_certificates() || is_changed;
  is_changed = look_at_revocations() || is_changed;
  if (!is_changed) return nullptr;

  const auto out = std::make_shared<AccessFiles>();
  KeyList list;
  for (const auto& [path, text] : key_texts_) read_key_list(text, path, path == key_directory_ ? "" : name_of_key_file(path), list);
  out->listed = std::move(list.keys);
  for (const auto& [path, key] : authority_keys_) out->authorities[thumbprint_of(key)] = key;
  for (const auto& [path, certificate] : certificates_read_) out->certificates[certificate.key].push_back({certificate, path});
  for (const auto& [path, revocations] : revocations_read_) {
    auto& newest = out->revocations[revocations.issuer];
    if (newest.issuer.empty() || newest.number <= revocations.number) newest = revocations;
  }
  for (const auto& [path, problem] : problems_) out->problems.push_back(problem);
  out->problems.insert(out->problems.end(), list.problems.begin(), list.problems.end());
  return out;
}

}  // namespace gorgone::mcollective
