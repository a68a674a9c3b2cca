#pragma once
// The journal's file, and memory in its place while the file cannot be used: a full disk, a lock, a corrupt page. Nothing that
// was written is lost by that: it goes into the file when that is back. On the journal's thread.

#include <gorgone/log.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/journal/tables.hpp"

namespace gorgone {

class Store {
 public:
  /// Never fails: where the file cannot be used, memory is.
  /// `access` says whether each commit is forced to the disk.
  explicit Store(std::string path, Tables::Access access = Tables::Access::write);

  /// Runs `work` as one transaction, in memory where the file fails. An Error is a failure of the work itself. Tries to come back to the
  /// file first, where that is due.
  std::optional<Error> transaction(const std::function<void()>& work);
  /// Tries to come back to the file, where that is due.
  void recover();
  /// The last attempt, at the end of the daemon. Says what is lost where the file cannot be used.
  void close();
  /// When recover() is due; nothing while the file is in use.
  std::optional<std::chrono::steady_clock::time_point> recovery_due() const;
  bool in_memory() const { return memory_ != nullptr; }
  /// The file's (JournalFile::id()); empty while memory takes its place.
  std::string id();

  // Inside a transaction.
  Rows insert(const std::vector<NewRow>& rows);
  Rows select(const HistoryFilter& filter);
  std::vector<StoredSession> sessions();
  void save_session(const StoredSession& session) { current().save_session(session); }
  void drop_session(const std::string& identity);
  /// Refused while the file, which may have one, cannot be read.
  std::optional<std::string> fingerprint_of(const std::string& target);
  void pin_fingerprint(const std::string& target, const std::string& thumbprint) { current().pin_fingerprint(target, thumbprint); }
  double fetched_until(const std::string& node);
  void set_fetched_until(const std::string& node, double ctime) { current().set_fetched_until(node, ctime); }
  void note_refused_key(const RefusedKey& key) { current().add_refused_key(key); }
  // See Journal.
  bool store_outgoing(const StoredMessage& message, bool is_passed_on);
  void forget_outgoing(const std::string& delivery);
  std::vector<StoredMessage> outgoing();
  bool store_incoming(const StoredMessage& message);
  void set_incoming(const std::string& delivery, Progress progress);
  /// What has come before the start, and not since. Refused while the file cannot be read.
  std::vector<StoredMessage> incoming(Progress progress);
  /// The inbox of before has been read, and is not asked for again.
  void inbox_is_read();
  void keep_pull_identity(const std::string& node, const std::string& identity) { current().set_pull_identity(node, identity); }
  std::map<std::string, std::string> pull_identities();
  /// Nothing in place of data drops the record.
  void keep(const std::string& collection, const std::string& key, const std::optional<std::string>& data);
  /// Refused while the file cannot be read, for nothing is not what it holds.
  Kept kept(const std::string& collection, KeptRange range);
  Journal::Purged purge(const Journal::Purge& what);

 private:
  /// What was asked for cannot be done in place of the file: an Error with this code.
  struct Refusal : std::runtime_error {
    Refusal(std::string code_of_error, const std::string& why) : std::runtime_error(why), code(std::move(code_of_error)) {}
    std::string code;
  };
  bool is_here(const NewRow& row);
  bool is_alike_here(const NewRow& row);
  Tables& current() { return memory_ ? *memory_ : *file_; }
  /// The file where it can be read beside the memory, else nullptr.
  Tables* readable();
  /// There is a file, or one that was put aside, and nobody knows what is in it.
  bool is_blind();
  /// In place of an answer without what the file holds.
  void refuse_blindly();
  bool is_known(const std::string& delivery);
  void open();
  /// What cannot be written may still be read: sessions, pinned keys, history.
  void open_for_reading();
  void use_memory();
  void put_aside();
  /// Where the next corrupt file is kept.
  std::string name_aside();
  /// Before the file is tried again: none for the first that was found corrupt.
  std::chrono::seconds pause_before_attempt();
  /// What could be read of the file that was put aside.
  void salvage();
  /// From memory to the file, which can be written.
  void come_back();
  /// What the inbox of the file holds of before, while it can be told from what came since.
  void note_inbox();
  void complain(const char* why);
  /// Counts anew what memory holds.
  void measure();
  void make_room();
  void take_room(const StoredMessage& message);

  std::string path_;
  Tables::Access access_;
  Log log_{"journal"};
  std::unique_ptr<Tables> file_, memory_;  // memory_ only while the file cannot be written
  bool corrupt_ = false, for_reading_ = false;
  double last_ctime_ = 0;
  std::int64_t next_id_ = 0;              // of rows in memory, behind those of the file
  Tables::Size held_;                     // rows in memory
  std::int64_t waiting_bytes_ = 0;        // of messages in memory
  std::int64_t dropped_ = 0, taken_ = 0;  // rows that did not fit into memory; that are in the file again
  std::string aside_;                     // a corrupt file of which nothing was saved yet
  int spoilt_ = 0;                        // files in a row that became corrupt
  std::string complaint_;
  bool is_inbox_read_ = false;
  std::optional<std::map<Progress, std::vector<StoredMessage>>> inbox_;  // of before the start, where what came since is in the file, too
  std::chrono::steady_clock::time_point next_attempt_{}, complain_again_{}, dropped_told_{}, last_spoilt_{};
};

}  // namespace gorgone
