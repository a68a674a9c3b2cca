#pragma once
// Persistent topics in the agent's journal alone, for a broker without a backbone. On the loop.

#include <boost/asio/steady_timer.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kept_queues.hpp"
#include "kept_store.hpp"
#include "offer_budget.hpp"
#include "queue_owners.hpp"

namespace gorgone::mcollective {

class JournalQueues final : public KeptQueues {
 public:
  JournalQueues(Agent& agent, std::vector<KeptLimits> limits);

  asio::awaitable<Result<void>> start(Events events) override;
  bool is_persistent(std::string_view topic) const override { return limits_of(limits_, topic) != nullptr; }
  void put(const std::string& topic, SharedFrames message, std::function<void(Result<void>)> done) override;
  using KeptQueues::attach;
  /// One broker alone lets an identity in under one key.
  bool attach(const std::string& topic, const std::string& identity, const IdentityKey&) override;
  /// A queue that another owns goes on, whatever room this identity has.
  bool has_room(const std::string& topic, const std::string& identity) const override {
    return owners_.owner(topic) != nullptr || owners_.has_room(topic, identity);
  }
  void detach(const std::string& topic, const std::string& identity) override;
  void disown(const std::string& topic, const std::string& identity) override;
  void taken(const std::string& topic, std::uint64_t number) override;
  json::array describe() const override;
  asio::awaitable<void> stop() override { return store_.settle(); }

 private:
  /// A topic whose owner is here.
  struct Reader {
    std::uint64_t id = 0;
    std::uint64_t next = 0;  ///< nothing below it is offered again
    std::string identity;
    std::map<std::uint64_t, std::size_t> unconfirmed;  ///< number → bytes
    std::size_t bytes = 0;                             ///< of these, and of what is being read
    std::uint64_t taken = 0;
    bool is_reading = false;
  };

  /// Offers what there is and room for, soon. True: it waits for other queues of its owner.
  bool pump(const std::string& topic);
  void take_bytes(Reader& reader, std::size_t bytes);
  void give_back(Reader& reader, std::size_t bytes);
  /// Queues of the owner for which there was no room go on.
  void go_on(const std::string& identity);
  void end_reader(const std::string& topic);
  void read(const std::string& topic, Reader& reader, std::size_t room);
  void offer(const std::string& topic, std::vector<KeptStore::Stored> messages);
  Reader* reader(const std::string& topic, std::uint64_t id);
  void look_at_ages();
  void renew(std::int64_t now);
  void too_many(const std::string& topic, const std::string& identity);

  Agent& agent_;
  const std::vector<KeptLimits> limits_;
  KeptStore store_;
  QueueOwners owners_;
  Events events_;
  std::map<std::string, Reader> readers_;
  std::map<const KeptLimits*, std::uint64_t> taken_;  ///< of all topics of an entry
  OfferBudget budget_;
  std::uint64_t readers_made_ = 0, owners_refused_ = 0;
  std::int64_t renew_at_s_ = 0;
  std::chrono::steady_clock::time_point complain_after_{};
  asio::steady_timer ages_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gorgone::mcollective
