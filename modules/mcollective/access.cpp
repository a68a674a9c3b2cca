#include "access.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "access_options.hpp"
#include "kept_store.hpp"

namespace gorgone::mcollective {
namespace {

using namespace std::chrono_literals;
using SystemClock = std::chrono::system_clock;

const std::string pin_collection = "mcollective.pin";
const std::string certificate_collection = "mcollective.certificate";
const std::string revocation_collection = "mcollective.revocations";
constexpr std::size_t brought_bytes_max = std::size_t{64} << 10;
constexpr std::chrono::milliseconds look_every = 1s, look_seldom = 2s;
constexpr std::chrono::milliseconds tell_at_most_every = 500ms;  ///< to ask for all grants anew costs the broker time
constexpr int share_of_looking = 100;                            ///< looking takes at most this part of a processor's time

std::int64_t now_s() { return std::chrono::duration_cast<std::chrono::seconds>(SystemClock::now().time_since_epoch()).count(); }

/// What lies in the journal of what was brought.
struct KeptTexts {
  std::vector<Certificate> certificates;
  std::vector<Revocations> revocations;
  std::vector<std::string> problems;
};

}  // namespace

// Shared with the coroutine that looks after the files: it may be suspended when the owner goes.
struct AccessState : std::enable_shared_from_this<AccessState> {
  AccessState(Agent& a, AccessOptions options, std::function<void()> on_change)
      : agent(a),
        table(options.rules),
        rules(options.rules),
        reader(std::make_shared<AccessReader>(options.paths)),
        changed(std::move(on_change)),
        timer(a.loop()),
        tell_timer(a.loop()) {}

  Agent& agent;
  AccessTable table;
  AccessRules rules;
  std::shared_ptr<AccessReader> reader;  ///< used on the pool, by run() alone
  std::function<void()> changed;
  asio::steady_timer timer, tell_timer;
  std::chrono::steady_clock::time_point tell_from{};
  bool is_closed = false, is_telling = false;
  bool owes_brought = false;  ///< what lies in the journal has not been read yet
  std::string why_owed;
  std::set<std::string> told_problems;
  std::function<void(const Pins&)> tell_pins = {};  ///< other brokers; may be empty
  std::chrono::steady_clock::time_point complain_after{};

  void tell_changed();
  void log_problems(const std::vector<std::string>& problems);
  void keep_pin(const std::string& identity, const std::string& pin);
  void pin_differs(const std::string& identity);
  asio::awaitable<std::chrono::milliseconds> look();
  asio::awaitable<void> read_brought();
  static asio::awaitable<void> run(std::shared_ptr<AccessState> self, std::chrono::milliseconds pause);
  Result<void> take(Certificate certificate, const std::string& text);
  void drop(const std::vector<std::string>& serials);
};

void AccessState::tell_changed() {
  if (is_telling || is_closed) return;
  is_telling = true;
  // A fleet that brings its certificates at the same time is one change in a while.
  tell_timer.expires_at(std::max(tell_from, std::chrono::steady_clock::now()));
  tell_timer.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->is_closed) return;
    self->is_telling = false;
    self->tell_from = std::chrono::steady_clock::now() + tell_at_most_every;
    if (self->changed) self->changed();
  });
}

void AccessState::log_problems(const std::vector<std::string>& problems) {
  for (const auto& problem : problems)
    if (!told_problems.contains(problem)) agent.log().error("access: {}", printable(problem, 300));
  told_problems = {problems.begin(), problems.end()};
}

/// Empty: there is none any more.
void AccessState::keep_pin(const std::string& identity, const std::string& pin) {
  if (pin.empty())
    agent.journal().drop_kept(pin_collection, identity);
  else
    agent.journal().keep(pin_collection, identity, pin);
}

void AccessState::pin_differs(const std::string& identity) {
  const auto now = std::chrono::steady_clock::now();
  if (now < complain_after) return;
  complain_after = now + 60s;
  const auto shown = printable(identity);
  agent.log().warning(
      "access: {} is pinned to one key here and to another one at another broker; `gorgonectl mcollective trust {}`, "
      "said to the broker whose key is the wrong one, and the right key's next connection there decide for all",
      shown, shown);
}

/// How long to wait for the next look.
asio::awaitable<std::chrono::milliseconds> AccessState::look() {
  struct Seen {
    std::shared_ptr<const AccessFiles> files;
    bool is_in_doubt;
    std::chrono::milliseconds took;
  };
  auto work = [reader = reader] {
    const auto began = std::chrono::steady_clock::now();
    Seen seen{reader->look(), false, {}};
    seen.is_in_doubt = reader->is_in_doubt();
    seen.took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
    return seen;
  };
  auto seen = co_await agent.blocking(std::move(work));
  if (seen.files && !is_closed) {
    const bool is_trust_other = seen.files->authorities != table.files().authorities;
    table.set_files(seen.files);
    log_problems(table.problems());
    if (is_trust_other) owes_brought = true;
    tell_changed();
  }
  if (owes_brought && !is_closed) co_await read_brought();
  // Reading what has changed is no measure of what looking costs, and a change that was seen is not waited for twice as long.
  co_return seen.files || seen.is_in_doubt ? look_every : std::clamp(seen.took * share_of_looking, look_every, look_seldom);
}

/// Certificates and lists in the journal, checked against the authorities of now.
asio::awaitable<void> AccessState::read_brought() {
  const KeptRange all;
  auto certificates = co_await kept_records(agent.journal(), certificate_collection, all);
  auto lists = co_await kept_records(agent.journal(), revocation_collection, all);
  if (!certificates || !lists) {
    why_owed = "certificates and revocations that were kept cannot be read from the journal: " +
               (certificates ? lists.error() : certificates.error()).message;
    log_problems({why_owed});
    co_return;
  }
  owes_brought = false;
  auto work = [authorities = table.files().authorities, certificates = std::move(*certificates), lists = std::move(*lists)] {
    KeptTexts out;
    for (const auto& [serial, text] : certificates) {
      auto read = read_certificate(text, authorities);
      if (read)
        out.certificates.push_back(std::move(*read));
      else
        out.problems.push_back(fmt::format("kept certificate {}: {}", serial, read.error().message));
    }
    for (const auto& [issuer, text] : lists) {
      auto read = read_revocations(text, authorities);
      if (read) out.revocations.push_back(std::move(*read));
    }
    return out;
  };
  auto kept = co_await agent.blocking(std::move(work));
  for (const auto& problem : kept.problems) agent.log().warning("access: {}", problem);
  for (const auto& list : kept.revocations)
    if (const auto taken = table.take_kept(list); !taken && taken.error().code == "differs")
      agent.log().warning("access: of a list kept in the journal: {}", taken.error().message);
  for (auto& certificate : kept.certificates) drop(table.take(std::move(certificate), now_s()));
  tell_changed();
}

asio::awaitable<void> AccessState::run(std::shared_ptr<AccessState> self, std::chrono::milliseconds pause) {
  auto next_look = std::chrono::steady_clock::now() + pause;
  auto looked_s = now_s();
  while (!self->is_closed) {
    // A second begins when the clock says so, not when our own second is over.
    const auto now = SystemClock::now();
    const auto second = std::chrono::floor<std::chrono::seconds>(now) + 1s;
    self->timer.expires_after(std::min<std::chrono::steady_clock::duration>(second - now, next_look - std::chrono::steady_clock::now()));
    boost::system::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await self->timer.async_wait(token);
    if (error || self->is_closed) co_return;
    const auto second_s = now_s();
    // A clock that goes back makes valid again what had ended.
    const auto change_s = self->table.next_change_s(std::min(looked_s, second_s));
    if (second_s < looked_s || (change_s != 0 && change_s <= second_s)) self->tell_changed();
    looked_s = second_s;
    self->drop(self->table.drop_ended(second_s));
    if (std::chrono::steady_clock::now() < next_look) continue;
    const auto wait = co_await self->look();
    next_look = std::chrono::steady_clock::now() + wait;
  }
}

void AccessState::drop(const std::vector<std::string>& serials) {
  for (const auto& serial : serials) agent.journal().drop_kept(certificate_collection, serial);
}

Result<void> AccessState::take(Certificate certificate, const std::string& text) {
  const auto serial = certificate.serial;
  const auto superseded = table.take(std::move(certificate), now_s());
  if (std::find(superseded.begin(), superseded.end(), serial) != superseded.end())
    return Error{fmt::format("certificate {} is not taken: one of the same key that was made later holds", serial), "superseded"};
  auto done = [weak = weak_from_this(), serial](const Result<void>& kept) {
    const auto self = weak.lock();
    if (self && !kept) self->agent.log().warning("access: certificate {} is not known after a restart: {}", serial, kept.error().message);
  };
  agent.journal().keep(certificate_collection, serial, text, std::move(done));
  drop(superseded);
  tell_changed();
  return {};
}

namespace {

class FileAccess final : public Access {
 public:
  FileAccess(Agent& agent, AccessOptions options, std::function<void()> changed)
      : state_(std::make_shared<AccessState>(agent, std::move(options), std::move(changed))) {}
  ~FileAccess() override {
    state_->is_closed = true;
    state_->timer.cancel();
    state_->tell_timer.cancel();
  }

  asio::awaitable<Result<void>> start() override {
    const auto state = state_;
    const KeptRange all;
    auto pins = co_await kept_records(state->agent.journal(), pin_collection, all);
    if (!pins && state->rules.policy == AccessPolicy::first)
      co_return Error{"clients: first: the pinned keys cannot be read from the journal: " + pins.error().message, "database"};
    if (pins && state->rules.policy == AccessPolicy::first) state->table.set_pins(std::move(*pins));
    const auto pause = co_await state->look();
    if (state->owes_brought) co_return Error{state->why_owed, "database"};
    if (state->rules.policy == AccessPolicy::any && !state->rules.is_plain)
      state->agent.log().warning(
          "mcollective: clients is \"any\": whoever reaches the port and knows the broker's public key is let in, under any name; "
          "clients: listed or first would ask for more");
    state->agent.spawn(AccessState::run(state, pause));
    co_return Result<void>{};
  }

  Result<Grant> grant(const std::string& key, const std::string& routing_id) override {
    auto granted = state_->table.grant(key, routing_id, now_s());
    const auto added = state_->table.take_new_pins();
    for (const auto& [identity, pin] : added) state_->keep_pin(identity, pin);
    if (!added.empty() && state_->tell_pins) state_->tell_pins(added);
    return granted;
  }

  Result<void> take_certificate(const std::string& text) override {
    if (!state_->rules.has_authority) return Error{"no certificates are taken here: certificate_authority is not set"};
    if (text.size() > brought_bytes_max)
      return Error{fmt::format("{} bytes, expected a certificate or a list of at most {}; longer lists are read as files (revoked)",
                               text.size(), brought_bytes_max)};
    const auto& authorities = state_->table.files().authorities;
    if (is_revocations(text)) return take_revocations(text, authorities);
    auto read = read_certificate(text, authorities);
    if (!read) return read.error();
    const auto now = now_s();
    if (read->not_after_s <= now)
      return Error{fmt::format("certificate {} has ended at {}; this broker's clock says {}", read->serial, time_text(read->not_after_s),
                               time_text(now))};
    if (state_->table.is_revoked(*read)) return Error{fmt::format("certificate {} or its key is revoked", read->serial)};
    // A client brings the same one at each CONNECT.
    return state_->table.has(*read) ? Result<void>{} : state_->take(std::move(*read), text);
  }

  Result<void> forget_pin(const std::string& identity) override {
    const auto left = state_->table.forget_pin(identity);
    if (!left) return left.error();
    state_->keep_pin(identity, *left);
    state_->tell_changed();
    if (state_->tell_pins) state_->tell_pins({{identity, *left}});
    return {};
  }

  void share_pins(std::function<void(const Pins&)> tell) override {
    if (state_->rules.policy == AccessPolicy::first) state_->tell_pins = std::move(tell);
  }

  void take_pins(const Pins& pins) override {
    bool is_changed = false;
    for (const auto& [identity, pin] : pins) {
      const auto learnt = state_->table.learn_pin(identity, pin);
      if (learnt == AccessTable::Learnt::differs) state_->pin_differs(identity);
      if (learnt == AccessTable::Learnt::added || learnt == AccessTable::Learnt::replaced)
        state_->keep_pin(identity, state_->table.pin_of(identity));
      is_changed |= learnt == AccessTable::Learnt::replaced;
    }
    if (is_changed) state_->tell_changed();
  }

  Pins pins() const override { return state_->table.pins(); }

  json::object describe() const override { return state_->table.describe(now_s()); }

 private:
  Result<void> take_revocations(const std::string& text, const Authorities& authorities) {
    auto read = read_revocations(text, authorities);
    if (!read) return read.error();
    const auto issuer = read->issuer;
    if (auto taken = state_->table.take(std::move(*read)); !taken) return taken;
    state_->agent.journal().keep(revocation_collection, issuer, text);
    state_->tell_changed();
    return {};
  }

  std::shared_ptr<AccessState> state_;
};

}  // namespace

Result<std::unique_ptr<Access>> Access::make(Agent& agent, const Settings& settings, bool curve, std::function<void()> changed) {
  for (const auto& problem : check_access(settings, curve))
    if (problem.severity == Problem::Severity::error) return Error{problem.message};
  auto options = read_access_options(settings);
  options.rules.is_plain = !curve;
  return std::unique_ptr<Access>(std::make_unique<FileAccess>(agent, std::move(options), std::move(changed)));
}

}  // namespace gorgone::mcollective
