// The listening side of the protocol under a sequence of frames, results of RSA work and clock ticks of a few clients. The clients are
// modelled: what they know tells what the server must answer.

#include "core/wire/server_sessions.hpp"
#include "core/wire/base64.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <array>
#include <utility>

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace gorgone::wire;

namespace {

struct Keys {
  // 1536 bits: the KEY message fits with a short host name only.
  RsaPrivateKey server = *RsaPrivateKey::generate(1024), client = *RsaPrivateKey::generate(1536);
  RsaPublicKey server_half = server.public_key(), client_half = client.public_key();
  std::string sealed_helo = *server_half.encrypt("HELO");
  std::string client_pem = client_half.pem();
};

const Keys& keys() {
  static const Keys all;
  return all;
}

struct Client {
  std::string routing_id;
  std::optional<HeloText> under_verification = {};
  std::optional<SessionCipher> cipher = {}, previous = {}, offered = {};
  std::int64_t key_time = 0, last_time = 0;
  bool is_used = false;

  void forget() { *this = Client{routing_id, std::move(under_verification)}; }
};

std::optional<std::string> opened(const std::optional<SessionCipher>& cipher, std::string_view frame) {
  auto text = cipher ? cipher->open(frame) : std::nullopt;
  return text && looks_like_message(*text) ? text : std::nullopt;
}

class Run {
 public:
  explicit Run(Input& input) : input_(input) {
    config_.hostname = std::string(input.byte(), 'h');
    config_.pubkey_pem = "the server's key";
    config_.padding = static_cast<int>(input.below(3));
    config_.rotation_s = 3600;
    config_.idle_s = 7200;
    config_.max_handshakes = 2;
    server_.emplace(config_);
    for (std::size_t i = 0; i < clients_.size(); ++i) clients_[i].routing_id = "gorgone-" + std::to_string(i);
  }

  void step() {
    auto& client = clients_[input_.below(clients_.size())];
    switch (input_.below(11)) {
      case 0:
        return send(client, input_.text());
      case 1:
        return send(client, format_helo({std::string(input_.text()), keys().client_pem, keys().sealed_helo}));
      case 2:
        return send(client, format_helo({"x", std::string(input_.text()), keys().sealed_helo}));
      case 3:
        return verify(client);
      case 4:
        return send_sealed(client, client.cipher, input_.text());
      case 5:
        return send_sealed(client, client.previous, input_.text());
      case 6:
        now_ += input_.number() % 10000;
        return tick();
      case 7:
        server_->drop(client.routing_id);
        return client.forget();
      case 8:
        return restore(client);
      case 9:
        return answer(client, input_.text());
      default:
        return send_sealed(client, client.offered, input_.text());
    }
  }

  void compare() const {
    std::size_t live = 0;
    for (const auto& client : clients_) {
      const auto* session = server_->session(client.routing_id);
      require((session != nullptr) == client.cipher.has_value(), "there is a session where the client knows of one");
      if (session == nullptr) continue;
      ++live;
      require(session->cipher.key() == client.cipher->key(), "both have the same key");
      require(session->previous.has_value() == client.previous.has_value(), "the key before is kept, and only that");
      if (client.previous) require(session->previous->key() == client.previous->key(), "the key before is the one before");
      require(session->offered.has_value() == client.offered.has_value(), "the key of a repeated handshake waits for its first message");
    }
    require(server_->size() == live, "there are no more sessions than clients have");
  }

 private:
  void send_sealed(Client& client, const std::optional<SessionCipher>& cipher, std::string_view text) {
    if (cipher) send(client, cipher->seal(std::string(text)));
  }

  void send(Client& client, std::string_view frame) {
    auto plain = opened(client.cipher, frame);
    if (!plain) plain = opened(client.previous, frame);
    const bool is_new_key = !plain && (plain = opened(client.offered, frame));
    auto steps = server_->on_frame(client.routing_id, frame, now_);
    require(!steps.empty(), "every frame is answered or worked on");
    if (is_get_pubkey(frame)) return expect_send(steps, format_pubkey(config_.pubkey_pem), "who asks for the key is told it");
    if (plain) {
      if (is_new_key)
        adopt_offered(client, steps);
      else if (!client.is_used)
        take_saved(steps, "a session is saved at its first message");
      client.last_time = now_;
      client.is_used = true;
      return check_request(client, *plain, steps);
    }
    if (auto* verify = std::get_if<ServerSessions::Verify>(&steps.front())) {
      require(steps.size() == 1 && parse_helo(frame).has_value(), "only a HELO is verified");
      require(!client.under_verification, "a client has one HELO under verification");
      client.under_verification = std::move(verify->helo);
      std::size_t all = 0;
      for (const auto& other : clients_) all += other.under_verification ? 1 : 0;
      return require(all <= config_.max_handshakes, "handshakes are bounded");
    }
    check_refused(steps);
  }

  static void take_saved(ServerSessions::Steps& steps, const char* what) {
    require(std::holds_alternative<ServerSessions::Save>(steps.front()), what);
    steps.erase(steps.begin());
    require(!steps.empty(), "the message under it is answered or worked on");
  }

  void adopt_offered(Client& client, ServerSessions::Steps& steps) const {
    take_saved(steps, "a key that is used first is saved");
    client.cipher = std::exchange(client.offered, {});
    client.previous.reset();
    client.key_time = now_;
  }

  static void expect_send(const ServerSessions::Steps& steps, std::string_view frame, const char* what) {
    const auto* send = std::get_if<ServerSessions::Send>(&steps.front());
    require(steps.size() == 1 && send != nullptr && send->frame == frame, what);
  }

  static void check_refused(const ServerSessions::Steps& steps) {
    const auto* send = std::get_if<ServerSessions::Send>(&steps.front());
    require(send != nullptr && send->frame == handshake_issue, "a stranger hears \"handshake issue\" and nothing else");
    require(steps.size() == 2 && std::holds_alternative<ServerSessions::Refused>(steps[1]), "a refusal says why to the log");
  }

  static void check_request(const Client& client, const std::string& plain, const ServerSessions::Steps& steps) {
    const auto parsed = parse_request(plain);
    const auto* request = std::get_if<ServerSessions::Request>(&steps.front());
    require(steps.size() == 1 && (request != nullptr) == parsed.has_value(), "what parses is a request", plain);
    if (request == nullptr) {
      const auto* send = std::get_if<ServerSessions::Send>(&steps.front());
      require(send != nullptr && client.cipher->open(send->frame).has_value(), "what does not parse is told under the session's key",
              plain);
      return;
    }
    const auto& message = request->message;
    // NUL, a head, NUL and bytes are data in its raw form.
    const auto data = parsed->data;
    const auto end = data.starts_with('\0') ? data.find('\0', 1) : data.npos;
    const bool is_same = end == data.npos ? message.data.text() == data
                                          : message.data.bytes() != nullptr && message.data.head() == data.substr(1, end - 1) &&
                                                *message.data.bytes() == data.substr(end + 1);
    require(message.action == parsed->action && message.token == parsed->token && message.target == *parsed->target && is_same,
            "a request arrives as it was sent", plain);
    require(message.origin.kind == Origin::Kind::client && message.origin.id == client.routing_id, "a request is its client's own", plain);
  }

  void verify(Client& client) {
    if (!client.under_verification) return;
    const std::unordered_set<std::string> authorized{input_.flag() ? keys().client_half.thumbprint() : "another"};
    auto outcome = verify_helo(*client.under_verification, keys().server, authorized);
    client.under_verification.reset();
    const bool accepted = outcome.has_value();
    const auto steps = server_->on_verified(client.routing_id, std::move(outcome), now_);
    if (!accepted) return check_refused(steps);
    require(authorized.contains(keys().client_half.thumbprint()), "only keys that are listed are accepted");
    const auto* send = std::get_if<ServerSessions::Send>(&steps.back());
    require(send != nullptr, "a session's key is sent");
    const auto text = keys().client.decrypt(base64_decode(send->frame));
    require(text.has_value(), "the client can open what it gets");
    if (client.is_used) {
      require(steps.size() == 1, "a session in use goes on until the new key is used");
      client.offered = cipher_in(*text);
      return;
    }
    require(steps.size() == 1, "a session that nobody has used is not saved");
    client.forget();
    client.cipher = cipher_in(*text);
    client.key_time = client.last_time = now_;
  }

  static SessionCipher cipher_in(std::string_view text) {
    const auto key = parse_key(text);
    require(key.has_value(), "the client can read its key", text);
    SessionKey session{key->key, key->iv, key->padding};
    require(!session.problem(), "the client can use its key", text);
    return SessionCipher(std::move(session));
  }

  void tick() {
    const auto due = server_->on_clock(now_);
    for (auto& client : clients_) {
      const auto id = client.routing_id;
      const bool dropped = std::find(due.dropped.begin(), due.dropped.end(), id) != due.dropped.end();
      const auto sent = std::find_if(due.send.begin(), due.send.end(), [&](const auto& item) { return item.first == id; });
      if (!client.cipher) {
        require(!dropped && sent == due.send.end(), "who has no session is left alone");
        continue;
      }
      require(dropped == (client.last_time + (client.is_used ? config_.idle_s : config_.unused_s) < now_),
              "who is silent too long is dropped, and nobody else");
      if (dropped) {
        require(sent == due.send.end(), "who is dropped gets no key");
        client.forget();
        continue;
      }
      require((sent != due.send.end()) == (client.key_time + config_.rotation_s < now_), "a key that is too old is changed, and no other");
      if (sent == due.send.end()) continue;
      const auto text = client.cipher->open(sent->second);
      require(text.has_value(), "a new key comes under the old one");
      client.previous = client.cipher;
      client.cipher = cipher_in(*text);
      client.key_time = now_;
      require(std::find(due.save.begin(), due.save.end(), id) != due.save.end(), "a changed key is saved");
    }
  }

  void restore(Client& client) {
    auto key = SessionKey::draw(32, config_.padding);
    client.forget();
    client.cipher.emplace(*key);
    client.key_time = client.last_time = now_;
    client.is_used = true;
    server_->restore(client.routing_id, ServerSession{*client.cipher, {}, now_, now_, now_});
  }

  void answer(const Client& client, std::string_view text) const {
    const auto frame = server_->seal(client.routing_id, std::string(text));
    require(frame.has_value() == client.cipher.has_value(), "answers are sealed where there is a session");
    if (frame && config_.padding != 0) require(client.cipher->open(*frame) == std::string(text), "the client can open an answer", text);
  }

  Input& input_;
  ServerSessions::Config config_;
  std::optional<ServerSessions> server_;
  std::array<Client, 4> clients_;
  std::int64_t now_ = 1'700'000'000;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  restart_random();
  Input input(data, size);
  Run run(input);
  while (!input.at_end()) {
    run.step();
    run.compare();
  }
  return 0;
}
