#include "core/net/client_link.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>

#include "core/wire/text.hpp"

namespace gorgone::net {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

// What a node sends to whoever gives it work; all else that comes from it are requests of its own.
constexpr std::array<std::string_view, 4> for_owner{"PONG", "SETLOGS", "ACK", "SYNCLOGS"};

// A probe that finds no connection costs next to nothing. One that was sent lies in a buffer until the client reads it.
constexpr milliseconds unanswered_pause_min = 5s, unanswered_pause_max = 60s;

milliseconds pause_after(int unreached) {
  if (unreached <= 20) return 200ms;
  return unreached <= 60 ? 1s : 5s;
}

}  // namespace

std::unique_ptr<Link> ClientLinks::attach(const std::string& routing_id, LinkOwner& owner) {
  auto link = std::make_unique<ClientLink>(*this, routing_id, owner);
  if (!routing_id.empty()) links_[routing_id] = link.get();
  return link;
}

ClientLink* ClientLinks::find(const std::string& routing_id) const {
  const auto found = links_.find(routing_id);
  return found == links_.end() ? nullptr : found->second;
}

void ClientLinks::heard(const std::string& routing_id) {
  if (auto* link = find(routing_id)) link->heard();
}

bool ClientLinks::take(const std::string& routing_id, Message& message) {
  auto* link = find(routing_id);
  if (!link || std::find(for_owner.begin(), for_owner.end(), message.action) == for_owner.end()) return false;
  link->received(std::move(message));
  return true;
}

void ClientLinks::restored(const std::string& routing_id) {
  auto* link = find(routing_id);
  if (link && !link->is_up()) link->probe();
}

void ClientLinks::renewed(const std::string& routing_id) {
  if (auto* link = find(routing_id)) link->fall(Error{"it has opened its session anew", down::lost});
}

void ClientLinks::gone(const std::string& routing_id) {
  if (auto* link = find(routing_id)) link->fall(Error{"it is not connected any more", down::lost});
}

void ClientLinks::ended(const std::string& routing_id, const std::string& why) {
  if (auto* link = find(routing_id)) link->fall(Error{"its session ended: " + why, down::lost});
}

ClientLink::ClientLink(ClientLinks& links, std::string routing_id, LinkOwner& owner)
    : links_(links), routing_id_(std::move(routing_id)), owner_(owner), timer_(links.loop_) {
  ++links_.nodes_;
  later([this] { begin(); });
}

ClientLink::~ClientLink() {
  --links_.nodes_;
  // Another link over the same session may have taken its place.
  if (links_.find(routing_id_) == this) links_.links_.erase(routing_id_);
}

// Runs on the loop unless the link is gone by then.
template <class F>
void ClientLink::later(F f) {
  boost::asio::post(links_.loop_, [f = std::move(f), alive = std::weak_ptr<bool>(alive_)]() mutable {
    if (!alive.expired()) f();
  });
}

void ClientLink::begin() {
  if (up_ || untold_) return;
  const auto state = routing_id_.empty() ? ClientSessions::State::none : links_.sessions_.state(routing_id_);
  if (state == ClientSessions::State::heard) return heard();
  untold_ = Error{"it has not connected yet", down::awaited};
  if (state == ClientSessions::State::silent) {
    untold_->message = "it has not connected since our start";
    probe();
  }
  tell();
}

Result<void> ClientLink::send(const Message& message) {
  if (!up_) return Error{"the link is not up"};
  const auto form = wire::form_for(message, takes_raw_);
  switch (links_.sessions_.send_text(routing_id_, wire::format_request(message, form), form)) {
    case ClientSessions::Sent::yes:
      return {};
    case ClientSessions::Sent::full:
      return Error{"the client has not read what was sent before"};
    case ClientSessions::Sent::no_route:
      break;
  }
  fall(Error{"it is not connected any more", down::lost});
  return Error{"the client is not connected any more", down::lost};
}

void ClientLink::reset(const std::string& why) { fall(Error{why, down::mute}); }

void ClientLink::fall(Error why) {
  if (!up_) return;
  up_ = false;
  log_.info("link down: client {}: {}", printable(routing_id_), why.message);
  untold_ = std::move(why);
  unreached_ = 0;
  pause_ = 0ms;
  // Not from here: the owner may be in a call to this link.
  later([this] {
    const std::weak_ptr<bool> alive = alive_;
    tell();
    if (!alive.expired() && !up_) probe();
  });
}

void ClientLink::tell() {
  if (!untold_) return;
  const Error why = std::move(*untold_);
  untold_.reset();
  owner_.link_down(why);
}

void ClientLink::heard() {
  if (up_) return;
  const std::weak_ptr<bool> alive = alive_;
  tell();  // so that what was under way is known to be lost
  if (alive.expired()) return;
  up_ = true;
  timer_.cancel();
  log_.info("link up: client {}", printable(routing_id_));
  owner_.link_up();
}

void ClientLink::probe() {
  if (links_.sessions_.state(routing_id_) == ClientSessions::State::none) return;
  const Message ping{"PING", new_token(), {}, Payload(), {}};
  if (links_.sessions_.send_text(routing_id_, wire::format_request(ping)) == ClientSessions::Sent::no_route)
    return arm(pause_after(++unreached_));
  unreached_ = 0;
  pause_ = std::clamp(2 * pause_, unanswered_pause_min, unanswered_pause_max);
  arm(pause_);
}

void ClientLink::arm(milliseconds pause) {
  timer_.expires_after(pause);
  timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired() && !up_) probe();
  });
}

}  // namespace gorgone::net
