#include "core/net/dialer.hpp"

#include <gorgone/base64.hpp>

#include <boost/asio/post.hpp>

#include <chrono>

namespace gorgone::net {
namespace {

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

constexpr std::size_t suffix_length = 24;
// A link is to be up within 5 s of its path's return: an attempt at a connection, with the repeated packet within it, comes at least
// every 4.5 s; and what was sent into a path that drops everything is not waited for longer.
constexpr int reconnect_ms = 100, reconnect_ms_max = 2400, connect_timeout_ms = 2000, unacknowledged_ms_max = 5000;
// For a path that is dead while nobody sends anything: a NAT that has forgotten the connection.
constexpr int heartbeat_ms = 30000, heartbeat_timeout_ms = 10000;

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
      resolver_(services_.loop),
      timer_(services_.loop) {}

Dialer::~Dialer() = default;

// Runs on the loop unless the dialer is gone by then.
template <class F>
void Dialer::later(F f) {
  boost::asio::post(services_.loop, [f = std::move(f), alive = std::weak_ptr<bool>(alive_)]() mutable {
    if (!alive.expired()) f();
  });
}

Result<void> Dialer::send(const Message& message) {
  const auto frame = machine_.seal(wire::format_request(message));
  if (!frame || !socket_) return Error{"the link is not up"};
  if (socket_->send({}, *frame) != ZmqSocket::Sent::yes) return Error{"the socket takes no more"};
  return {};
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
    const auto parsed = wire::parse_answer(received->text);
    if (!parsed) {
      log_.warning("link {}: dropped what is no message: {}", spec_.endpoint, printable(received->text));
      return;
    }
    Message message{std::string(parsed->action),
                    std::string(parsed->token),
                    std::string(parsed->target.value_or("")),
                    Payload(std::string(parsed->data)),
                    {}};
    owner_.link_received(std::move(message));
  } else if (auto* send = std::get_if<Machine::Send>(&step)) {
    if (socket_) socket_->send({}, send->frame);
  } else if (std::get_if<Machine::Connect>(&step)) {
    connect();
  } else if (std::get_if<Machine::Close>(&step)) {
    socket_.reset();
  } else if (auto* check = std::get_if<Machine::CheckKey>(&step)) {
    check_key(check->key);
  } else if (auto* helo = std::get_if<Machine::MakeHelo>(&step)) {
    make_helo(helo->key);
  } else if (auto* sealed = std::get_if<Machine::OpenKey>(&step)) {
    open_key(std::move(sealed->sealed));
  } else if (auto* up = std::get_if<Machine::Up>(&step)) {
    log_.info("link up: {} hostname={}", spec_.endpoint, printable(up->peer_hostname));
    last_reason_.clear();
    probe_.reset();
    owner_.link_up();
  } else if (auto* down = std::get_if<Machine::Down>(&step)) {
    on_down(down->why, down->was_up);
  } else if (std::get_if<Machine::NoPeer>(&step)) {
    find_out();
  }
}

void Dialer::on_down(const Error& why, bool was_up) {
  log_down(why, was_up);
  owner_.link_down(why);
}

void Dialer::arm() {
  const auto deadline = machine_.deadline();
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

void Dialer::find_out() {
  probe_ = std::make_unique<TcpProbe>(services_.loop, address_, for_this_attempt([this](const Error& why) { on_down(why, false); }));
}

void Dialer::connect() {
  socket_.reset();
  resolver_.cancel();
  const auto host = host_of(spec_.endpoint);
  boost::system::error_code is_a_name;
  const auto literal = boost::asio::ip::make_address(host, is_a_name);
  if (!is_a_name) return connect_to(literal.to_string());
  resolver_.async_resolve(
      host, "", for_this_attempt([this, host](const boost::system::error_code& error, const auto& results) {
        for (const auto& result : results)
          if (services_.ipv6 || result.endpoint().address().is_v4()) return connect_to(result.endpoint().address().to_string());
        const auto why = error ? error.message() : std::string("it has no IPv4 address and gorgonecore.ipv6 is false");
        perform(machine_.on_connected(Error{"the name " + host + " cannot be looked up: " + why, down::name}, now_ms()));
      }));
}

void Dialer::connect_to(const std::string& address) {
  const bool is_ipv6 = address.find(':') != std::string::npos;
  const auto port = spec_.endpoint.substr(spec_.endpoint.rfind(':') + 1);
  address_ = "tcp://" + (is_ipv6 ? "[" + address + "]" : address) + ":" + port;
  auto outcome = open_socket(address_);
  later(for_this_attempt([this, outcome = std::move(outcome)]() mutable {
    perform(machine_.on_connected(std::move(outcome), now_ms()));
    if (has_peer_) perform(machine_.on_peer(true, now_ms()));
  }));
}

Result<void> Dialer::open_socket(const std::string& endpoint) {
  try {
    zmq::socket_t socket(services_.context, zmq::socket_type::dealer);
    identity_ = spec_.routing_name + "-" + new_token().substr(0, suffix_length);
    socket.set(zmq::sockopt::routing_id, identity_);
    socket.set(zmq::sockopt::immediate, true);
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::sndhwm, 0);
    socket.set(zmq::sockopt::rcvhwm, 0);
    socket.set(zmq::sockopt::maxmsgsize, services_.max_message_size);
    socket.set(zmq::sockopt::reconnect_ivl, reconnect_ms);
    socket.set(zmq::sockopt::reconnect_ivl_max, reconnect_ms_max);
    socket.set(zmq::sockopt::connect_timeout, connect_timeout_ms);
    socket.set(zmq::sockopt::tcp_maxrt, unacknowledged_ms_max);
    socket.set(zmq::sockopt::heartbeat_ivl, heartbeat_ms);
    socket.set(zmq::sockopt::heartbeat_timeout, heartbeat_timeout_ms);
    socket.set(zmq::sockopt::tcp_keepalive, 1);
    socket.set(zmq::sockopt::ipv6, endpoint.find('[') != std::string::npos);
    socket.connect(endpoint);
    has_peer_ = false;
    auto on_message = [this](Frames frames) {
      if (frames.size() != 1) return;
      perform(machine_.on_frame({static_cast<const char*>(frames[0].data()), frames[0].size()}, now_ms()));
    };
    auto on_peer = [this](bool is_there) {
      has_peer_ = is_there;
      perform(machine_.on_peer(is_there, now_ms()));
    };
    socket_ = std::make_unique<ZmqSocket>(services_.loop, std::move(socket), std::move(on_message), std::move(on_peer));
    return {};
  } catch (const std::exception& failure) {
    return Error{"no socket to " + endpoint + ": " + failure.what()};
  }
}

void Dialer::check_key(const wire::RsaPublicKey& key) {
  auto conclude = for_this_attempt([this](Result<void> outcome) { perform(machine_.on_key_checked(std::move(outcome), now_ms())); });
  if (services_.keys->fingerprint_mode == FingerprintMode::always || !spec_.server_pubkey.empty()) {
    later([conclude]() mutable { conclude(Result<void>()); });
    return;
  }
  auto compare = [this, thumbprint = key.thumbprint()](const Result<std::optional<std::string>>& pinned) -> Result<void> {
    if (!pinned) return Error{"cannot look up the pinned key: " + pinned.error().message};
    if (*pinned && **pinned == thumbprint) return {};
    if (*pinned)
      return Error{"the server's key changed: it is " + thumbprint + ", pinned was " + **pinned + "; if that is right: gorgonectl trust " +
                       spec_.endpoint + " --replace",
                   down::key_changed};
    if (services_.keys->fingerprint_mode == FingerprintMode::strict)
      return Error{"the server's key " + thumbprint + " is not pinned and fingerprint_mode is strict", down::key_changed};
    services_.journal.pin_fingerprint(spec_.endpoint, thumbprint, {});
    log_.info("link {}: pinned the server's key {} at first use", spec_.endpoint, thumbprint);
    return {};
  };
  services_.journal.fingerprint_of(
      spec_.endpoint,
      for_this_attempt([compare, conclude](const Result<std::optional<std::string>>& pinned) mutable { conclude(compare(pinned)); }));
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
