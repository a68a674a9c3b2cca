#pragma once
// What the broker knows of one client: its session, and the connection that it has or does not have. Plain data, on the loop.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "access.hpp"
#include "deadlines.hpp"
#include "topics.hpp"
#include "transport.hpp"

namespace gorgone::mcollective {

/// Which message of a persistent topic's queue something is.
struct KeptPlace {
  std::string topic;
  std::uint64_t number = 0;
};

/// A message on its way to a client.
struct Parcel {
  SharedFrames frames;
  std::size_t bytes = 0;
  std::shared_ptr<const KeptPlace> kept = {};  ///< nullptr: of no queue
};

/// What most clients have nothing of.
struct Backlog {
  std::deque<Parcel> parcels;  ///< held back: the client is away, or has asked something and not got its answer
  std::deque<Parcel> unasked;  ///< of subscriptions that are stale: until it subscribes to them again
  std::size_t bytes = 0;       ///< of both
  struct Answer {
    std::uint64_t ticket = 0;
    SharedFrames frames;  ///< nullptr while it is not known
    bool has_id = true;   ///< false: an ERROR that nobody waits for, which must not come while another answer is waited for
  };
  std::deque<Answer> answers;    ///< they go out in the order of the questions
  std::size_t answer_bytes = 0;  ///< of all that are known and came since there were none
  std::deque<std::pair<std::uint64_t, std::shared_ptr<const KeptPlace>>> unconfirmed;  ///< by the number that the transport gave it
  bool is_confirming = false;
  std::vector<ConnectionId> publishers;  ///< who is held back because this client's queue is full
};

/// Something that is logged once a minute at most.
struct Complaint {
  Time told{};
  std::uint64_t untold = 0;
};

/// Of one client; of most there are none.
struct Complaints {
  Complaint drops, refusals, slowness, handovers, oversize;
};

struct Client {
  Peer peer;
  Grant grant;
  std::string version;              ///< as it said in CONNECT
  ConnectionId connection = 0;      ///< 0: it is away
  std::size_t index = 0;            ///< in the table of all
  std::chrono::milliseconds ttl{};  ///< 0: it has none
  bool has_session = false;         ///< it said CONNECT, now or before a restart
  bool is_asking = false;           ///< its command is being carried out, and is answered at the end of that
  bool is_slow = false;             ///< publishers do not wait for it any more
  bool is_halted = false;           ///< what waits in its connection is not sent, see Delivery::halt
  bool is_muted = false;            ///< reads no answers, so no more commands are read from it
  bool is_renewing = false;         ///< has said CONNECT anew: subscriptions that are still stale at `renewed_until` are ended
  std::uint32_t holds = 0;          ///< subscribers because of which it is held back
  bool is_kept_away = false;        ///< its record says since when it is away
  bool claimed_alone = false;       ///< see SessionClaim: of its connection, or its CONNECT
  std::int64_t claim = 0;           ///< its number
  Time claimed_at{};
  Time since{}, last_heard{}, last_sent{};
  Time gone_at{};     ///< since when it is away
  Time hold_until{};  ///< MESSAGE and NOOP wait; none: they do not
  Time renewed_until{};
  Time patient_until{};
  Time doubted_until{};  ///< silent for too long; what has come meanwhile is looked at before it is ended
  Time grant_ends{};
  Time look_at{};  ///< of Deadlines
  std::uint64_t in = 0, out = 0, dropped = 0;
  std::vector<Subscription> subscriptions;
  std::unique_ptr<Backlog> backlog;
  std::unique_ptr<Complaints> complaints;

  Complaints& complained() {
    if (!complaints) complaints = std::make_unique<Complaints>();
    return *complaints;
  }
  Backlog& more() {
    if (!backlog) backlog = std::make_unique<Backlog>();
    return *backlog;
  }
  bool awaits_answer() const { return backlog && !backlog->answers.empty(); }
  bool is_held() const { return connection == 0 || hold_until != Time{} || is_asking || awaits_answer(); }
  std::size_t parcels() const { return backlog ? backlog->parcels.size() + backlog->unasked.size() : 0; }
  /// Gives memory back that idle clients need not have.
  void trim() {
    if (backlog && backlog->parcels.empty() && backlog->unasked.empty() && backlog->answers.empty() && backlog->unconfirmed.empty() &&
        backlog->publishers.empty())
      backlog.reset();
  }
};

}  // namespace gorgone::mcollective
