#include "access_table.hpp"

#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <algorithm>

#include "signed_text.hpp"

namespace gorgone::mcollective {
namespace {

std::string beginning(std::string_view key) { return fmt::format("{:.8}…", key); }

constexpr char forgotten_mark = '!';
constexpr std::size_t key_text_size = 40;
constexpr std::size_t revoked_at_once = 500;

// Behind a key; no key has a space in it.
const std::string trusted_mark = " trusted";

bool is_trusted(const std::string& pin) { return pin.ends_with(trusted_mark); }

// Keys may begin with the mark too, but are shorter.
bool is_forgotten(const std::string& pin) { return pin.size() > key_text_size && pin.front() == forgotten_mark && !is_trusted(pin); }

std::string key_of(const std::string& pin) {
  if (is_trusted(pin)) return pin.substr(0, pin.size() - trusted_mark.size());
  return is_forgotten(pin) ? pin.substr(1) : pin;
}

// A client without a name of its own may have an identity that is no text at all; "*" is for it too.
bool allows_identity(std::string_view pattern, std::string_view identity) { return pattern == "*" || topic_matches(pattern, identity); }

}  // namespace

template <class F>
void AccessTable::each_certificate(F see) const {
  for (const auto* all : {&files_->certificates, &taken_})
    for (const auto& [key, certificates] : *all)
      for (const auto& held : certificates) see(held);
}

void AccessTable::set_files(std::shared_ptr<const AccessFiles> files) {
  files_ = std::move(files);
  differing_.clear();
  for (const auto& [issuer, revocations] : files_->revocations)
    if (const auto taken = take_kept(revocations); !taken && taken.error().code == "differs") differing_.push_back(taken.error().message);
}

std::vector<std::string> AccessTable::problems() const {
  auto all = files_->problems;
  all.insert(all.end(), differing_.begin(), differing_.end());
  return all;
}

void AccessTable::set_pins(std::map<std::string, std::string> pins) {
  pins.merge(pins_);
  pins_ = std::move(pins);
}

const Revocations* AccessTable::revoker_of(std::string_view key) const {
  for (const auto& [issuer, list] : revocations_)
    if (list.keys.contains(key) && files_->authorities.contains(issuer)) return &list;
  return nullptr;
}

bool AccessTable::is_revoked(const Certificate& certificate) const {
  // An issuer takes back its own certificates only; keys are everybody's.
  const auto list = revocations_.find(certificate.issuer);
  return (list != revocations_.end() && list->second.serials.contains(certificate.serial)) || revoker_of(certificate.key) != nullptr;
}

bool AccessTable::is_valid(const Certificate& certificate, std::int64_t now_s) const {
  return certificate.not_before_s <= now_s && now_s < certificate.not_after_s && files_->authorities.contains(certificate.issuer) &&
         !is_revoked(certificate);
}

const HeldCertificate* AccessTable::best_of(const std::string& key, std::int64_t now_s) const {
  const HeldCertificate* best = nullptr;
  for (const auto* all : {&files_->certificates, &taken_}) {
    const auto found = all->find(key);
    if (found == all->end()) continue;
    for (const auto& held : found->second)
      if (is_valid(held.certificate, now_s) && (!best || best->certificate.serial < held.certificate.serial)) best = &held;
  }
  return best;
}

void AccessTable::finish(Grant& grant, const TopicPermits& own, std::string_view client, std::string_view identity) const {
  auto topics = grant_topics(own, rules_.topics, client, identity);
  grant.publish = std::move(topics.publish);
  grant.subscribe = std::move(topics.subscribe);
}

Result<Grant> AccessTable::grant(const std::string& key, const std::string& routing_id, std::int64_t now_s) {
  const auto identity = identity_of(routing_id);
  if (const auto* list = revoker_of(key))
    return Error{fmt::format("key {} is revoked by list number {} of {}", beginning(key), list->number, time_text(list->issued_s))};
  std::string why_not;
  Grant out;
  if (const auto* held = key.empty() ? nullptr : best_of(key, now_s)) {
    const auto& certificate = held->certificate;
    if (allows_identity(certificate.identity, identity)) {
      out.source = fmt::format("certificate {} until {}", certificate.serial, time_text(certificate.not_after_s));
      out.until_s = certificate.not_after_s;
      finish(out, certificate.topics, identity, identity);
      pin_if_free(key, identity);
      if (rules_.policy == AccessPolicy::first) out.binding = Grant::Binding::certain;
      return out;
    }
    why_not = fmt::format("certificate {} is for the identity {}", certificate.serial, certificate.identity);
  }
  if (const auto listed = files_->listed.find(key); listed != files_->listed.end()) {
    const auto& entry = listed->second;
    if (allows_identity(entry.identity, identity)) {
      out.name = entry.name;
      out.source = "listed in " + entry.where;
      finish(out, entry.topics, entry.name.empty() ? identity : entry.name, identity);
      pin_if_free(key, identity);
      if (rules_.policy == AccessPolicy::first) out.binding = Grant::Binding::certain;
      return out;
    }
    why_not = fmt::format("key {} is listed in {} for the identity {}", beginning(key), entry.where, entry.identity);
  }
  out.source = "any";
  finish(out, {}, identity, identity);
  if (rules_.policy == AccessPolicy::any) return out;
  if (rules_.policy == AccessPolicy::first) return pinned(key, identity, std::move(out));
  if (!why_not.empty()) return Error{fmt::format("{}, and the client calls itself {}", why_not, printable(identity))};
  if (!rules_.has_authority) return Error{fmt::format("key {} is not in authorized_keys", beginning(key))};
  out = {};
  out.source = "no certificate yet";
  out.awaits_certificate = true;
  return out;
}

Result<Grant> AccessTable::pinned(const std::string& key, const std::string& identity, Grant grant) {
  grant.source = "pinned";
  // A client that gave no name got one from the broker, which is new with each connection and says nothing.
  if (identity.starts_with('\0')) {
    grant.source = "any, without a name";
    return grant;
  }
  pin_if_free(key, identity);
  const auto pin = pins_.find(identity);
  const auto shown = printable(identity);
  if (pin == pins_.end())
    return Error{fmt::format("{} has no pin, and there are {} already: pins_max, expected room for each client", shown, pins_.size())};
  if (!is_forgotten(pin->second) && key_of(pin->second) == key) {
    grant.binding = is_trusted(pin->second) ? Grant::Binding::certain : Grant::Binding::came_first;
    return grant;
  }
  if (is_forgotten(pin->second))
    return Error{
        fmt::format("key {} of {} was forgotten, another one is expected; `gorgonectl mcollective trust {}` once more lets it in again",
                    beginning(key), shown, shown)};
  return Error{fmt::format("{} is pinned to key {} and came with key {}; `gorgonectl mcollective trust {}` forgets the pin", shown,
                           beginning(key_of(pin->second)), beginning(key), shown)};
}

void AccessTable::pin_if_free(const std::string& key, const std::string& identity) {
  if (rules_.policy != AccessPolicy::first || identity.starts_with('\0')) return;
  const auto pin = pins_.find(identity);
  const bool is_free = pin == pins_.end() ? has_room_for(identity) : is_forgotten(pin->second) && key_of(pin->second) != key;
  if (!is_free) return;
  // Whoever forgot the former key meant this one.
  const bool is_meant = pin != pins_.end() || opened_.contains(identity);
  opened_.erase(identity);
  pins_[identity] = is_meant ? key + trusted_mark : key;
  new_pins_.emplace_back(identity, pins_[identity]);
}

AccessTable::Learnt AccessTable::learn_pin(const std::string& identity, const std::string& pin) {
  if (rules_.policy != AccessPolicy::first || identity.empty() || identity.starts_with('\0')) return Learnt::nothing;
  const auto ours = pins_.find(identity);
  if (pin.empty() || is_forgotten(pin)) {
    if (ours == pins_.end() || is_forgotten(ours->second) != pin.empty()) return Learnt::nothing;
    if (!pin.empty() && key_of(ours->second) != key_of(pin)) return Learnt::nothing;
    if (pin.empty()) {
      pins_.erase(ours);
      opened_.insert(identity);
    } else {
      ours->second = pin;
    }
    return Learnt::replaced;
  }
  if (key_of(pin).size() != key_text_size) return Learnt::nothing;
  if (ours == pins_.end()) {
    if (!has_room_for(identity)) return Learnt::nothing;
    pins_[identity] = pin;
    return Learnt::added;
  }
  const bool is_same = key_of(ours->second) == key_of(pin);
  // One that was forgotten here is told by who has not heard of that yet.
  if (is_forgotten(ours->second) && is_same) return Learnt::nothing;
  if (is_forgotten(ours->second) || (is_trusted(pin) && !is_trusted(ours->second))) {
    ours->second = is_trusted(pin) ? pin : pin + trusted_mark;
    return Learnt::replaced;
  }
  return is_same ? Learnt::nothing : Learnt::differs;
}

Pins AccessTable::pins() const {
  Pins all;
  if (rules_.policy == AccessPolicy::first)
    for (const auto& [identity, pin] : pins_)
      if (!is_forgotten(pin)) all.emplace_back(identity, pin);
  return all;
}

std::string AccessTable::pin_of(const std::string& identity) const {
  const auto found = pins_.find(identity);
  return found == pins_.end() ? std::string() : found->second;
}

Result<std::string> AccessTable::forget_pin(const std::string& identity) {
  const auto pin = pins_.find(identity);
  if (pin == pins_.end()) return Error{fmt::format("{}: no key is pinned for this identity", printable(identity))};
  if (is_forgotten(pin->second)) {
    pins_.erase(pin);
    opened_.insert(identity);
    return std::string();
  }
  return pin->second = forgotten_mark + key_of(pin->second);
}

bool AccessTable::has(const Certificate& certificate) const {
  for (const auto* all : {&files_->certificates, &taken_}) {
    const auto found = all->find(certificate.key);
    if (found == all->end()) continue;
    for (const auto& held : found->second)
      if (held.certificate.serial == certificate.serial) return true;
  }
  return false;
}

std::vector<std::string> AccessTable::take(Certificate certificate, std::int64_t now_s) {
  if (has(certificate)) return {};
  auto& held = taken_[certificate.key];
  held.push_back({std::move(certificate), "kept"});
  std::sort(held.begin(), held.end(), [](const auto& a, const auto& b) { return a.certificate.serial > b.certificate.serial; });
  const auto newest = std::find_if(held.begin(), held.end(), [&](const auto& other) { return is_valid(other.certificate, now_s); });
  std::vector<std::string> dropped;
  while (newest != held.end() && newest + 1 != held.end()) {
    dropped.push_back(held.back().certificate.serial);
    held.pop_back();
  }
  return dropped;
}

Result<void> AccessTable::take(Revocations revocations) {
  const auto known = revocations_.find(revocations.issuer);
  if (known != revocations_.end() && known->second.number > revocations.number)
    return Error{fmt::format("list number {}: a newer one of this issuer is known, number {}", revocations.number, known->second.number)};
  if (known != revocations_.end() && known->second.number == revocations.number && !known->second.revokes_the_same_as(revocations))
    return Error{fmt::format("list of revocations number {} of issuer {:.8}… has other entries than the list of that number that holds, "
                             "expected a higher number: `gorgonectl mcollective revoke` makes one with all that is to be revoked",
                             revocations.number, revocations.issuer),
                 "differs"};
  revocations_[revocations.issuer] = std::move(revocations);
  return {};
}

Result<void> AccessTable::take_kept(const Revocations& revocations) {
  auto taken = take(revocations);
  if (taken || taken.error().code != "differs") return taken;
  auto& known = revocations_.at(revocations.issuer);
  known.serials.insert(revocations.serials.begin(), revocations.serials.end());
  known.keys.insert(revocations.keys.begin(), revocations.keys.end());
  return taken;
}

std::vector<std::string> AccessTable::drop_ended(std::int64_t now_s) {
  std::vector<std::string> dropped;
  for (auto at = taken_.begin(); at != taken_.end();) {
    auto& held = at->second;
    std::erase_if(held, [&](const HeldCertificate& one) {
      if (now_s < one.certificate.not_after_s) return false;
      dropped.push_back(one.certificate.serial);
      return true;
    });
    at = held.empty() ? taken_.erase(at) : std::next(at);
  }
  return dropped;
}

std::int64_t AccessTable::next_change_s(std::int64_t now_s) const {
  std::int64_t next = 0;
  each_certificate([&](const HeldCertificate& held) {
    for (const auto time : {held.certificate.not_before_s, held.certificate.not_after_s})
      if (time > now_s && (next == 0 || time < next)) next = time;
  });
  return next;
}

std::string AccessTable::state_of(const Certificate& certificate, std::int64_t now_s) const {
  if (!files_->authorities.contains(certificate.issuer)) return "issuer not trusted";
  if (is_revoked(certificate)) return "revoked";
  if (now_s < certificate.not_before_s) return "not yet valid";
  return now_s < certificate.not_after_s ? "valid" : "ended";
}

json::object AccessTable::describe(std::int64_t now_s) const {
  auto topics_into = [](json::object& out, const TopicPermits& topics) {
    if (topics.publish) out["publish"] = json::value_from(*topics.publish);
    if (topics.subscribe) out["subscribe"] = json::value_from(*topics.subscribe);
  };
  json::array keys, pins, certificates, authorities, revoked;
  for (const auto& [key, listed] : files_->listed) {
    json::object entry{{"key", key}, {"name", listed.name}, {"identity", listed.identity}, {"where", listed.where}};
    topics_into(entry, listed.topics);
    keys.push_back(std::move(entry));
  }
  for (const auto& [identity, pin] : pins_) {
    const bool forgotten = is_forgotten(pin);
    pins.push_back(json::object{{"identity", to_utf8(identity)}, {"key", key_of(pin)}, {"forgotten", forgotten}});
  }
  each_certificate([&](const HeldCertificate& held) {
    const auto& c = held.certificate;
    json::object entry{{"serial", c.serial},
                       {"key", c.key},
                       {"identity", c.identity},
                       {"not_before", time_text(c.not_before_s)},
                       {"not_after", time_text(c.not_after_s)},
                       {"issuer", c.issuer},
                       {"where", held.where},
                       {"state", state_of(c, now_s)}};
    topics_into(entry, c.topics);
    certificates.push_back(std::move(entry));
  });
  for (const auto& [thumbprint, key] : files_->authorities) authorities.emplace_back(thumbprint);
  for (const auto& [issuer, list] : revocations_) {
    // A long list is several entries, so that none is large.
    auto serial = list.serials.begin();
    auto key = list.keys.begin();
    do {
      json::array serials, revoked_keys;
      for (; serial != list.serials.end() && serials.size() < revoked_at_once; ++serial) serials.emplace_back(*serial);
      for (; key != list.keys.end() && revoked_keys.size() < revoked_at_once; ++key) revoked_keys.emplace_back(*key);
      json::object entry{{"issuer", issuer}, {"number", list.number}, {"issued", time_text(list.issued_s)}};
      entry["serials"] = std::move(serials);
      entry["keys"] = std::move(revoked_keys);
      revoked.push_back(std::move(entry));
    } while (serial != list.serials.end() || key != list.keys.end());
  }
  const char* const policies[] = {"any", "listed", "first"};
  json::object out{{"clients", policies[static_cast<int>(rules_.policy)]}};
  out["keys"] = std::move(keys);
  out["pins"] = std::move(pins);
  out["certificates"] = std::move(certificates);
  out["authorities"] = std::move(authorities);
  out["revoked"] = std::move(revoked);
  out["problems"] = json::value_from(problems());
  return out;
}

}  // namespace gorgone::mcollective
