#pragma once
// Reads the queues of owners who are here out of the streams. Each message is asked for by itself, in the order of the stream, and deleted
// there when it was taken: nothing on the servers remembers who has read how far, so any broker can go on at any time, from the oldest that
// was not taken. (Consumers of JetStream would cost the cluster one Raft group for each topic, and hand out newer messages before those
// that a broker took with it when it died.) On the loop.

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "kept_queues.hpp"
#include "offer_budget.hpp"
#include "queue_claims.hpp"

namespace gorgone::mcollective {

class QueueReader {
 public:
  QueueReader(Agent& agent, NatsConnection& connection, const StreamNames& names, KeptQueues::Events& events);
  QueueReader(const QueueReader&) = delete;

  void set_ready(bool is_ready);
  /// How far a stream was read, as stream_is() is to be told; to be asked before the servers are.
  std::uint64_t read_until(const std::string& stream) const;
  /// What the servers say of a stream. Sequences are worth something within one stream only: where this one ends before what was read of
  /// it, what is known of them is forgotten. Nothing is read from it or deleted there until this is known of it.
  void stream_is(const std::string& stream, const JetStream::Use& use, std::uint64_t read_until);
  bool attach(const std::string& topic, const std::string& identity, const IdentityKey& key);
  void detach(const std::string& topic, const std::string& identity);
  void disown(const std::string& topic, const std::string& identity);
  void nobody_here(const std::string& topic);
  void taken(const std::string& topic, std::uint64_t number);
  /// A message has come into the stream of a topic.
  void news(const std::string& topic);
  /// Writes the claims anew, so that they do not grow old, and looks which of others have.
  void renew();

  struct Offered {
    std::uint64_t sequence = 0;
    std::size_t bytes = 0;
  };
  struct Topic {
    std::string identity;
    QueueClaims::Claim claim;
    bool is_claimed = false;                       ///< its messages may be read
    bool is_asking = false;                        ///< for its claim or a message
    bool must_check = false;                       ///< whether the claim still holds
    std::uint64_t next = 1;                        ///< in the stream
    std::uint64_t beginnings = 0;                  ///< how often the stream was found to be another one
    std::map<std::uint64_t, Offered> unconfirmed;  ///< by the number under which it was offered
    std::size_t bytes = 0;                         ///< of these, and what is set aside for the one that is being read
    std::size_t usual = 0;                         ///< as large as the last one: what is set aside for the next
    std::uint64_t taken = 0;
    std::uint64_t told = 0;              ///< messages that we were told of and have not seen
    std::chrono::milliseconds pause{0};  ///< after the last look that found nothing
    std::unique_ptr<asio::steady_timer> again;
  };
  const std::map<std::string, Topic>& topics() const { return topics_; }
  std::size_t undeleted() const;
  /// Since the start, out of a stream, by owners who were here.
  std::uint64_t taken_of(const std::string& stream) const;

 private:
  Topic* find(const std::string& topic, const std::string& claim);
  /// True: the topic waits for other queues of its owner.
  bool go_on(const std::string& topic);
  /// Queues of the owner for which there was no room go on.
  void let_others_go_on(const std::string& identity);
  void take_bytes(Topic& state, std::size_t bytes);
  void give_back(Topic& state, std::size_t bytes);
  void forget(const std::string& topic);
  void owner_changed(const std::string& topic);
  void look_for_free();
  void look_whether_free(const std::string& topic);
  void claim(const std::string& topic, Topic& state);
  void claimed(const std::string& topic, Topic& state, QueueClaims::Answer answer, const std::string& owner);
  void read(const std::string& topic, Topic& state);
  void found(const std::string& topic, Topic& state, Result<std::optional<JetStream::Record>> record);
  void look_again(const std::string& topic, Topic& state, std::chrono::milliseconds after);
  void give_up(const std::string& topic);
  void remove(const std::string& stream, std::uint64_t sequence);
  void release(const std::string& topic, const QueueClaims::Claim& claim);
  void begin_anew(const std::string& stream);
  void release_again(const std::string& topic, const QueueClaims::Claim& claim);

  Agent& agent_;
  NatsConnection& connection_;
  const StreamNames& names_;
  KeptQueues::Events& events_;
  JetStream streams_;
  QueueClaims claims_;
  const std::string instance_;
  std::uint64_t claims_made_ = 0, offers_made_ = 0;
  bool is_ready_ = false;
  std::map<std::string, Topic> topics_;
  std::set<std::string> watched_;  ///< somebody else's: who subscribes here may have them when they are free
  OfferBudget budget_;
  struct Stream {
    std::uint64_t read_until = 0;  ///< the highest sequence that was seen
    bool is_known = false;         ///< it is still that one, by what the servers have said since they were reached
  };
  std::map<std::string, Stream> known_;
  /// Taken and not yet deleted in the stream of that name.
  std::map<std::string, std::set<std::uint64_t>> taken_;
  std::map<std::string, std::uint64_t> counts_;         ///< of all that were taken, by stream
  std::map<std::string, QueueClaims::Claim> released_;  ///< by topic, to be given back when the servers answer
  std::multiset<std::string> releasing_;                ///< topics that are being given back: nobody else claims them meanwhile
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::mcollective
