#pragma once
// The history and what else must survive a restart (docs/journal.md; tables as deployed daemons have them).
// All calls are made on the loop and return at once; completions come back to the loop, after the commit, in order.

#include <gorgone/export.hpp>
#include <gorgone/result.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gorgone {

namespace code {
inline constexpr int begun = 0, failed = 1, finished = 2, started_daemon = 3, going_on = 4, command_result = 100, copy_chunk = 101;
}

struct HistoryRow {
  std::int64_t id = 0;
  std::string token;
  int code = 0;
  std::int64_t etime = 0;  ///< when it happened, seconds
  double ctime = 0;        ///< when it was stored, seconds with 5 decimals; strictly rising in one journal
  bool instant = false;    ///< kept for a day only
  std::string data;        ///< JSON as text
  std::string origin;      ///< of one that was fetched, as in NewRow; read with_origins only
};

struct NewRow {
  std::string token;
  int code = 0;
  std::string data;  ///< JSON as text
  bool instant = false;
  std::int64_t etime = 0;  ///< 0: now
  /// Which row of which node it is, the same whichever way it comes: "<the ctime it has there>/<node>". Empty: written here. A row of an
  /// origin is stored once.
  std::string origin = {};
  bool unless_known = false;  ///< not written where the token has the same row, of no known origin, already
};

/// Filters as in GETLOG: each that is set must hold.
struct HistoryFilter {
  std::optional<std::int64_t> id_after;
  std::optional<std::string> token;
  std::optional<double> ctime_after;
  std::optional<std::int64_t> etime_after;
  std::optional<int> code;
  std::optional<std::size_t> limit;    ///< the newest so many
  std::optional<std::size_t> portion;  ///< the oldest so many; fewer where their data comes to portion_bytes
  bool with_origins = false;           ///< they are read, and told in JSON, too
  static constexpr std::size_t portion_bytes = std::size_t{1} << 20;
  bool empty() const { return !id_after && !token && !ctime_after && !etime_after && !code; }
};

using Rows = std::vector<HistoryRow>;

/// A message as it survives a restart: on its way to another node (outbox), or taken to be run here (inbox).
struct StoredMessage {
  std::string delivery;  ///< its id, the same on all hops
  std::string action, token, target, data;
  std::int64_t until = 0;  ///< seconds since 1970: given up, or forgotten, after this
};

/// Records of a collection: key → bytes.
using Kept = std::map<std::string, std::string>;

/// A part of a collection: keys from `from` up to and without `until`, in the order of their bytes; empty: no bound. Not more than `limit`
/// records, fewer where they come to portion_bytes; none only where there are none.
struct KeptRange {
  std::string from, until;
  std::size_t limit = 0;  ///< 0: all, whatever they come to
  static constexpr std::size_t portion_bytes = std::size_t{1} << 20;
};

class GORGONE_API Journal {
 public:
  virtual ~Journal() = default;

  /// Writes rows in one transaction. `done` (may be empty) gets an Error where they could not be stored.
  virtual void write(std::vector<NewRow> rows, std::function<void(Result<void>)> done = {}) = 0;
  void write(NewRow row);

  /// Rows in the order of their ids. Sees every row written before the call.
  virtual void read(HistoryFilter filter, std::function<void(Result<Rows>)> done) = 0;
  boost::asio::awaitable<Result<Rows>> read(HistoryFilter filter);

  /// Calls `on_row` for each row of `token` that is committed from now on, until the returned handle dies.
  /// An empty token watches all rows.
  virtual std::shared_ptr<void> watch(std::string token, std::function<void(const HistoryRow&)> on_row) = 0;

  /// Rows fetched from a node and the newest remote `ctime` among them, stored together (gorgone_synchistory).
  virtual void store_fetched(std::string node, double newest_ctime, std::vector<NewRow> rows, std::function<void(Result<void>)> done) = 0;
  /// The newest remote `ctime` fetched from a node, 0 where there is none.
  virtual void fetched_until(std::string node, std::function<void(Result<double>)> done) = 0;

  /// Outbox: messages for other nodes, kept until they are taken or given up. One that comes from another node is passed on; `done`
  /// says whether it is new: what was passed on before is not stored again.
  virtual void store_outgoing(StoredMessage message, bool is_passed_on, std::function<void(Result<bool>)> done) = 0;
  virtual void forget_outgoing(std::string delivery, std::function<void(Result<void>)> done = {}) = 0;
  /// Forgets it and writes the row that says why, in one transaction.
  virtual void give_up_outgoing(std::string delivery, NewRow row) = 0;
  /// All of them, in the order they were stored. An Error with code "unreadable" while the file cannot be read: ask again.
  virtual void outgoing(std::function<void(Result<std::vector<StoredMessage>>)> done) = 0;

  /// Inbox: messages with a delivery id that are run here once. `done` says whether it is new.
  virtual void store_incoming(StoredMessage message, std::function<void(Result<bool>)> done) = 0;
  virtual void begin_incoming(std::string delivery, std::function<void(Result<void>)> done) = 0;
  virtual void end_incoming(std::string delivery) = 0;
  /// Those that were stored before the start and not begun, in their order. Those that were begun and not ended become history rows with
  /// code 1. Asked once, at the start; an Error with code "unreadable" while the file cannot be read: ask again.
  virtual void incoming(std::function<void(Result<std::vector<StoredMessage>>)> done) = 0;

  /// Pinned server keys (gorgone_target_fingerprint): target is "tcp://address:port". An Error with code "unreadable" while the file
  /// cannot be read: what is pinned there is not known.
  virtual void fingerprint_of(std::string target, std::function<void(Result<std::optional<std::string>>)> done) = 0;
  virtual void pin_fingerprint(std::string target, std::string thumbprint, std::function<void(Result<void>)> done) = 0;
  /// A key that was refused, for another is pinned: kept for whoever decides about it (gorgonectl trust).
  virtual void note_refused_key(std::string target, std::string node, std::string thumbprint) = 0;

  /// Nodes that dial us (pull), and the session of our listener through which each spoke last: node id → routing id. An empty routing id
  /// forgets the node.
  virtual void keep_pull_identity(std::string node, std::string routing_id) = 0;
  virtual void pull_identities(std::function<void(Result<std::map<std::string, std::string>>)> done) = 0;

  /// What a module keeps across restarts: records of bytes under keys, in collections whose names begin with the module's, such as
  /// "mcollective.session". A record takes the place of an older one; `done` comes after the commit, in the order of the calls.
  virtual void keep(std::string collection, std::string key, std::string data, std::function<void(Result<void>)> done = {}) = 0;
  virtual void drop_kept(std::string collection, std::string key, std::function<void(Result<void>)> done = {}) = 0;
  /// A collection or a part of it. An Error with code "unreadable" while the file cannot be read: ask again.
  virtual void kept(std::string collection, std::function<void(Result<Kept>)> done, KeptRange range = {}) = 0;

  struct Purge {
    std::int64_t sessions_before = 0, history_before = 0, instant_before = 0;  ///< seconds since 1970
    std::int64_t deliveries_before = 0;    ///< ids of messages that were run or passed on and could wait until then
    std::int64_t refused_keys_before = 0;  ///< keys that have not been offered again since then
  };
  struct Purged {
    std::int64_t sessions = 0, rows = 0;
    bool is_all = true;  ///< false inside the journal while more is to be purged
  };
  virtual void purge(Purge what, std::function<void(Result<Purged>)> done) = 0;

  /// False while the file cannot be written: what is stored then is in memory, and lost if the daemon ends before the file can be written
  /// again. When a completion comes, it says whether what was stored lies in the file.
  virtual bool is_durable() const { return true; }
};

/// True for a row after which no other of its token is expected: code 1 or 2, but for the messages of single steps
/// ("command execution issue", "command has been submitted").
GORGONE_API bool ends_token(const HistoryRow& row);

/// Rows as the JSON list of a GETLOG answer and of the API: `id` a string of digits, `ctime` with 5 decimals; `origin` where it is wished
/// for and the row has one.
GORGONE_API std::string rows_to_json(const Rows& rows, bool with_origins = false);

}  // namespace gorgone
