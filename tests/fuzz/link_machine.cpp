// The connecting side of the protocol under a sequence of frames, results of key work and clock ticks. The first byte says whether the
// server's key is known beforehand.

#include "core/wire/link_machine.hpp"
#include "core/wire/base64.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace gorgone::wire;

namespace {

using Machine = LinkMachine;
using State = Machine::State;

const RsaPublicKey& server_key() {
  static const RsaPublicKey key = RsaPrivateKey::generate(1024)->public_key();
  return key;
}

const RsaPublicKey& other_key() {
  static const RsaPublicKey key = RsaPrivateKey::generate(1024)->public_key();
  return key;
}

class Run {
 public:
  explicit Run(Input& input) : input_(input) {
    config_.name = "central";
    if (input.flag()) config_.server_key = server_key();
    machine_.emplace(config_);
  }

  void step() {
    switch (input_.below(13)) {
      case 0:
        if (machine_->state() == State::closed) take(machine_->start(now_));
        break;
      case 1:
        if (input_.below(4) == 0) stop();
        break;
      case 2:
        take(machine_->reset("asked for", now_));
        break;
      case 3:
        take(machine_->on_frame(input_.text(), now_));
        break;
      case 4:
        take(machine_->on_frame(format_pubkey(input_.below(4) == 0 ? other_key().pem() : server_key().pem()), now_));
        break;
      case 5:
        take(machine_->on_frame(handshake_issue, now_));
        break;
      case 6:
        take(machine_->on_key_checked(input_.below(4) == 0 ? Result<void>(Error{"pinned otherwise"}) : Result<void>(), now_));
        break;
      case 7:
        take(machine_->on_helo_made(input_.below(4) == 0 ? Result<std::string>(Error{"no key"}) : Result<std::string>("helo"), now_));
        break;
      case 8:
        open_key();
        break;
      case 9:
        receive(input_.text());
        break;
      case 10:
        rotate();
        break;
      case 11:
        tick();
        break;
      default:
        take(machine_->on_peer(input_.below(2) == 0, now_));
        take(machine_->on_connected(input_.below(4) == 0 ? Result<void>(Error{"no such host"}) : Result<void>(), now_));
    }
    check_state();
  }

 private:
  void take(const Machine::Steps& steps) {
    const bool was_closed = machine_closed_;
    for (const auto& step : steps) take_step(step);
    if (was_closed) require(steps.empty() || machine_->state() != State::closed, "a closed link does nothing");
    machine_closed_ = machine_->state() == State::closed;
  }

  void take_step(const Machine::Step& step) {
    if (std::holds_alternative<Machine::Connect>(step)) {
      has_socket_ = true;
    } else if (std::holds_alternative<Machine::Close>(step)) {
      has_socket_ = false;
    } else if (std::holds_alternative<Machine::TakeTurn>(step)) {
      require(has_socket_ && machine_->state() == State::awaiting_peer, "a link takes its turn over the connection that it has");
    } else if (std::holds_alternative<Machine::Send>(step)) {
      require(has_socket_ && machine_->state() != State::connecting, "nothing is sent without a connection");
    } else if (std::holds_alternative<Machine::Up>(step)) {
      require(!is_up_, "a link that is up does not come up");
      is_up_ = true;
    } else if (const auto* down = std::get_if<Machine::Down>(&step)) {
      require(down->was_up == is_up_, "a link that goes down says whether it was up");
      require(!down->why.message.empty(), "a link that goes down says why");
      is_up_ = false;
    } else if (const auto* key = std::get_if<Machine::MakeHelo>(&step)) {
      require(!config_.server_key || key->key == *config_.server_key, "no HELO is made for another key than the known one");
    } else if (const auto* received = std::get_if<Machine::Received>(&step)) {
      require(is_up_, "messages come while the link is up");
      require(looks_like_message(received->text), "what is handed on looks like a message", received->text);
    }
  }

  void check_state() const {
    const auto state = machine_->state();
    require((state == State::up) == is_up_, "the owner knows whether the link is up");
    require(machine_->seal("x").has_value() == is_up_, "a link seals while it is up");
    require(machine_->deadline().has_value() == (state != State::up && state != State::closed), "every wait has a limit");
    require(has_socket_ == (state != State::pausing && state != State::closed), "a link has a connection while it needs one");
    if (state == State::pausing) require(*machine_->deadline() <= now_ + config_.retry_ms_max, "a pause is no longer than the longest one");
  }

  void stop() {
    for (const auto& step : machine_->stop()) take_step(step);
    machine_closed_ = true;
    is_up_ = false;  // who stops a link need not be told
  }

  void open_key() {
    if (input_.below(3) == 0) {
      if (!is_up_) server_.reset();
      return take(machine_->on_key_opened(std::string(input_.text()), now_));
    }
    if (input_.below(8) == 0) return take(machine_->on_key_opened(Error{"no"}, now_));
    auto key = SessionKey::draw(32, static_cast<int>(1 + input_.below(2)));
    const bool is_awaited = machine_->state() == State::opening_key;
    take(machine_->on_key_opened(format_key({"server", key->key, key->iv, "AES", key->padding}), now_));
    if (!is_awaited) return;
    require(is_up_, "a key that opens brings the link up");
    server_.emplace(*key);
    check_session("[PONG] [] [] {}");
  }

  /// Both ends have the same key.
  void check_session(std::string_view text) {
    require(server_->open(*machine_->seal(std::string(text))) == std::string(text), "the server can open what the link sends", text);
    if (!looks_like_message(text) || text.starts_with("[KEY]")) return;
    const auto steps = machine_->on_frame(server_->seal(std::string(text)), now_);
    const auto* received = steps.size() == 1 ? std::get_if<Machine::Received>(&steps.front()) : nullptr;
    require(received != nullptr && received->text == text, "a message arrives as it was sent", text);
  }

  void receive(std::string_view text) {
    if (!is_up_ || !server_) return;
    check_session(text);
    take(machine_->on_frame(server_->seal(std::string(text)), now_));
    server_.reset();  // `text` may have been a new key, or have ended the session
  }

  void rotate() {
    if (!is_up_ || !server_) return;
    auto key = SessionKey::draw(16, 1);
    take(machine_->on_frame(server_->seal(format_key({"", key->key, key->iv, "AES", 1})), now_));
    require(is_up_, "a new key does not end the session");
    server_.emplace(*key);
    check_session("[ACK] [] {}");
  }

  void tick() {
    const auto before = machine_->deadline();
    now_ += input_.flag() && before ? std::max<std::int64_t>(0, *before - now_ - input_.below(2)) : input_.byte() * 16;
    const auto steps = machine_->on_clock(now_);
    const bool is_due = before && now_ >= *before;
    require(steps.empty() != is_due, "a deadline acts when it is reached, and not before");
    take(steps);
    if (is_due) require(machine_->deadline() && *machine_->deadline() > now_, "and is followed by a later one");
  }

  Input& input_;
  Machine::Config config_;
  std::optional<Machine> machine_;
  std::optional<SessionCipher> server_;  // what the server has, where that is known
  bool has_socket_ = false, is_up_ = false, machine_closed_ = true;
  std::int64_t now_ = 1000;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  restart_random();
  Input input(data, size);
  Run run(input);
  while (!input.at_end()) run.step();
  return 0;
}
