#include "core/wire/server_sessions.hpp"

#include <gorgone/base64.hpp>
#include <gorgone/log.hpp>

namespace gorgone::wire {
namespace {

constexpr std::int64_t save_every_s = 300;

}  // namespace

Result<RsaPublicKey> verify_helo(const HeloText& helo, const RsaPrivateKey& own,
                                 const std::unordered_set<std::string>& authorized_thumbprints) {
  auto client = RsaPublicKey::from_pem(helo.client_pem);
  if (!client) return Error{"its key does not load: " + client.error().message};
  const auto thumbprint = client->thumbprint();
  // The cheap question first: a stranger costs no private operation.
  if (!authorized_thumbprints.contains(thumbprint)) return Error{"its key " + thumbprint + " is not listed in authorized_clients"};
  const auto plain = own.decrypt(helo.sealed);
  if (!plain || *plain != "HELO") return Error{"its HELO was not encrypted with our public key; has our key changed?"};
  return client;
}

ServerSessions::Steps ServerSessions::refuse(std::string why) const {
  Steps steps;
  steps.push_back(Send{std::string(handshake_issue)});
  steps.push_back(Refused{std::move(why)});
  return steps;
}

std::optional<std::string> ServerSessions::open(ServerSession& session, std::string_view frame) const {
  auto text = session.cipher.open(frame);
  if (text && looks_like_message(*text)) return text;
  if (session.previous) {
    text = session.previous->open(frame);
    if (text && looks_like_message(*text)) return text;
  }
  return {};
}

std::optional<std::string> ServerSessions::open_offered(ServerSession& session, std::string_view frame, std::int64_t now) const {
  if (!session.offered) return {};
  auto text = session.offered->open(frame);
  if (!text || !looks_like_message(*text)) return {};
  // The client has the key of its last handshake: the session goes on under it alone.
  session.cipher = std::move(*session.offered);
  session.offered.reset();
  session.previous.reset();
  session.key_time = now;
  return text;
}

ServerSessions::Steps ServerSessions::on_frame(const std::string& routing_id, std::string_view frame, std::int64_t now) {
  Steps steps;
  if (is_get_pubkey(frame)) {
    steps.push_back(Send{format_pubkey(config_.pubkey_pem)});
    return steps;
  }
  const auto found = sessions_.find(routing_id);
  if (found != sessions_.end()) {
    auto& session = found->second;
    auto text = open(session, frame);
    if (!text && (text = open_offered(session, frame, now))) steps.push_back(Save{});
    if (text) {
      use(session, now, steps);
      const auto parsed = parse_request(*text);
      if (!parsed) {
        steps.push_back(Send{session.cipher.seal(R"([ACK] [] {"code":1,"data":{"message":"request not well formatted"}})"), true});
        return steps;
      }
      Message message{std::string(parsed->action), std::string(parsed->token), std::string(*parsed->target), {}, {}};
      message.origin = Origin{Origin::Kind::client, routing_id};
      const auto begin = text->size() - parsed->data.size();
      message.data = read_data(std::move(*text), begin);
      steps.push_back(Request{std::move(message)});
      return steps;
    }
  }
  if (frame.size() > greeting_size_max)
    return refuse(fmt::format("{} bytes that no session opens; a HELO has at most {}", frame.size(), greeting_size_max));
  auto helo = parse_helo(frame);
  if (!helo) return refuse(found != sessions_.end() ? "a frame that its session's key does not open" : "neither a session nor a HELO");
  if (verifying_.contains(routing_id)) return refuse("a second HELO while the first is under verification");
  if (verifying_.size() >= config_.max_handshakes + nodes_ || verifying_bytes_ + frame.size() > config_.max_handshake_bytes)
    return refuse("too many handshakes at once");
  verifying_.emplace(routing_id, frame.size());
  verifying_bytes_ += frame.size();
  steps.push_back(Verify{std::move(*helo)});
  return steps;
}

ServerSessions::Steps ServerSessions::on_verified(const std::string& routing_id, Result<RsaPublicKey> client, std::int64_t now) {
  give_up(routing_id);
  if (!client) return refuse(client.error().message);
  auto key = SessionKey::draw(config_.keysize, config_.padding);
  if (!key) return refuse(key.error().message);
  KeyText text{config_.hostname, key->key, key->iv, "AES", config_.padding};
  auto sealed = client->encrypt(format_key(text));
  if (!sealed) {
    // A small key leaves no room for a long name; the name is only a courtesy.
    text.hostname.clear();
    sealed = client->encrypt(format_key(text));
  }
  if (!sealed) return refuse(sealed.error().message);
  Steps steps;
  if (const auto found = sessions_.find(routing_id); found != sessions_.end() && found->second.is_used) {
    found->second.offered.emplace(std::move(*key));
  } else {
    insert_unused(routing_id, ServerSession{SessionCipher(std::move(*key)), {}, now, now, now});
  }
  steps.push_back(Send{base64_encode(*sealed)});
  return steps;
}

void ServerSessions::give_up(const std::string& routing_id) {
  const auto found = verifying_.find(routing_id);
  if (found == verifying_.end()) return;
  verifying_bytes_ -= found->second;
  verifying_.erase(found);
}

std::optional<std::string> ServerSessions::seal(const std::string& routing_id, std::string text, Form form) const {
  const auto found = sessions_.find(routing_id);
  if (found == sessions_.end()) return {};
  return found->second.cipher.seal(std::move(text), form);
}

ServerSessions::Due ServerSessions::on_clock(std::int64_t now) {
  Due due;
  for (auto entry = sessions_.begin(); entry != sessions_.end();) {
    auto& [routing_id, session] = *entry;
    if (session.last_time + (session.is_used ? config_.idle_s : config_.unused_s) < now) {
      due.dropped.push_back(routing_id);
      entry = erase(entry);
      continue;
    }
    if (session.key_time + config_.rotation_s < now) {
      if (auto key = SessionKey::draw(config_.keysize, config_.padding)) {
        const KeyText text{config_.hostname, key->key, key->iv, "AES", config_.padding};
        due.send.emplace_back(routing_id, session.cipher.seal(format_key(text)));
        session.previous.emplace(std::move(session.cipher));
        session.cipher = SessionCipher(std::move(*key));
        session.key_time = now;
        session.saved_time = session.last_time - save_every_s;
      }
    }
    // A session that is used must not look silent in the journal.
    if (session.is_used && session.last_time >= session.saved_time + save_every_s) {
      session.saved_time = session.last_time;
      due.save.push_back(routing_id);
    }
    ++entry;
  }
  return due;
}

void ServerSessions::restore(const std::string& routing_id, ServerSession session) {
  drop(routing_id);
  sessions_.insert_or_assign(routing_id, std::move(session));
}

const ServerSession* ServerSessions::session(const std::string& routing_id) const {
  const auto found = sessions_.find(routing_id);
  return found == sessions_.end() ? nullptr : &found->second;
}

void ServerSessions::drop(const std::string& routing_id) {
  if (const auto found = sessions_.find(routing_id); found != sessions_.end()) erase(found);
}

// Only who holds the client's key can use a session: until then it may be a handshake that somebody overheard and repeats.
void ServerSessions::use(ServerSession& session, std::int64_t now, Steps& steps) {
  session.last_time = now;
  if (session.is_used) return;
  session.is_used = true;
  session.saved_time = now;
  unused_.erase(session.unused_place);
  steps.push_back(Save{});
}

void ServerSessions::insert_unused(const std::string& routing_id, ServerSession session) {
  drop(routing_id);
  if (unused_.size() >= config_.max_unused + nodes_) drop(std::string(unused_.begin()->second));
  session.is_used = false;
  session.unused_place = ++last_unused_;
  unused_.emplace(session.unused_place, routing_id);
  sessions_.emplace(routing_id, std::move(session));
}

ServerSessions::Place ServerSessions::erase(Place entry) {
  if (!entry->second.is_used) unused_.erase(entry->second.unused_place);
  return sessions_.erase(entry);
}

}  // namespace gorgone::wire
