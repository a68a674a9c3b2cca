#include "transport.hpp"

#include <poll.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>

#include "address.hpp"
#include "connection.hpp"
#include "refusal_log.hpp"

namespace gorgone::mcollective {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr int accepted_at_once = 64;
constexpr auto crowded_timeout = std::chrono::seconds(2), crowded_timeout_welcomed = std::chrono::seconds(3);
constexpr auto finish_limit = std::chrono::milliseconds(1200), finish_pause = std::chrono::milliseconds(5);
constexpr auto look_pause = std::chrono::milliseconds(20), deadline_pause = std::chrono::milliseconds(100);

}  // namespace

// Outlives the Transport by the handlers that are still queued; `is_open` tells them that it is gone.
struct Transport::State : std::enable_shared_from_this<State>, Connection::Owner {
  State(Agent& the_agent, Spec the_spec, Events the_events)
      : agent(the_agent), spec(std::move(the_spec)), events(std::move(the_events)), refusals(agent.log()), timer(agent.loop()) {
    if (spec.curve) keys = std::make_shared<const KeyPair>(*spec.curve);
  }

  struct Door {
    tcp::acceptor acceptor;
    bool is_waiting = false;
  };

  void wait_to_accept(Door& door) {
    if (!is_open || door.is_waiting || is_full()) return;
    door.is_waiting = true;
    door.acceptor.async_wait(tcp::acceptor::wait_read, [self = shared_from_this(), &door](const error_code& failed) {
      door.is_waiting = false;
      if (!self->is_open || failed) return;
      if (self->accept_some(door)) self->wait_to_accept(door);
    });
  }

  bool is_full() const { return is_finishing || handshakes >= spec.handshakes_max || no_accept_until > Clock::now(); }

  bool accept_some(Door& door) {
    for (int i = 0; i < accepted_at_once && !is_full(); ++i) {
      tcp::socket socket(agent.loop());
      error_code error;
      door.acceptor.accept(socket, error);
      if (error == boost::asio::error::would_block || error == boost::asio::error::try_again) return true;
      if (error == boost::asio::error::connection_aborted) continue;
      if (error) {
        // Mostly too few descriptors: whoever waits is not lost, it is taken when there are some again.
        refusals.note("", "a connection", "it cannot be accepted: " + error.message());
        no_accept_until = Clock::now() + std::chrono::seconds(1);
        run_timer();
        return false;
      }
      begin(std::move(socket));
    }
    return true;
  }

  void begin(tcp::socket socket) {
    const auto id = ++last_id;
    const auto connection = std::make_shared<Connection>(*this, counters, std::move(socket), id, keys, spec.message_bytes_max);
    connections.emplace(id, connection);
    ++counters.accepted;
    ++handshakes;
    deadlines.emplace_back(Clock::now() + spec.handshake_timeout, id);
    run_timer();
    connection->start();
  }

  void end_handshake() {
    --handshakes;
    for (auto& door : doors) wait_to_accept(*door);
  }

  // Connection::Owner

  std::optional<Refusal> admit(const Peer& peer) override {
    const auto admitted = events.admit ? events.admit(peer) : Result<void>{};
    if (!admitted) return Refusal{admitted.error(), admitted.error().code == "later" ? "" : "400"};
    // One that takes the place of another has closed that in `admit`.
    if (admitted_count >= spec.connections_max)
      return Refusal{Error{fmt::format("{} clients are connected, which is the most that are taken", admitted_count)}, ""};
    return {};
  }

  void on_opened(Connection& connection) override {
    ++admitted_count;
    end_handshake();
    if (events.opened) events.opened(connection.id(), connection.peer());
  }
  void on_message(Connection& connection, Frames frames) override {
    if (events.message) events.message(connection.id(), std::move(frames));
  }
  void on_taken(Connection& connection, std::uint64_t number) override {
    if (events.taken) events.taken(connection.id(), number);
  }
  void on_room(Connection& connection) override {
    if (events.room) events.room(connection.id());
  }

  void on_ended(Connection& connection, const Error& why) override {
    forget(connection);
    if (connection.is_admitted()) {
      if (events.closed) events.closed(connection.id(), why, connection.untaken());
      return;
    }
    ++(connection.is_refused() ? counters.refused : counters.failed_handshakes);
    refusals.note(connection.host(), connection.peer().address, why.message);
  }

  void forget(const Connection& connection) {
    connections.erase(connection.id());
    if (connection.is_admitted())
      --admitted_count;
    else
      end_handshake();
  }

  void on_pool(std::function<void()> work) override {
    // It works with our keys, and ends on the loop, where we may be destroyed.
    agent.on_pool([self = shared_from_this(), work = std::move(work)]() mutable {
      work();
      work = nullptr;
      auto& loop = self->agent.loop();
      boost::asio::post(loop, [self = std::move(self)] {});
    });
  }

  void flush_soon(Connection& connection) override {
    if (connection.flush_is_asked) return;
    connection.flush_is_asked = true;
    to_flush.push_back(connection.shared_from_this());
    if (to_flush.size() > 1) return;
    boost::asio::post(agent.loop(), [self = shared_from_this()] {
      auto ready = std::exchange(self->to_flush, {});
      for (auto& each : ready) {
        each->flush_is_asked = false;
        if (self->is_open && each->is_open()) each->flush();
      }
    });
  }

  void look_soon(Connection& connection) override {
    if (connection.look_is_asked) return;
    connection.look_is_asked = true;
    to_look.push_back(connection.shared_from_this());
    run_timer();
  }

  // One for all that is to be looked at now and then; it stands while there is nothing.
  void run_timer() {
    if (timer_runs || !is_open) return;
    const bool is_blocked = no_accept_until > Clock::time_point{};
    if (to_look.empty() && deadlines.empty() && !is_blocked) return;
    timer_runs = true;
    timer.expires_after(to_look.empty() ? deadline_pause : look_pause);
    timer.async_wait([self = shared_from_this()](const error_code& failed) {
      self->timer_runs = false;
      if (failed || !self->is_open) return;
      self->look();
      self->run_timer();
    });
  }

  void look() {
    const auto now = Clock::now();
    auto watched = std::exchange(to_look, {});
    for (auto& each : watched) {
      each->look_is_asked = false;
      if (is_open && each->is_open() && each->look()) look_soon(*each);
    }
    end_silent(now);
    while (is_open && !deadlines.empty() && deadlines.front().first <= now) {
      const auto found = connections.find(deadlines.front().second);
      deadlines.pop_front();
      if (found == connections.end() || found->second->is_admitted()) continue;
      const auto connection = found->second;
      connection->end(Error{"it did not end its handshake in time"});
    }
    if (is_open && no_accept_until > Clock::time_point{} && no_accept_until <= now) {
      no_accept_until = {};
      for (auto& door : doors) wait_to_accept(*door);
    }
  }

  // While others wait for a place, who does not say what is next has less time. Our own sums are not held against him: on a busy machine
  // they take long.
  void end_silent(Clock::time_point now) {
    if (handshakes < spec.handshakes_max || !somebody_waits()) return;
    std::vector<std::shared_ptr<Connection>> silent;
    for (const auto& [deadline, id] : deadlines) {
      const auto found = connections.find(id);
      if (found == connections.end() || found->second->is_admitted() || found->second->is_computing()) continue;
      const auto limit = found->second->has_spoken() ? crowded_timeout_welcomed : crowded_timeout;
      if (found->second->its_turn_since() + limit <= now) silent.push_back(found->second);
    }
    for (const auto& connection : silent) connection->end(Error{"it says nothing, and others wait for its place"});
  }

  bool somebody_waits() const {
    return std::any_of(doors.begin(), doors.end(), [](const auto& door) {
      pollfd waiting{door->acceptor.native_handle(), POLLIN, 0};
      return poll(&waiting, 1, 0) > 0;
    });
  }

  Connection* find(ConnectionId id) const {
    const auto found = connections.find(id);
    return found == connections.end() ? nullptr : found->second.get();
  }

  asio::awaitable<void> finish() {
    const auto self = shared_from_this();
    is_finishing = true;
    error_code ignored;
    for (auto& door : doors) door->acceptor.close(ignored);
    for (const auto& [id, connection] : std::map(connections.begin(), connections.end())) {
      if (connection->is_admitted()) {
        connection->close_after_queue("the broker stops");
      } else {
        connection->close();
        forget(*connection);
      }
    }
    boost::asio::steady_timer pause(agent.loop());
    for (const auto end = Clock::now() + finish_limit; !connections.empty() && Clock::now() < end;) {
      pause.expires_after(finish_pause);
      co_await pause.async_wait(boost::asio::use_awaitable);
    }
  }

  void close_all() {
    is_open = false;
    error_code ignored;
    for (auto& door : doors) door->acceptor.close(ignored);
    timer.cancel();
    const auto all = std::exchange(connections, {});
    for (const auto& [id, connection] : all) connection->close();
    to_flush.clear();
    to_look.clear();
  }

  Agent& agent;
  Spec spec;
  Events events;
  std::shared_ptr<const KeyPair> keys;
  RefusalLog refusals;
  boost::asio::steady_timer timer;
  Counters counters;
  std::vector<std::unique_ptr<Door>> doors;
  std::vector<std::string> endpoints;
  std::unordered_map<ConnectionId, std::shared_ptr<Connection>> connections;
  std::deque<std::pair<Clock::time_point, ConnectionId>> deadlines;
  std::vector<std::shared_ptr<Connection>> to_flush, to_look;
  Clock::time_point no_accept_until;
  ConnectionId last_id = 0;
  std::size_t handshakes = 0, admitted_count = 0;
  bool is_open = true, is_finishing = false, timer_runs = false;
};

Transport::Transport(Agent& agent, Spec spec, Events events) : state_(std::make_shared<State>(agent, std::move(spec), std::move(events))) {}

Transport::~Transport() { state_->close_all(); }

Result<void> Transport::start() {
  if (state_->spec.curve) start_sodium();
  for (const auto& text : state_->spec.bind) {
    auto bound = listen_at(state_->agent.loop(), text);
    if (!bound) return bound.error();
    state_->endpoints.push_back(std::move(bound->endpoint));
    state_->doors.push_back(std::make_unique<State::Door>(State::Door{std::move(bound->acceptor)}));
  }
  for (auto& door : state_->doors) state_->wait_to_accept(*door);
  return {};
}

asio::awaitable<void> Transport::finish() { return state_->finish(); }

const std::vector<std::string>& Transport::endpoints() const { return state_->endpoints; }
const Transport::Counters& Transport::counters() const { return state_->counters; }

std::uint64_t Transport::send(ConnectionId to, SharedFrames frames) {
  auto* const connection = state_->find(to);
  return connection == nullptr ? 0 : connection->send(std::move(frames));
}

void Transport::answer(ConnectionId to, SharedFrames frames) {
  if (auto* const connection = state_->find(to)) connection->answer(std::move(frames));
}

void Transport::hold(ConnectionId whom, bool is_held) {
  if (auto* const connection = state_->find(whom)) connection->hold(is_held);
}

Transport::Waiting Transport::untaken(ConnectionId of) const {
  auto* const connection = state_->find(of);
  return connection == nullptr ? Waiting{} : connection->untaken();
}

Transport::Waiting Transport::waiting(ConnectionId of) const {
  const auto* const connection = state_->find(of);
  return connection == nullptr ? Waiting{} : connection->waiting();
}

void Transport::confirm(ConnectionId of) {
  if (auto* const connection = state_->find(of)) connection->confirm();
}

void Transport::tell_room(ConnectionId of, std::size_t room_bytes) {
  if (auto* const connection = state_->find(of)) connection->tell_room(room_bytes);
}

void Transport::pause(ConnectionId of) {
  if (auto* const connection = state_->find(of)) connection->pause();
}

void Transport::resume(ConnectionId of) {
  if (auto* const connection = state_->find(of)) connection->resume();
}

void Transport::close(ConnectionId which, const std::string& why, Closing when) {
  const auto found = state_->connections.find(which);
  if (found == state_->connections.end()) return;
  const auto connection = found->second;
  if (when == Closing::after_queue) return connection->close_after_queue(why);
  connection->close();
  state_->forget(*connection);
  if (!connection->is_admitted()) return;
  boost::asio::post(state_->agent.loop(), [state = state_, which, error = Error{why}] {
    if (state->is_open && state->events.closed) state->events.closed(which, error, {});
  });
}

}  // namespace gorgone::mcollective
