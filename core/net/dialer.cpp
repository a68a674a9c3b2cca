#include "core/net/dialer.hpp"

#include <gorgone/base64.hpp>

#include <boost/asio/post.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>

namespace gorgone::net {
namespace {

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

constexpr std::size_t suffix_length = 24;
// A link is to be up within 5 s of its path's return, and a path may need some seconds to and fro (a satellite, a queue): an attempt may
// take 5 s until it is connected, and as long again until it is greeted. The system repeats its first packet after 1 s and 3 s, so the
// pause after one that had no answer is short: it has been waited already.
constexpr std::int64_t look_up_every_ms = 3000;  // while there is no connection, or no answer over it
constexpr std::int64_t look_up_ms_max = 1000;    // while an address is known
constexpr std::int64_t answer_ms_max = 5000;     // to a connection, and to our greeting
constexpr std::int64_t delay_ms = 2000;          // an attempt that has waited for so long says what is wrong, not the one before it
constexpr std::int64_t reconnect_ms = 100, reconnect_ms_max = 2400, unanswered_pause_ms_max = 1000;

// Of what was sent into a hole the system repeats the fifth copy 3 s after the first and ends the connection after 4 s; the next of the
// parent's comes 6 s after its first. Whoever speaks every 3 s has ended the connection by then, or gets that copy.
constexpr std::int64_t quiet_ms_max = 3000;
constexpr std::int64_t place_ms_max = 1000;  // among those that greet, without an answer
constexpr auto unread_pin_limit = std::chrono::seconds(60);

// "tcp://[::1]:5556" gives "::1".
std::string host_of(const std::string& endpoint) {
  const auto begin = endpoint.find("//") + 2;
  auto host = endpoint.substr(begin, endpoint.rfind(':') - begin);
  if (host.size() > 1 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace

Result<std::unique_ptr<Link>> Dialer::make(Services services, const DialSpec& spec, LinkOwner& owner) {
  wire::LinkMachine::Config config;
  config.name = spec.routing_name;
  if (!spec.server_pubkey.empty()) {
    auto key = wire::load_public_key(spec.server_pubkey);
    if (!key) return Error{"server_pubkey: " + key.error().message};
    config.server_key = *key;
  }
  auto private_key = services.keys->private_key;
  auto public_key = services.keys->public_key;
  if (!spec.client_privkey.empty()) {
    auto key = wire::load_private_key(spec.client_privkey);
    if (!key) return Error{"client_privkey: " + key.error().message};
    private_key = *key;
    public_key = key->public_key();
  }
  if (!spec.client_pubkey.empty()) {
    auto key = wire::load_public_key(spec.client_pubkey);
    if (!key) return Error{"client_pubkey: " + key.error().message};
    if (!(*key == private_key.public_key())) return Error{"client_pubkey: " + spec.client_pubkey + " does not belong to the private key"};
    public_key = *key;
  }
  auto* dialer = new Dialer(std::move(services), spec, owner, std::move(config), std::move(private_key), std::move(public_key));
  std::unique_ptr<Link> link(dialer);
  dialer->later([dialer] { dialer->perform(dialer->machine_.start(now_ms())); });
  return link;
}

Dialer::Dialer(Services services, DialSpec spec, LinkOwner& owner, wire::LinkMachine::Config config, wire::RsaPrivateKey private_key,
               wire::RsaPublicKey public_key)
    : services_(std::move(services)),
      spec_(std::move(spec)),
      owner_(owner),
      machine_(std::move(config)),
      private_key_(std::move(private_key)),
      public_key_(std::move(public_key)),
      turnstile_(boost::asio::use_service<Turnstile>(services_.loop)),
      resolver_(boost::asio::use_service<Resolver>(services_.loop)),
      timer_(services_.loop),
      reconnect_timer_(services_.loop),
      name_timer_(services_.loop) {}

Dialer::~Dialer() = default;

// Runs on the loop unless the dialer is gone by then.
template <class F>
void Dialer::later(F f) {
  boost::asio::post(services_.loop, [f = std::move(f), alive = std::weak_ptr<bool>(alive_)]() mutable {
    if (!alive.expired()) f();
  });
}

Result<void> Dialer::send(const Message& message) {
  const auto form = wire::form_for(message, takes_raw_);
  const auto frame = machine_.seal(wire::format_request(message, form), form);
  if (!frame || !connection_) return Error{"the link is not up"};
  return connection_->send(*frame);
}

void Dialer::reset(const std::string& why) {
  later([this, why] { perform(machine_.reset(why, now_ms())); });
}

void Dialer::perform(wire::LinkMachine::Steps steps) {
  const std::weak_ptr<bool> alive = alive_;
  for (auto& step : steps) {
    perform_one(step);
    if (alive.expired()) return;  // the owner ended the link
  }
  arm();
}

void Dialer::perform_one(wire::LinkMachine::Step& step) {
  using Machine = wire::LinkMachine;
  if (auto* received = std::get_if<Machine::Received>(&step)) {
    // Not before: a server that is short of room takes connections and ends them, and must not be dialled ten times a second.
    reconnect_ms_ = reconnect_ms;
    const auto parsed = wire::parse_answer(received->text);
    if (!parsed) {
      log_.warning("link {}: dropped what is no message: {}", spec_.endpoint, printable(received->text));
      return;
    }
    Message message{std::string(parsed->action), std::string(parsed->token), std::string(parsed->target.value_or("")), {}, {}};
    const auto begin = received->text.size() - parsed->data.size();
    message.data = wire::read_data(std::move(received->text), begin);
    owner_.link_received(std::move(message));
  } else if (auto* send = std::get_if<Machine::Send>(&step)) {
    if (connection_) (void)connection_->send(send->frame);
  } else if (std::get_if<Machine::Connect>(&step)) {
    connect();
  } else if (std::get_if<Machine::Close>(&step)) {
    disconnect();
  } else if (std::get_if<Machine::TakeTurn>(&step)) {
    greet_in_turn();
  } else if (auto* check = std::get_if<Machine::CheckKey>(&step)) {
    check_key(check->key);
  } else if (auto* helo = std::get_if<Machine::MakeHelo>(&step)) {
    make_helo(helo->key);
  } else if (auto* sealed = std::get_if<Machine::OpenKey>(&step)) {
    open_key(std::move(sealed->sealed));
  } else if (auto* up = std::get_if<Machine::Up>(&step)) {
    log_.info("link up: {} hostname={}", spec_.endpoint, printable(up->peer_hostname));
    last_reason_.clear();
    ticket_.reset();
    owner_.link_up();
  } else if (auto* down = std::get_if<Machine::Down>(&step)) {
    // Nothing of what was sent was acknowledged: that says more than that it was lost.
    const bool is_cut_off = down->was_up && !connection_ && lost_why_.code == down::no_route;
    on_down(is_cut_off ? Error{down->why.message + ": " + lost_why_.message, lost_why_.code} : down->why, down->was_up);
  } else if (std::get_if<Machine::NoPeer>(&step)) {
    const bool is_delayed = connection_ && (lost_why_.message.empty() || now_ms() >= opened_ms_ + delay_ms);
    on_down(is_delayed ? connection_->delay() : lost_why_, false);
  }
}

void Dialer::on_down(const Error& why, bool was_up) {
  log_down(why, was_up);
  owner_.link_down(why);
}

void Dialer::arm() {
  // Who waits for his turn is not late.
  const auto deadline = ticket_ && ticket_->is_waiting() ? std::nullopt : machine_.deadline();
  if (!deadline) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::milliseconds(*deadline)));
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired()) perform(machine_.on_clock(now_ms()));
  });
}

// A callback for the work of this attempt: does nothing when the dialer is gone or greets anew by then.
template <class F>
auto Dialer::for_this_attempt(F f) {
  return [this, f = std::move(f), attempt = machine_.attempt(), alive = std::weak_ptr<bool>(alive_)](auto&&... values) mutable {
    if (!alive.expired() && attempt == machine_.attempt()) f(std::forward<decltype(values)>(values)...);
  };
}

// A new session: a new routing id.
void Dialer::connect() {
  identity_ = spec_.routing_name + "-" + new_token().substr(0, suffix_length);
  disconnect();
  auto connected = [this](Result<void> outcome) {
    reconnect_ms_ = reconnect_ms;
    if (outcome) open_connection();
    perform(machine_.on_connected(std::move(outcome), now_ms()));
  };
  if (!address_.is_unspecified()) after(look_up_ms_max, [connected] { connected({}); });
  look_up(std::move(connected));
}

void Dialer::look_up(std::function<void(Result<void>)> done) {
  looked_up_ms_ = now_ms();
  ++unanswered_lookups_;
  auto answered = [this, number = ++lookup_, done = std::move(done),
                   alive = std::weak_ptr<bool>(alive_)](const Result<Resolver::Addresses>& found) {
    if (alive.expired()) return;
    --unanswered_lookups_;
    // What comes too late is good for the next connection, or for the attempt under way.
    const auto outcome = take_address(found);
    if (connection_) {
      if (outcome) leave_old_address(*found);
    } else if (number == lookup_) {
      done(outcome);
    }
  };
  resolver_.look_up(host_of(spec_.endpoint), std::move(answered));
}

Result<void> Dialer::take_address(const Result<Resolver::Addresses>& found) {
  const auto failed = [this](const std::string& why) {
    return Error{"the name " + host_of(spec_.endpoint) + " cannot be looked up: " + why, down::name};
  };
  if (!found) return failed(found.error().message);
  boost::system::error_code is_a_name;
  boost::asio::ip::make_address(host_of(spec_.endpoint), is_a_name);
  for (const auto& address : *found)
    if (!is_a_name || services_.ipv6 || address.is_v4()) {
      address_ = address;
      return {};
    }
  return failed("it has no IPv4 address and gorgonecore.ipv6 is false");
}

void Dialer::watch_name() {
  boost::system::error_code is_a_name;
  boost::asio::ip::make_address(host_of(spec_.endpoint), is_a_name);
  if (!is_a_name) return;
  name_timer_.expires_after(std::chrono::milliseconds(std::max<std::int64_t>(0, looked_up_ms_ + look_up_every_ms - now_ms())));
  name_timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired() || !connection_ || is_answered_) return;
    if (unanswered_lookups_ == 0)
      look_up([](const Result<void>&) {});
    else
      looked_up_ms_ = now_ms();  // a question that hangs is left to hang
    watch_name();
  });
}

// The machine at the old address may be gone without a word, and the attempt there would go on for seconds. The next attempt has its whole
// time: a name may lead to another address each time.
void Dialer::leave_old_address(const Resolver::Addresses& found) {
  if (is_answered_ || has_moved_ || std::find(found.begin(), found.end(), dialled_) != found.end()) return;
  log_.debug("link {}: the name leads to {} now, no longer to {}", spec_.endpoint, address_.to_string(), dialled_.to_string());
  connection_.reset();
  has_moved_ = true;
  open_connection();
}

void Dialer::disconnect() {
  has_moved_ = false;
  ticket_.reset();
  connection_.reset();
  stop_waiting();
  ++lookup_;
}

// The same session, should the peer still know it; it may have moved to another address meanwhile. A name server that says nothing keeps
// nobody from the address that is known.
void Dialer::connect_again() {
  const bool is_asked = unanswered_lookups_ > 0;
  if (is_asked || now_ms() < looked_up_ms_ + look_up_every_ms) return open_connection();
  after(look_up_ms_max, [this] { open_connection(); });
  look_up([this](const Result<void>& outcome) {
    if (!outcome) lost_why_ = outcome.error();
    open_connection();
  });
}

void Dialer::open_connection() {
  ++lookup_;
  const auto port = static_cast<std::uint16_t>(std::strtoul(spec_.endpoint.c_str() + spec_.endpoint.rfind(':') + 1, nullptr, 10));
  ZmtpConnection::Spec spec{{address_, port}, identity_, static_cast<std::size_t>(services_.max_message_size)};
  // A node that dials its parent is never written to before it speaks, where the path was gone and its parent has stopped trying.
  if (spec_.node.empty()) spec.quiet_max = std::chrono::milliseconds(quiet_ms_max);
  ZmtpConnection::Events events;
  events.connected = [this] { await_answer(); };
  events.ready = [this] {
    is_answered_ = true;
    name_timer_.cancel();
    stop_waiting();
    // A session that lives on costs nobody anything; a handshake waits for its turn.
    if (machine_.state() == wire::LinkMachine::State::away) return perform(machine_.on_peer(true, now_ms()));
    greet_in_turn();
    arm();
  };
  events.frame = [this](std::string_view frame) {
    if (ticket_) stop_waiting();
    perform(machine_.on_frame(frame, now_ms()));
  };
  events.lost = [this](const Error& why) { on_connection_lost(why); };
  connection_ = std::make_unique<ZmtpConnection>(services_.loop, std::move(spec), std::move(events));
  opened_ms_ = now_ms();
  dialled_ = address_;
  is_answered_ = false;
  watch_name();
  await_answer();
}

void Dialer::greet_in_turn() {
  ticket_ = turnstile_.enter([this] {
    after(place_ms_max, [this] {
      if (ticket_) ticket_->give_back();
    });
    perform(machine_.on_peer(true, now_ms()));
  });
}

void Dialer::await_answer() {
  after(answer_ms_max, [this] {
    const auto why = connection_->delay();
    reconnect_ms_ = std::min(reconnect_ms_, unanswered_pause_ms_max);
    on_connection_lost(why);
  });
}

void Dialer::on_connection_lost(const Error& why) {
  lost_why_ = why;
  has_moved_ = false;
  ticket_.reset();
  connection_.reset();
  // Between half of the pause and the whole: nodes that were lost together do not come back together.
  static std::minstd_rand random{std::random_device{}()};
  const auto pause = reconnect_ms_ / 2 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(reconnect_ms_ / 2 + 1));
  reconnect_ms_ = std::min(2 * reconnect_ms_, reconnect_ms_max);
  after(pause, [this] { connect_again(); });
  perform(machine_.on_peer(false, now_ms()));
}

void Dialer::after(std::int64_t ms, std::function<void()> work) {
  // A handler that is queued already cannot be cancelled any more.
  const auto number = ++timer_number_;
  reconnect_timer_.expires_after(std::chrono::milliseconds(ms));
  reconnect_timer_.async_wait(
      [this, number, work = std::move(work), alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
        if (!error && !alive.expired() && number == timer_number_) work();
      });
}

void Dialer::stop_waiting() {
  ++timer_number_;
  reconnect_timer_.cancel();
}

void Dialer::check_key(const wire::RsaPublicKey& key) {
  auto conclude = for_this_attempt([this](Result<void> outcome) { perform(machine_.on_key_checked(std::move(outcome), now_ms())); });
  if (services_.keys->fingerprint_mode == FingerprintMode::always || !spec_.server_pubkey.empty()) {
    later([conclude]() mutable { conclude(Result<void>()); });
    return;
  }
  auto compare = [this, thumbprint = key.thumbprint()](const Result<std::optional<std::string>>& pinned) -> Result<void> {
    if (!pinned) return check_without_pin(thumbprint, pinned.error());
    unread_since_.reset();
    if (*pinned && **pinned == thumbprint) return {};
    if (*pinned || services_.keys->fingerprint_mode == FingerprintMode::strict)
      services_.journal.note_refused_key(spec_.endpoint, spec_.node, thumbprint);
    if (*pinned)
      return Error{"the server's key changed: its thumbprint is " + thumbprint + ", pinned was " + **pinned +
                       "; if that is right: gorgonectl trust " + (spec_.node.empty() ? spec_.endpoint : spec_.node) + " --replace",
                   down::key_changed};
    if (services_.keys->fingerprint_mode == FingerprintMode::strict)
      return Error{"the server's key " + thumbprint + " is not pinned and fingerprint_mode is strict; gorgonectl trust " +
                       (spec_.node.empty() ? spec_.endpoint : spec_.node) + " --replace pins it",
                   down::key_changed};
    services_.journal.pin_fingerprint(spec_.endpoint, thumbprint, {});
    log_.info("link {}: pinned the server's key {} at first use", spec_.endpoint, thumbprint);
    return {};
  };
  services_.journal.fingerprint_of(
      spec_.endpoint,
      for_this_attempt([compare, conclude](const Result<std::optional<std::string>>& pinned) mutable { conclude(compare(pinned)); }));
}

// Who locks the database for longer does not keep the node from its work, as with what others send (core/deliveries.hpp). At the next
// connection the key is looked at anew.
Result<void> Dialer::check_without_pin(const std::string& thumbprint, const Error& why) {
  const auto now = std::chrono::steady_clock::now();
  // A failure of long ago says nothing of the time since.
  if (!unread_since_ || now - unread_at_ > unread_pin_limit / 2) unread_since_ = now;
  unread_at_ = now;
  const bool is_blind = why.code == "unreadable";
  if (!is_blind || services_.keys->fingerprint_mode == FingerprintMode::strict || now - *unread_since_ < unread_pin_limit)
    return Error{"cannot look up the pinned key: " + why.message};
  log_.warning("link {}: the server's key {} is taken for this connection without a look at what is pinned: {}", spec_.endpoint, thumbprint,
               why.message);
  return {};
}

void Dialer::make_helo(const wire::RsaPublicKey& key) {
  // Encrypting with a public key costs less than a trip to the pool.
  auto sealed = key.encrypt("HELO");
  Result<std::string> frame = sealed.error();
  if (sealed) frame = wire::format_helo({spec_.routing_name, public_key_.pem(), *sealed});
  later(for_this_attempt([this, frame = std::move(frame)]() mutable { perform(machine_.on_helo_made(std::move(frame), now_ms())); }));
}

void Dialer::open_key(std::string sealed) {
  auto opened = for_this_attempt([this](Result<std::string> text) { perform(machine_.on_key_opened(std::move(text), now_ms())); });
  services_.pool([sealed = std::move(sealed), key = private_key_, &loop = services_.loop, opened = std::move(opened)] {
    auto text = key.decrypt(base64_decode(sealed));
    boost::asio::post(loop, [text = std::move(text), opened]() mutable { opened(std::move(text)); });
  });
}

void Dialer::log_down(const Error& why, bool was_up) {
  if (was_up)
    log_.info("link down: {}: {}", spec_.endpoint, why.message);
  else if (why.message != last_reason_)
    log_.warning("link {} cannot be made, trying again: {}", spec_.endpoint, why.message);
  else
    log_.debug("link {} cannot be made, trying again: {}", spec_.endpoint, why.message);
  if (!was_up) last_reason_ = why.message;
}

}  // namespace gorgone::net
