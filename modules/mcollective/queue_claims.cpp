#include "queue_claims.hpp"

#include <sstream>

namespace gorgone::mcollective {
namespace {

constexpr int attempts_max = 5;

}  // namespace

// A topic that nobody has gives an empty identity.
void QueueClaims::look(const std::string& topic, std::function<void(Result<Record>)> done) {
  auto found = [done = std::move(done), alive = std::weak_ptr<bool>(alive_)](Result<std::optional<JetStream::Record>> newest) {
    if (alive.expired()) return;
    if (!newest) return done(newest.error());
    Record record;
    if (*newest) {
      record.sequence = (*newest)->sequence;
      // No identity has a space in it.
      std::istringstream words((*newest)->data);
      std::getline(words, record.claim, ' ');
      std::getline(words, record.identity, ' ');
      std::getline(words, record.key, ' ');
    }
    done(std::move(record));
  };
  streams_.last(names_.owners(), names_.owner(topic), std::move(found));
}

// A record without a key is of a broker that pins none.
bool QueueClaims::is_of_other_key(const Record& record, const Claim& claim) {
  return record.identity == claim.identity && !claim.key.is_certain && !claim.key.key.empty() && !record.key.empty() &&
         record.key != claim.key.key;
}

void QueueClaims::write(const std::string& topic, const Claim& claim, std::uint64_t after, int attempts, Done done) {
  auto stored = [this, topic, claim, attempts, done = std::move(done),
                 alive = std::weak_ptr<bool>(alive_)](const Result<std::uint64_t>& result) {
    if (alive.expired()) return;
    if (result) return done(Answer::ours, {});
    if (result.error().code == "changed" && attempts > 1) return try_claim(topic, claim, attempts - 1, done);
    done(Answer::unknown, {});
  };
  auto record = claim.number + ' ' + claim.identity;
  if (!claim.key.key.empty()) record += ' ' + claim.key.key;
  streams_.store(names_.owner(topic), {}, std::move(record), after, std::move(stored));
}

void QueueClaims::try_claim(const std::string& topic, const Claim& claim, int attempts, Done done) {
  look(topic, [this, topic, claim, attempts, done = std::move(done)](const Result<Record>& record) {
    if (!record) return done(Answer::unknown, {});
    if (record->sequence != 0 && record->identity != claim.identity) return done(Answer::not_ours, record->identity);
    if (record->sequence != 0 && is_of_other_key(*record, claim)) return done(Answer::other_key, record->identity);
    write(topic, claim, record->sequence, attempts, done);
  });
}

void QueueClaims::claim(const std::string& topic, const Claim& claim, Done done) { try_claim(topic, claim, attempts_max, std::move(done)); }

void QueueClaims::check(const std::string& topic, const Claim& claim, bool is_renewed, Done done) {
  look(topic, [this, topic, claim, is_renewed, done = std::move(done)](const Result<Record>& record) {
    if (!record) return done(Answer::unknown, {});
    if (record->sequence != 0 && record->identity != claim.identity) return done(Answer::not_ours, record->identity);
    if (record->sequence != 0 && record->claim != claim.number) return done(Answer::moved, claim.identity);
    if (record->sequence != 0 && !is_renewed) return done(Answer::ours, {});
    write(topic, claim, record->sequence, 1, done);
  });
}

void QueueClaims::is_free(const std::string& topic, std::function<void(bool)> done) {
  look(topic, [done = std::move(done)](const Result<Record>& record) { done(record && record->sequence == 0); });
}

void QueueClaims::release(const std::string& topic, const Claim& claim, std::function<void(Result<void>)> done) {
  look(topic, [this, claim, done = std::move(done)](const Result<Record>& record) {
    if (!record) return done(record.error());
    if (record->sequence == 0 || record->identity != claim.identity || is_of_other_key(*record, claim)) return done({});
    streams_.remove(names_.owners(), record->sequence, done);
  });
}

}  // namespace gorgone::mcollective
