#include "push.hpp"

#include "pack_ahead.hpp"
#include "reach.hpp"
#include "scan.hpp"

#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace gorgone::content {
namespace {

using namespace std::chrono_literals;

// Unconfirmed bytes of pieces on the way: they double while the node confirms quickly, and halve where it does not, so that a slow link
// holds little memory of the relays. Confirmations are rows of two journals, so few are asked for.
constexpr std::size_t first_window = std::size_t{4} << 20, smallest_window = std::size_t{1} << 20, largest_window = std::size_t{16} << 20;
constexpr std::size_t asks_in_window = 4;
constexpr auto quick = 500ms, slow = 2000ms;
// Of all pushes together; beyond it each has the smallest window.
constexpr std::size_t unconfirmed_max = std::size_t{64} << 20;
constexpr std::size_t part_bytes = std::size_t{192} << 10;
constexpr auto first_patience = 3s, longest_patience = 8s;
constexpr auto stream_patience = 6s;
constexpr std::chrono::milliseconds busy_pause = 500ms, refused_pause = 1s, feature_pause = 100ms;
// After a start nodes are still being registered.
constexpr auto unknown_limit = 20s;
// The state of all nodes is much to be told: less often than whether one has the feature.
constexpr auto state_pause = 2s;
// A node that is connected has said what it can do in its first pong.
constexpr auto feature_limit = 10s;
// Those that lead to it tell it in theirs, once a minute.
constexpr std::chrono::seconds feature_limit_behind = 90s;
constexpr int reads_max = 4;
constexpr std::size_t transfer_length = 24;

bool is_passing(const Error& why) { return is_refused_for_now(why.code) || why.code == "unreachable"; }

Error no_content(const std::string& node, const Reach& reach) {
  if (reach.is_told_by_deployed)
    return Error{"node '" + node + "' is behind a deployed daemon, through which content sync does not pass; REMOTECOPY does",
                 "no_content"};
  return Error{"node '" + node + "' has a daemon that does not know content sync; REMOTECOPY reaches it", "no_content"};
}

}  // namespace

Push::Push(Agent& agent, const Options& options, SenderMemory& memory, std::string token, std::string node, PushRequest wish)
    : agent_(agent),
      options_(options),
      memory_(memory),
      token_(std::move(token)),
      node_(std::move(node)),
      wish_(std::move(wish)),
      event_(agent.loop()),
      transfer_(new_token().substr(0, transfer_length)),
      // Above all attempts of an earlier life of this daemon.
      attempt_(std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count()),
      heard_at_(Clock::now()) {}

asio::awaitable<void> Push::run() {
  const auto self = shared_from_this();
  const std::weak_ptr<Push> weak = self;
  watch_ = agent_.journal().watch(token_, [weak](const HistoryRow& row) {
    if (const auto push = weak.lock()) push->on_row(row);
  });
  // After a restart of this daemon the rest may have come already.
  const bool ended = co_await has_ended_before();
  if (ended) co_return;
  auto outcome = co_await wait_for_node();
  for (int reads = 0; outcome && !has_ended_; ++reads) {
    if (reads == reads_max) outcome = Error{fmt::format("'{}' was changed again and again while it was sent", printable(wish_.source))};
    if (outcome) outcome = co_await read_source();
    if (outcome) outcome = co_await converse();
  }
  if (!outcome && !has_ended_) fail(outcome.error());
}

void Push::on_row(const HistoryRow& row) {
  if (ends_token(row)) {
    has_ended_ = true;
    if (row.code == code::finished && manifest_) memory_.installed[{node_, wish_.destination}] = hash_;
    return event_.ring();
  }
  auto answer = read_answer(row);
  if (!answer || answer->attempt != attempt_) return;
  heard_at_ = Clock::now();
  if (answer->stage == "taken") {
    taken_ = std::max(taken_, answer->next);
    return event_.ring();
  }
  answer_ = std::move(answer);
  event_.ring();
}

asio::awaitable<bool> Push::has_ended_before() {
  HistoryFilter filter;
  filter.token = token_;
  const auto rows = co_await agent_.journal().read(std::move(filter));
  co_return rows&& std::any_of(rows->begin(), rows->end(), ends_token);
}

asio::awaitable<Result<void>> Push::wait_for_node() {
  const auto began = Clock::now();
  std::optional<Clock::time_point> up_since;
  auto look_at = began;
  while (!has_ended_) {
    auto* gateway = agent_.gateway();
    if (gateway && gateway->has_feature(node_, "content")) break;
    if (!gateway || !gateway->knows(node_)) {
      if (Clock::now() > began + unknown_limit) co_return Error{"unknown target " + printable(node_), "unknown_target"};
    } else if (Clock::now() >= look_at) {
      look_at = Clock::now() + state_pause;
      const json::value state(gateway->constatus());
      const auto reach = reach_of(state, node_);
      if (!reach.is_up) up_since.reset();
      if (reach.is_up && !up_since) up_since = Clock::now();
      const Clock::duration limit = reach.is_behind ? std::min<Clock::duration>(feature_limit_behind, options_.silence / 2) : feature_limit;
      if (up_since && Clock::now() > *up_since + limit) co_return no_content(node_, reach);
    }
    if (is_overdue())
      co_return Error{fmt::format("node '{}' could not be reached for {} s (content.push_timeout)", node_, options_.silence.count())};
    co_await event_.wait_until(Clock::now() + feature_pause);
  }
  co_return Result<void>{};
}

asio::awaitable<Result<void>> Push::read_source() {
  const std::function<bool()> goes_on = [self = shared_from_this()] { return !self->has_ended_; };
  auto source = co_await scan(agent_, options_, wish_.source, true, goes_on);
  if (!source) co_return Error{"source: " + source.error().message};

  struct Made {
    std::shared_ptr<Manifest> manifest;
    std::vector<Blob> blobs;
    Hash hash{};
    std::string packed;
  };
  std::optional<mode_t> mode;
  if (!wish_.mode.empty()) mode = static_cast<mode_t>(std::stoul(wish_.mode, nullptr, 8) & 0777);
  auto make = [found = std::move(source->found), mode, has_owners = wish_.preserves_owner] {
    Made made;
    made.manifest = std::make_shared<Manifest>(manifest_of(found, mode, has_owners));
    const auto bytes = encode(*made.manifest);
    made.blobs = made.manifest->blobs();
    made.hash = sha256(bytes);
    made.packed = compress(bytes);
    return made;
  };
  auto made = co_await agent_.blocking(std::move(make));
  if (made.manifest->entries.size() > options_.limits.entries)
    co_return Error{fmt::format("source '{}' holds {} files and folders, expected {} at most (content.max_files)", printable(wish_.source),
                                made.manifest->entries.size(), options_.limits.entries)};
  manifest_ = std::move(made.manifest);
  blobs_ = std::move(made.blobs);
  hash_ = made.hash;
  packed_ = std::move(made.packed);
  root_ = std::move(source->root);
  // A file goes into a folder that is named so; of a folder the slash says nothing.
  const bool names_folder = wish_.destination.ends_with('/');
  while (wish_.destination.size() > 1 && wish_.destination.ends_with('/')) wish_.destination.pop_back();
  if (names_folder && manifest_->is_single_file()) wish_.destination += wish_.source.substr(wish_.source.rfind('/'));
  co_return Result<void>{};
}

// Until the push has ended, or the source must be read again.
asio::awaitable<Result<void>> Push::converse() {
  auto patience = Clock::duration(first_patience);
  const auto known = memory_.installed.find({node_, wish_.destination});
  // One with owners is sent to a node only that has said that it takes them.
  bool is_eager = !wish_.preserves_owner && (known == memory_.installed.end() || known->second != hash_);
  while (!has_ended_) {
    if (is_overdue())
      co_return Error{fmt::format("node '{}' has not answered for {} s (content.push_timeout)", node_, options_.silence.count())};
    bool sent = offer(is_eager);
    if (sent && std::exchange(is_eager, false)) sent = send_manifest();
    auto next = Next::wait;
    if (sent) next = co_await next_answer(Clock::now() + patience);
    if (next == Next::send_manifest) {
      if (send_manifest()) next = co_await next_answer(Clock::now() + patience);
    }
    if (next == Next::stream) {
      auto streamed = co_await stream();
      if (!streamed) co_return streamed.error();
      next = *streamed;
    }
    if (next == Next::read_again) co_return Result<void>{};
    if (refused_ && !is_passing(*refused_)) co_return *refused_;
    if (has_ended_) break;
    if (refused_) {
      co_await pause(refused_pause);
    } else if (next == Next::offer_again) {
      patience = first_patience;
    } else {
      patience = std::min<Clock::duration>(patience * 2, longest_patience);
    }
  }
  co_return Result<void>{};
}

// Whatever rings meanwhile: a refusal comes at once, and must not be asked for again and again.
asio::awaitable<void> Push::pause(Clock::duration time) {
  const auto until = Clock::now() + time;
  while (!has_ended_ && Clock::now() < until) co_await event_.wait_until(until);
}

asio::awaitable<Push::Next> Push::next_answer(Clock::time_point limit) {
  while (!has_ended_ && !answer_ && !refused_) {
    const bool rung = co_await event_.wait_until(limit);
    if (!rung) co_return Next::wait;
  }
  if (has_ended_) co_return Next::ended;
  if (refused_) co_return Next::offer_again;
  if (answer_->stage == "lack") co_return Next::stream;
  const auto stage = std::move(answer_->stage);
  const bool takes_owners = answer_->takes_owners;
  answer_.reset();
  if (stage == "manifest" && wish_.preserves_owner && !takes_owners) {
    refused_ =
        Error{"node '" + node_ + "' has a daemon that takes no owners; push without preserve_owner, or bring it up to date", "no_owners"};
    co_return Next::offer_again;
  }
  if (stage == "manifest") co_return Next::send_manifest;
  if (stage == "changed") co_return Next::read_again;
  if (stage == "busy") co_await pause(busy_pause);
  if (stage == "installing") {
    // Nothing is to be sent; the offer after the time is up asks whether it still is.
    co_return co_await next_answer(std::max(limit, Clock::now() + longest_patience));
  }
  co_return Next::offer_again;
}

// Pieces that were sent and not confirmed.
struct Push::Flight {
  struct Sent {
    std::size_t number, size;
    Clock::time_point at;
  };
  explicit Flight(SenderMemory& all) : memory(all) {}
  ~Flight() { memory.unconfirmed -= bytes; }
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;

  void add(std::size_t number, std::size_t size) {
    pieces.push_back({number, size, Clock::now()});
    bytes += size;
    memory.unconfirmed += size;
  }

  SenderMemory& memory;
  std::deque<Sent> pieces;
  std::size_t bytes = 0, window = first_window;
};

void Push::confirm(Flight& flight) {
  std::size_t confirmed = 0;
  Clock::duration took{};
  for (; !flight.pieces.empty() && flight.pieces.front().number < taken_; flight.pieces.pop_front()) {
    confirmed += flight.pieces.front().size;
    took = Clock::now() - flight.pieces.front().at;
  }
  if (confirmed == 0) return;
  flight.bytes -= confirmed;
  memory_.unconfirmed -= confirmed;
  if (took < quick) flight.window = std::min(flight.window + confirmed, largest_window);
  if (took > slow) flight.window = std::max(flight.window / 2, smallest_window);
}

asio::awaitable<Result<Push::Next>> Push::stream() {
  const auto answer = *std::exchange(answer_, std::nullopt);
  const auto set = decode_set(answer.lack, blobs_.size());
  if (!set) co_return Error{"node '" + node_ + "': " + set.error().message};
  std::vector<std::size_t> wanted;
  for (std::size_t i = 0; i < set->size(); ++i)
    if ((*set)[i]) wanted.push_back(i);
  if (!wanted.empty() && answer.offset >= blobs_[wanted.front()].size)
    co_return Error{"node '" + node_ + "' has more of a file than there is"};
  const auto pieces =
      std::make_shared<PackAhead>(agent_, Packer(root_, manifest_, blobs_, std::move(wanted), answer.offset), [weak = weak_from_this()] {
        if (const auto push = weak.lock()) push->event_.ring();
      });
  const std::shared_ptr<void> stops(nullptr, [pieces](void*) { pieces->stop(); });
  pieces->pack();
  Flight flight(memory_);
  std::size_t number = 0, since_asked = 0;
  taken_ = 0;
  while (!has_ended_ && !answer_ && !refused_) {
    confirm(flight);
    const auto window = memory_.unconfirmed > unconfirmed_max ? smallest_window : flight.window;
    // What follows the last piece is the node's to say.
    if (pieces->at_end() && flight.pieces.empty()) break;
    auto piece = flight.bytes < window ? pieces->take() : std::nullopt;
    if (!piece) {
      const bool rung = co_await event_.wait_until(Clock::now() + stream_patience);
      // A source that is slow says nothing of the node.
      if (!rung && !flight.pieces.empty() && !pieces->is_packing()) co_return Next::wait;
      continue;
    }
    if (!*piece) {
      if (piece->error().code == "changed") co_return Next::read_again;
      co_return piece->error();
    }
    const auto size = (*piece)->size();
    const bool asks = since_asked + piece_bytes >= window / asks_in_window;
    since_asked = asks ? 0 : since_asked + size;
    flight.add(number, size);
    send(action::data, write_part({token_, attempt_, number++, asks ? std::size_t{1} : 0, std::move(**piece)}));
  }
  co_return co_await next_answer(Clock::now() + longest_patience);
}

bool Push::offer(bool is_followed) {
  ++attempt_;
  answer_.reset();
  refused_.reset();
  Offer offer{token_, attempt_, hash_, manifest_->files(), manifest_->bytes(), is_followed, wish_};
  const auto token = fmt::format("{}-{}", transfer_, sent_);
  const std::weak_ptr<Push> weak = weak_from_this();
  // A relay or the node that cannot take it writes a row under the message's own token.
  refusals_ = agent_.journal().watch(token, [weak](const HistoryRow& row) {
    const auto push = weak.lock();
    if (!push || row.code != code::failed) return;
    const auto data = parse_json(row.data);
    const auto why = data ? text_of(member(*data, "message")).value_or("") : "";
    const auto code = data ? text_of(member(*data, "error")).value_or("") : "";
    // Lost in a queue: the next offer comes anyway.
    if (code.empty()) return;
    push->refused_ = Error{"node '" + push->node_ + "': " + why, code};
    push->event_.ring();
  });
  return send(action::offer, write_offer(offer));
}

bool Push::send_manifest() {
  const auto parts = (packed_.size() + part_bytes - 1) / part_bytes;
  for (std::size_t i = 0; i < parts; ++i) {
    Part part{token_, attempt_, i, parts, packed_.substr(i * part_bytes, part_bytes)};
    if (!send(action::manifest, write_part(std::move(part)))) return false;
  }
  return true;
}

bool Push::send(const char* name, Payload data) {
  Message message{name, fmt::format("{}-{}", transfer_, sent_++), node_, std::move(data)};
  const std::weak_ptr<Push> weak = weak_from_this();
  Reply reply = [weak](const gorgone::Answer& answer) {
    const auto push = weak.lock();
    if (!push || answer.code == code::begun) return;
    const auto why = answer.data.json();
    const auto code = why ? text_of(member(**why, "error")).value_or("refused") : "refused";
    push->refused_ = Error{why ? text_of(member(**why, "message")).value_or("") : "", code};
    push->event_.ring();
  };
  agent_.submit(std::move(message), std::move(reply));
  return !refused_;
}

void Push::fail(const Error& why) {
  agent_.log().error("push of '{}' to node '{}', '{}', failed: {} token={}", printable(wish_.source), printable(node_),
                     printable(wish_.destination), why.message, printable(token_));
  agent_.journal().write(outcome_row(token_, code::failed, {{"action", "content"}, {"message", "content - " + why.message}}));
}

}  // namespace gorgone::content
