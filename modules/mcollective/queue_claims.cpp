#include "queue_claims.hpp"

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
      const auto& data = (*newest)->data;
      const auto space = data.find(' ');
      record.sequence = (*newest)->sequence;
      record.claim = data.substr(0, space);
      if (space != std::string::npos) record.identity = data.substr(space + 1);
    }
    done(std::move(record));
  };
  streams_.last(names_.owners(), names_.owner(topic), std::move(found));
}

void QueueClaims::write(const std::string& topic, const std::string& claim, const std::string& identity, std::uint64_t after, int attempts,
                        Done done) {
  auto stored = [this, topic, claim, identity, attempts, done = std::move(done),
                 alive = std::weak_ptr<bool>(alive_)](const Result<std::uint64_t>& result) {
    if (alive.expired()) return;
    if (result) return done(Answer::ours, {});
    if (result.error().code == "changed" && attempts > 1) return try_claim(topic, claim, identity, attempts - 1, done);
    done(Answer::unknown, {});
  };
  streams_.store(names_.owner(topic), {}, claim + ' ' + identity, after, std::move(stored));
}

void QueueClaims::try_claim(const std::string& topic, const std::string& claim, const std::string& identity, int attempts, Done done) {
  look(topic, [this, topic, claim, identity, attempts, done = std::move(done)](const Result<Record>& record) {
    if (!record) return done(Answer::unknown, {});
    if (record->sequence != 0 && record->identity != identity) return done(Answer::not_ours, record->identity);
    write(topic, claim, identity, record->sequence, attempts, done);
  });
}

void QueueClaims::claim(const std::string& topic, const std::string& claim, const std::string& identity, Done done) {
  try_claim(topic, claim, identity, attempts_max, std::move(done));
}

void QueueClaims::check(const std::string& topic, const std::string& claim, const std::string& identity, bool is_renewed, Done done) {
  look(topic, [this, topic, claim, identity, is_renewed, done = std::move(done)](const Result<Record>& record) {
    if (!record) return done(Answer::unknown, {});
    if (record->sequence != 0 && record->identity != identity) return done(Answer::not_ours, record->identity);
    if (record->sequence != 0 && record->claim != claim) return done(Answer::moved, identity);
    if (record->sequence != 0 && !is_renewed) return done(Answer::ours, {});
    write(topic, claim, identity, record->sequence, 1, done);
  });
}

void QueueClaims::release(const std::string& topic, const std::string& identity, std::function<void(Result<void>)> done) {
  look(topic, [this, identity, done = std::move(done)](const Result<Record>& record) {
    if (!record) return done(record.error());
    if (record->sequence == 0 || record->identity != identity) return done({});
    streams_.remove(names_.owners(), record->sequence, done);
  });
}

}  // namespace gorgone::mcollective
