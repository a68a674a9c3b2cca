#include "core/net/listener.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <ctime>

namespace gorgone::net {
namespace {

// Who pings us is a parent for so long.
constexpr std::int64_t parent_silent_s_max = 600;
constexpr std::string_view routing_prefix = "gorgone-";
constexpr int refusals_per_peer = 3;
constexpr std::size_t refused_peers_per_tick = 20;
constexpr std::int64_t opened_per_tick = 50;
constexpr auto tick_interval = std::chrono::seconds(5);
// Connections that the kernel keeps until they are taken, or as many as net.core.somaxconn allows. It drops what comes beyond them, and a
// node of a fleet that comes back at once tries again a second later; 100 is the library's own.
constexpr int backlog = 4096;
// How long a connection may take to greet: the library's own, and enough for a satellite.
constexpr int greeting_ms_max = 30000;
// A connection on which nothing comes: first probe, pause between probes, probes without an answer that end it.
constexpr int probed_after_s = 60, probed_every_s = 15, probes_max = 4;
// What ZeroMQ may hold for one client beside the kernel's buffers, and one answer on top: the rest waits in the AnswerQueue, and a
// stranger, who has two short questions to ask, gets no more answers.
constexpr int answers_in_socket_max = 1000;
constexpr std::uint64_t bytes_in_socket_max = std::uint64_t{1} << 20, strangers_bytes_in_socket_max = 32768;
// So many bytes take about a millisecond to seal.
constexpr std::size_t long_answer = std::size_t{128} << 10;
constexpr std::int64_t retry_ms_min = 2, retry_ms_max = 100;
// What all clients together may leave unread, as a multiple of what one may.
constexpr std::size_t unread_clients = 8;

std::int64_t now_s() { return static_cast<std::int64_t>(std::time(nullptr)); }

std::int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

// One of our own asks for rows before they are there (docs/protocol.md, log_wait): it needs no SYNCLOGS. A look at the text is enough: it
// names nothing else.
bool holds_questions(const Message& ping) { return ping.data.text().find("\"log_wait\"") != std::string::npos; }

std::string_view view(const zmq::message_t& frame) { return {static_cast<const char*>(frame.data()), frame.size()}; }

}  // namespace

Listener::Listener(boost::asio::io_context& loop, zmq::context_t& context, std::shared_ptr<const KeyRing> keys, JournalFile& journal,
                   Pools pools, Submit submit)
    : loop_(loop),
      context_(context),
      keys_(std::move(keys)),
      journal_(journal),
      pools_(std::move(pools)),
      submit_(std::move(submit)),
      outflow_([this](int connection) { return strangers_ ? strangers_->written(connection) : std::nullopt; },
               [this](const std::string& client) { links_.gone(client); }),
      links_(loop, *this),
      timer_(loop),
      retry_timer_(loop) {}

Listener::~Listener() = default;

Result<void> Listener::start(const ListenerSpec& spec) {
  // All that dialled us before may be back before anybody has registered them. The answer is there before the loop runs, or soon after.
  journal_.pull_identities([this, alive = std::weak_ptr<bool>(alive_)](const Result<std::map<std::string, std::string>>& known) {
    if (!alive.expired() && known) known_at_start_ = known->size();
  });
  sessions_ = std::make_unique<wire::ServerSessions>(spec.sessions);
  padding_ = spec.sessions.padding;
  idle_s_ = spec.sessions.idle_s;
  started_s_ = now_s();
  link_bytes_max_ = spec.max_unread_bytes / 2;
  auto send = [this](const std::string& client, const std::string& frame) {
    switch (give(client, frame, bytes_in_socket_max)) {
      case ZmqSocket::Sent::full:
        return AnswerQueue::Sent::full;
      case ZmqSocket::Sent::no_route:
        return AnswerQueue::Sent::no_route;
      default:
        return AnswerQueue::Sent::yes;
    }
  };
  answers_ = std::make_unique<AnswerQueue>(AnswerQueue::Limits{spec.max_unread_bytes, unread_clients * spec.max_unread_bytes},
                                           std::move(send), [this](const std::string& client) { return outflow_.left_for(client); });
  zmq::socket_t socket(context_, zmq::socket_type::router);
  socket.set(zmq::sockopt::router_handover, spec.handover);
  socket.set(zmq::sockopt::router_mandatory, true);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::backlog, backlog);
  socket.set(zmq::sockopt::handshake_ivl, greeting_ms_max);
  socket.set(zmq::sockopt::sndhwm, answers_in_socket_max);
  socket.set(zmq::sockopt::tcp_keepalive, spec.tcp_keepalive);
  // Left to the system it begins after two hours, and who vanished without a word keeps a descriptor until then.
  socket.set(zmq::sockopt::tcp_keepalive_idle, probed_after_s);
  socket.set(zmq::sockopt::tcp_keepalive_intvl, probed_every_s);
  socket.set(zmq::sockopt::tcp_keepalive_cnt, probes_max);
  socket.set(zmq::sockopt::maxmsgsize, spec.max_message_size);
  if (spec.ipv6) socket.set(zmq::sockopt::ipv6, true);
  const auto strangers_bytes = static_cast<std::uint64_t>(std::max(spec.max_strangers_bytes, spec.max_message_size));
  StrangerWatch::Owner owner{
      [this](const Newcomers::Refusal& refusal) { log_refusal("connection", refusal.host, refusal.address, refusal.why); },
      [this](int connection) { outflow_.ended(connection); }, [this](int connection) { on_gone(connection); }, [this] { return nodes(); }};
  auto watch = std::make_unique<StrangerWatch>(loop_, context_, socket, StrangerLedger::Limits{strangers_bytes, spec.max_strangers},
                                               Newcomers::Limits{greeting_ms_max, spec.max_message_size}, std::move(owner));
  try {
    socket.bind("tcp://" + spec.path);
  } catch (const zmq::error_t& error) {
    return Error{"gorgonecore.external_com_path: cannot listen on \"" + spec.path + "\": " + error.what() +
                 "; expected an address of this machine and a free port, such as \"*:5556\""};
  }
  endpoint_ = socket.get(zmq::sockopt::last_endpoint);
  bound_.emplace(std::move(socket));
  strangers_ = std::move(watch);
  strangers_->start(endpoint_);
  auto begin = [this](const Result<std::vector<StoredSession>>& stored) {
    if (stored)
      restore(*stored);
    else
      log_.error("cannot read sessions from the database: {}", stored.error().message);
    ZmqSocket::Reading reading{[this](Frames frames) { on_message(std::move(frames)); },
                               [this] {
                                 strangers_->look();
                                 return true;
                               }};
    socket_ = std::make_unique<ZmqSocket>(loop_, std::move(*bound_), std::move(reading));
    bound_.reset();
  };
  journal_.sessions([begin, alive = std::weak_ptr<bool>(alive_)](Result<std::vector<StoredSession>> stored) {
    if (!alive.expired()) begin(std::move(stored));
  });
  log_.info("listening on {}", endpoint_);
  tick();
  return {};
}

void Listener::restore(const std::vector<StoredSession>& stored) {
  for (const auto& row : stored) {
    const auto routing_id = wire::from_hex(row.identity);
    const auto key = wire::from_hex(row.key), iv = wire::from_hex(row.iv);
    if (!routing_id || routing_id->empty() || !key || !iv) continue;
    if (row.mtime + idle_s_ < now_s()) {
      journal_.drop_session(row.identity);
      continue;
    }
    wire::SessionKey session_key{*key, *iv, padding_};
    if (session_key.problem()) continue;
    wire::ServerSession session{wire::SessionCipher(session_key), {}, row.ctime, row.mtime, row.mtime};
    const auto old_key = wire::from_hex(row.oldkey), old_iv = wire::from_hex(row.oldiv);
    if (old_key && old_iv && !old_key->empty()) {
      wire::SessionKey previous{*old_key, *old_iv, padding_};
      if (!previous.problem()) session.previous.emplace(previous);
    }
    sessions_->restore(*routing_id, std::move(session));
    links_.restored(*routing_id);
  }
}

void Listener::on_message(Frames frames) {
  const std::string routing_id(view(frames[0]));
  // What is still to be told of a connection of that number is of one before it, or of its own begin.
  if (!outflow_.is_answered_over(routing_id, frames.connection)) strangers_->look();
  strangers_->delivered(frames.connection, frames.wire_bytes);
  // Exactly a routing id and a frame; a message of any other count is dropped whole (docs/protocol.md).
  if (frames.count != 2) return log_refusal(routing_id, fmt::format("dropped a message of {} frames, expected 1", frames.count - 1));
  if (!routing_id.starts_with(routing_prefix)) {
    log_refusal(routing_id, "dropped: its routing id does not begin with gorgone-");
    return;
  }
  outflow_.heard(routing_id, frames.connection);
  sessions_->make_room(nodes());
  auto steps = sessions_->on_frame(routing_id, view(frames[1]), now_s());
  const auto is_request = [](const auto& step) { return std::holds_alternative<wire::ServerSessions::Request>(step); };
  if (std::any_of(steps.begin(), steps.end(), is_request)) strangers_->known(frames.connection);
  perform(routing_id, frames.connection, std::move(steps));
}

void Listener::on_gone(int connection) {
  if (const auto routing_id = handshakes_.left(connection)) sessions_->give_up(*routing_id);
}

void Listener::perform(const std::string& routing_id, int connection, wire::ServerSessions::Steps steps) {
  using Sessions = wire::ServerSessions;
  for (auto& step : steps) {
    if (auto* send = std::get_if<Sessions::Send>(&step)) {
      if (send->is_sealed)
        transmit(routing_id, std::move(send->frame));
      else
        transmit_in_the_clear(routing_id, send->frame);
    } else if (auto* verification = std::get_if<Sessions::Verify>(&step)) {
      handshakes_.push(connection, routing_id, std::move(verification->helo));
      verify_next();
    } else if (auto* request = std::get_if<Sessions::Request>(&step)) {
      links_.heard(routing_id);
      if (links_.take(routing_id, request->message)) continue;
      if (request->message.action == "PING" && !holds_questions(request->message)) parents_[routing_id] = now_s();
      auto reply = [this, routing_id, alive = std::weak_ptr<bool>(alive_)](Answer given) {
        if (!alive.expired()) answer(routing_id, std::move(given));
      };
      submit_(std::move(request->message), std::move(reply));
    } else if (std::get_if<Sessions::Save>(&step)) {
      save(routing_id);
      links_.renewed(routing_id);
    } else if (auto* refused = std::get_if<Sessions::Refused>(&step)) {
      log_refusal(routing_id, refused->why);
    }
  }
}

void Listener::forget_parents() {
  std::erase_if(parents_,
                [this](const auto& entry) { return entry.second + parent_silent_s_max < now_s() || !sessions_->session(entry.first); });
}

void Listener::tell_parents(const Message& message) {
  if (!sessions_) return;
  forget_parents();
  // A node that dials us pings too, and is no parent: what it was told here would be news for us again.
  for (const auto& [routing_id, seen] : parents_)
    if (!links_.is_node(routing_id)) (void)send(routing_id, wire::format_request(message));
}

void Listener::answer(const std::string& routing_id, Answer answer) {
  if (answer.data.text().size() < long_answer)
    (void)send(routing_id, wire::format_answer(answer));
  else
    seal_and_send(routing_id, std::make_shared<const Answer>(std::move(answer)));
}

// A history of many megabytes is written and sealed on the pool; what is answered meanwhile goes first.
void Listener::seal_and_send(const std::string& routing_id, std::shared_ptr<const Answer> answer) {
  const auto* session = sessions_->session(routing_id);
  if (!session) return;
  pools_.answers([this, routing_id, answer = std::move(answer), cipher = session->cipher, alive = std::weak_ptr<bool>(alive_)] {
    auto frame = std::make_shared<std::string>(cipher.seal(wire::format_answer(*answer)));
    boost::asio::post(loop_, [this, routing_id, answer, key = cipher.key(), frame, alive] {
      if (alive.expired()) return;
      const auto* now = sessions_->session(routing_id);
      // The client has been told another key meanwhile, and would not open it.
      if (now && !(now->cipher.key() == key)) return seal_and_send(routing_id, answer);
      if (now) transmit(routing_id, std::move(*frame));
    });
  });
}

void Listener::verify_next() {
  while (const auto entry = handshakes_.begin_next()) {
    pools_.handshakes([this, entry, keys = keys_, alive = std::weak_ptr<bool>(alive_)] {
      auto outcome = wire::verify_helo(entry->helo, keys->private_key, keys->authorized);
      boost::asio::post(loop_, [this, entry, outcome = std::move(outcome), alive]() mutable {
        if (alive.expired()) return;
        const auto& routing_id = entry->routing_id;
        if (handshakes_.end(entry)) {
          if (outcome) log_opened(printable(entry->helo.name, 60), routing_id);
          perform(routing_id, entry->connection, sessions_->on_verified(routing_id, std::move(outcome), now_s()));
        }
        verify_next();
      });
    });
  }
}

void Listener::save(const std::string& routing_id) {
  const auto* session = sessions_->session(routing_id);
  if (!session) return;
  StoredSession row;
  row.identity = wire::to_hex(routing_id);
  row.key = wire::to_hex(session->cipher.key().key);
  row.iv = wire::to_hex(session->cipher.key().iv);
  if (session->previous) {
    row.oldkey = wire::to_hex(session->previous->key().key);
    row.oldiv = wire::to_hex(session->previous->key().iv);
  }
  row.ctime = session->key_time;
  row.mtime = session->last_time;
  journal_.save_session(std::move(row));
}

Result<void> Listener::send(const std::string& routing_id, std::string text) {
  if (!socket_) return Error{"the listener is not open"};
  auto frame = sessions_->seal(routing_id, std::move(text));
  if (!frame) return Error{"no session for " + printable(routing_id)};
  transmit(routing_id, std::move(*frame));
  return {};
}

ZmqSocket::Sent Listener::give(const std::string& routing_id, const std::string& frame, std::uint64_t waiting_max) {
  if (!outflow_.has_room(routing_id, waiting_max)) return ZmqSocket::Sent::full;
  const auto sent = socket_->send(routing_id, frame);
  if (sent == ZmqSocket::Sent::yes) outflow_.sent(routing_id, wire_size(frame.size()));
  return sent;
}

bool Listener::is_used(const std::string& routing_id) const {
  const auto* session = sessions_->session(routing_id);
  return session && session->is_used;
}

// Nothing is kept of it: a handshake may have been overheard and repeated, and a routing id be another's. What the socket does not take is
// gone, and so is what would overtake answers that are kept: a client knows by the answer to a greeting that what was before has ended.
void Listener::transmit_in_the_clear(const std::string& routing_id, const std::string& frame) {
  if (!socket_ || answers_->kept(routing_id) > 0) return;
  give(routing_id, frame, is_used(routing_id) ? bytes_in_socket_max : strangers_bytes_in_socket_max);
}

AnswerQueue::Pushed Listener::transmit(const std::string& routing_id, std::string frame) {
  using Pushed = AnswerQueue::Pushed;
  if (!socket_) return Pushed::no_route;
  if (!is_used(routing_id)) {
    transmit_in_the_clear(routing_id, frame);
    return Pushed::yes;
  }
  const auto pushed = answers_->push(routing_id, std::move(frame), now_ms());
  if (pushed == Pushed::cut) cut_off(routing_id, "it leaves more unread than gorgonecore.max_unread_bytes allows");
  if (pushed == Pushed::no_route) links_.gone(routing_id);
  if (!answers_->empty() && !retrying_) retry_later(retry_ms_min);
  return pushed;
}

ClientSessions::State Listener::state(const std::string& routing_id) const {
  const auto* session = sessions_ ? sessions_->session(routing_id) : nullptr;
  if (!session) return State::none;
  return session->is_used && session->last_time >= started_s_ ? State::heard : State::silent;
}

ClientSessions::Sent Listener::send_text(const std::string& routing_id, std::string text, wire::Form form) {
  if (!socket_) return Sent::no_route;
  if (answers_->kept(routing_id) > link_bytes_max_) return Sent::full;
  auto frame = sessions_->seal(routing_id, std::move(text), form);
  return frame && transmit(routing_id, std::move(*frame)) == AnswerQueue::Pushed::yes ? Sent::yes : Sent::no_route;
}

LinkFlow Listener::flow(const std::string& routing_id) const {
  const auto place = outflow_.place_of(routing_id);
  if (!place || !strangers_) return {};
  const auto moved = strangers_->moved(place->connection);
  return {place->given + answers_->kept(routing_id), moved.acknowledged - std::min(moved.acknowledged, place->begun), moved.received};
}

void Listener::cut_off(const std::string& routing_id, const std::string& why) {
  sessions_->drop(routing_id);
  journal_.drop_session(wire::to_hex(routing_id));
  links_.ended(routing_id, why);
  log_.warning("session of {} ended: {}", printable(routing_id), why);
}

// ZeroMQ does not tell when a single client can be sent to again.
void Listener::retry_later(std::int64_t pause_ms) {
  retrying_ = true;
  retry_timer_.expires_after(std::chrono::milliseconds(pause_ms));
  retry_timer_.async_wait([this, pause_ms](const boost::system::error_code& error) {
    if (error) return;
    retrying_ = false;
    const auto retried = answers_->retry(now_ms());
    for (const auto& routing_id : retried.cut) cut_off(routing_id, "it has read no answer for a minute");
    for (const auto& routing_id : retried.gone) links_.gone(routing_id);
    if (!answers_->empty()) retry_later(retried.progress ? retry_ms_min : std::min(2 * pause_ms, retry_ms_max));
  });
}

void Listener::tick() {
  timer_.expires_after(tick_interval);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    if (refusals_silent_ > 0)
      log_.warning("{} more refused messages and connections in the last {} s", refusals_silent_, tick_interval.count());
    if (opened_ > opened_per_tick) log_.info("{} more sessions opened in the last {} s", opened_ - opened_per_tick, tick_interval.count());
    refusals_of_.clear();
    refusals_silent_ = opened_ = 0;
    forget_parents();
    strangers_->look();
    strangers_->tell_ended();
    auto due = sessions_->on_clock(now_s());
    for (const auto& [routing_id, frame] : due.send) transmit(routing_id, frame);
    for (const auto& routing_id : due.save) save(routing_id);
    for (const auto& routing_id : due.dropped) {
      journal_.drop_session(wire::to_hex(routing_id));
      links_.ended(routing_id, "it was silent too long");
    }
    tick();
  });
}

// Whoever overhears a handshake can repeat it as often as he likes.
void Listener::log_opened(const std::string& name, const std::string& routing_id) {
  if (++opened_ <= opened_per_tick) log_.info("session opened for {} routing_id={}", name, printable(routing_id));
}

void Listener::log_refusal(const std::string& routing_id, const std::string& why) { log_refusal("message", routing_id, routing_id, why); }

void Listener::log_refusal(std::string_view what, const std::string& key, const std::string& peer, const std::string& why) {
  // One noisy peer must not hide another, and many must not fill the log.
  const bool is_heard = refusals_of_.contains(key) || refusals_of_.size() < refused_peers_per_tick;
  if (is_heard && refusals_of_[key]++ < refusals_per_peer)
    log_.warning("refused a {} of {}: {}", what, printable(peer), why);
  else
    ++refusals_silent_;
}

}  // namespace gorgone::net
