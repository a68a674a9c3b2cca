#pragma once
// What the operator's files say about access: keys, certificates, authorities, revocations. AccessReader reads them, blocking, one thread
// at a time; what it gives is never changed again and may be read anywhere.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "certificate.hpp"
#include "file_watch.hpp"
#include "listed_keys.hpp"

namespace gorgone::mcollective {

struct HeldCertificate {
  Certificate certificate;
  std::string where;  ///< its file, or "kept"
};
/// By the client's key; several of one key in no order.
using CertificatesByKey = std::map<std::string, std::vector<HeldCertificate>, std::less<>>;
/// The newest list of each issuer.
using RevocationsByIssuer = std::map<std::string, Revocations, std::less<>>;

struct AccessFiles {
  std::map<std::string, ListedKey, std::less<>> listed;
  CertificatesByKey certificates;
  Authorities authorities;
  RevocationsByIssuer revocations;
  std::vector<std::string> problems;  ///< in words for the operator, with file and line
};

struct AccessPaths {
  std::string authorized_keys, certificates;      ///< empty: none
  std::vector<std::string> authorities, revoked;  ///< files
};

class AccessReader {
 public:
  explicit AccessReader(const AccessPaths& paths);
  /// Nothing where all is as it was at the look before.
  std::shared_ptr<const AccessFiles> look();
  /// The last look has seen changes that are believed where the next one sees the same.
  bool is_in_doubt() const;

 private:
  bool look_at_keys();
  bool look_at_authorities();
  bool look_at_certificates();
  bool look_at_revocations();
  void note(const std::string& path, const Error& error);
  /// It could not be read, which is noted: what was read of it before holds on.
  bool is_unread(const FileChange& change);

  FileWatch keys_, authorities_, certificates_, revoked_;
  std::string key_directory_;  ///< of authorized_keys, where it is one: each file has one key and its name
  std::map<std::string, std::string> key_texts_;
  std::map<std::string, std::string> authority_keys_;
  std::map<std::string, Certificate> certificates_read_;
  std::map<std::string, Revocations> revocations_read_;
  std::map<std::string, std::string> problems_;  ///< by file
};

}  // namespace gorgone::mcollective
