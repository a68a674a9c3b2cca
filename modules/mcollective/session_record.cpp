#include "session_record.hpp"

#include <algorithm>

#include "fields.hpp"

namespace gorgone::mcollective {
namespace {

constexpr char form = 4, form_of_one_record = 3;
constexpr std::size_t numbers_size = 4 * 8 + 1;

}  // namespace

std::string write_session(const SessionRecord& session) {
  std::string out(1, form);
  put_text(out, session.key);
  put_text(out, session.version);
  put_number(out, static_cast<std::uint64_t>(session.ttl_ms), 8);
  put_number(out, static_cast<std::uint64_t>(session.away_s), 8);
  put_number(out, static_cast<std::uint64_t>(session.claim.number), 8);
  put_number(out, static_cast<std::uint64_t>(session.claim.made_us), 8);
  put_number(out, session.claim.is_alone ? 1 : 0, 1);
  for (const auto topic : session.topics) put_text(out, topic);
  return out;
}

Result<SessionRecord> read_session(std::string_view text) {
  if (text.empty() || (text[0] != form && text[0] != form_of_one_record)) return Error{"a session of an unknown form"};
  text.remove_prefix(1);
  const auto key = take_text(text), version = take_text(text);
  const auto ttl = take_number(text, 8), away = take_number(text, 8);
  const auto claim = take_number(text, 8), made = take_number(text, 8), alone = take_number(text, 1);
  if (!key || !version || !ttl || !away || !claim || !made || !alone) return Error{"a session that ends too early"};
  SessionRecord session;
  session.key = *key;
  session.version = *version;
  session.ttl_ms = static_cast<std::int64_t>(*ttl);
  session.away_s = static_cast<std::int64_t>(*away);
  session.claim = {static_cast<std::int64_t>(*claim), static_cast<std::int64_t>(*made), *alone != 0};
  while (!text.empty()) {
    const auto topic = take_text(text);
    if (!topic) return Error{"a session whose last topic ends too early"};
    session.topics.push_back(*topic);
  }
  return session;
}

std::vector<std::string_view> parts_of(std::string_view session) {
  auto rest = session.substr(std::min<std::size_t>(session.size(), 1));
  if (!take_text(rest) || !take_text(rest) || rest.size() < numbers_size) return {session};
  rest.remove_prefix(numbers_size);
  const auto topics_at = session.size() - rest.size();
  std::vector<std::string_view> parts{session.substr(0, topics_at)};
  while (!rest.empty()) {
    const auto part = rest;
    for (std::size_t i = 0; i < topics_of_part && !rest.empty(); ++i)
      if (!take_text(rest)) return {session};
    parts.push_back(part.substr(0, part.size() - rest.size()));
  }
  if (parts.size() <= 2) return {session};
  return parts;
}

}  // namespace gorgone::mcollective
