#include "landing.hpp"

#include "scan.hpp"

#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace gorgone::content {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t inbox_max = std::size_t{32} << 20;
constexpr auto idle_limit = 120s;
// After so long without a word others may have the destination.
constexpr auto yield_after = 10s;
constexpr auto slice = 50ms;
// Besides the rows that the sender asks for, so that somebody who looks on sees progress.
constexpr auto answer_every = 500ms;
// Less than a sender's patience (push.cpp).
constexpr auto working_every = 2s;
constexpr std::size_t packed_manifest_max = std::size_t{64} << 20, parts_max = 1000;

std::int64_t attempt_in(const Message& offer) {
  const auto data = offer.data.json();
  return data ? integer_of(member(**data, "attempt")).value_or(0) : 0;
}

std::string next_owner(const std::string& token) {
  static std::uint64_t made = 0;
  return fmt::format("{} {}", token, ++made);
}

}  // namespace

Landing::Landing(Agent& agent, Ground& ground, std::string token)
    : agent_(agent),
      ground_(ground),
      token_(std::move(token)),
      owner_(next_owner(token_)),
      event_(agent.loop()),
      heard_at_(Clock::now()),
      answered_at_(Clock::now()) {}

void Landing::take(Message message) {
  heard_at_ = Clock::now();
  const auto size = message.data.size();
  if (is_installing_ || (is_planning_ && is_same_offer(message))) {
    // Whoever asks gets to know that it goes on.
    if (message.action == action::offer) {
      attempt_ = std::max(attempt_, attempt_in(message));
      answer("installing");
    }
    return;
  }
  if (inbox_bytes_ + size > inbox_max) return;
  inbox_bytes_ += size;
  inbox_.push_back(std::move(message));
  event_.ring();
}

bool Landing::is_same_offer(const Message& message) const {
  if (message.action != action::offer) return false;
  const auto data = message.data.json();
  const auto offer = data && (*data)->is_object() ? read_offer(**data) : Result<Offer>(Error{"no offer"});
  return offer && offer->manifest == offer_.manifest;
}

asio::awaitable<void> Landing::run() {
  const auto self = shared_from_this();
  while (!has_ended_) {
    if (inbox_.empty()) {
      is_working_ = false;
      const bool rung = co_await event_.wait_until(heard_at_ + idle_limit);
      if (!rung && inbox_.empty() && Clock::now() >= heard_at_ + idle_limit) break;
      continue;
    }
    is_working_ = true;
    auto message = std::move(inbox_.front());
    inbox_.pop_front();
    inbox_bytes_ -= message.data.size();
    // Nobody waits for the answer to an offer that was followed by another.
    auto is_newer = [&](const Message& other) { return other.action == action::offer && attempt_in(other) > attempt_in(message); };
    if (message.action == action::offer && std::any_of(inbox_.begin(), inbox_.end(), is_newer)) continue;
    Result<void> outcome;
    try {
      outcome = co_await handle(std::move(message));
    } catch (const boost::system::system_error& failure) {
      if (failure.code() == asio::error::operation_aborted) throw;  // the module stops; all is on the disk
      outcome = Error{std::string("an unexpected failure: ") + failure.what()};
    } catch (const std::exception& failure) {
      outcome = Error{std::string("an unexpected failure: ") + failure.what()};
    }
    if (!outcome) {
      agent_.log().error("content for '{}' is not put in place: {} token={}", printable(offer_.wish.destination), outcome.error().message,
                         printable(token_));
      end(code::failed, {{"action", "content"}, {"message", "content - " + outcome.error().message}});
    }
  }
  has_ended_ = true;
  // Who comes next waits until what is tidied up by name is gone: it makes things of these names itself.
  is_working_ = true;
  co_await tidy_up();
  ground_.destinations.unlock(owner_);
}

asio::awaitable<Result<void>> Landing::handle(Message message) {
  if (message.action == action::offer) co_return co_await on_offer(message);
  if (message.action == action::manifest) co_return co_await on_manifest(message);
  co_return co_await on_data(std::move(message));
}

asio::awaitable<Result<void>> Landing::on_offer(const Message& message) {
  const auto data = message.data.json();
  if (!data || !(*data)->is_object()) co_return Result<void>{};
  auto offer = read_offer(**data);
  if (!offer) co_return offer.error();
  if (offer->attempt <= attempt_) co_return Result<void>{};  // it came twice, or late
  attempt_ = offer->attempt;
  if (manifest_ && offer_.manifest != offer->manifest) manifest_.reset();
  offer_ = std::move(*offer);
  is_streaming_ = false;
  parts_.clear();
  parts_bytes_ = 0;
  notes_.clear();

  auto opened = co_await open_place();
  if (!opened || !staging_) co_return opened;
  if (!manifest_) {
    auto load = [self = shared_from_this()] { return self->staging_->manifest(self->offer_.manifest, self->ground_.options.limits); };
    auto known = co_await agent_.blocking(load);
    if (known) manifest_ = std::make_shared<const Manifest>(std::move(*known));
  }
  if (manifest_) co_return co_await plan();
  if (!offer_.is_followed) answer("manifest");
  co_return Result<void>{};
}

// Without a place there is somebody else at the destination.
asio::awaitable<Result<void>> Landing::open_place() {
  auto find = [path = offer_.wish.destination] { return locate(path); };
  const auto at = co_await agent_.blocking(find);
  if (!at) co_return at.error();
  // A folder that is named there may be a link itself.
  auto resolve = [folders = ground_.options.allowed] { return with_links_resolved(folders); };
  const auto allowed = co_await agent_.blocking(resolve);
  if (!is_allowed(allowed, at->path))
    co_return Error{
        fmt::format("destination '{}' does not lie in a folder that this node allows (content.allowed_destinations)", printable(at->path))};
  const std::weak_ptr<Landing> weak = weak_from_this();
  const std::function<bool()> yields = [weak] {
    const auto landing = weak.lock();
    return !landing || landing->yields();
  };
  const bool is_mine = co_await lock_soon(agent_.loop(), ground_.destinations, at->path, owner_, yields);
  if (!is_mine) {
    staging_.reset();
    answer("busy");
    co_return Result<void>{};
  }
  auto open = [place = *at, state_dir = ground_.options.state_dir]() -> Result<Staging> {
    auto staging = Staging::open(place, true);
    if (!staging) return staging;
    Places(state_dir).add(place.path);
    if (const auto resumed = resume(*staging); !resumed)
      return resumed.error();
    else if (*resumed)
      return Staging::open(*locate(place.path), true);
    return staging;
  };
  auto staging = co_await agent_.blocking(open);
  if (!staging && staging.error().code == "busy") {
    staging_.reset();
    answer("busy");
    co_return Result<void>{};
  }
  if (!staging) co_return staging.error();
  blobs_store_.reset();
  staging_.emplace(std::move(*staging));
  blobs_store_.emplace(*staging_);
  co_return Result<void>{};
}

bool Landing::yields() {
  if (is_working_ || Clock::now() < heard_at_ + yield_after) return false;
  has_ended_ = has_yielded_ = true;
  event_.ring();
  return true;
}

asio::awaitable<Result<void>> Landing::on_manifest(const Message& message) {
  auto part = read_part(message.data);
  if (!part || part->attempt != attempt_ || manifest_ || !staging_) co_return Result<void>{};
  if (part->of == 0 || part->of > parts_max || part->number != parts_.size()) co_return Result<void>{};
  parts_bytes_ += part->bytes().size();
  if (parts_bytes_ > packed_manifest_max)
    co_return Error{fmt::format("the manifest is too large: expected {} bytes at most", packed_manifest_max)};
  parts_.push_back(part->bytes());
  if (parts_.size() < part->of) co_return Result<void>{};
  auto read = [self = shared_from_this()]() -> Result<std::shared_ptr<const Manifest>> {
    std::string packed;
    for (const auto& piece : self->parts_) packed += piece;
    const auto& limits = self->ground_.options.limits;
    const auto bytes = decompress(packed, limits.bytes);
    if (!bytes) return Error{"the manifest " + bytes.error().message};
    if (sha256(*bytes) != self->offer_.manifest) return Error{"the manifest is not the one that was offered"};
    auto manifest = decode(*bytes, limits);
    if (!manifest) return manifest.error();
    if (auto kept = self->staging_->keep_manifest(self->offer_.manifest, *bytes); !kept) return kept.error();
    return std::make_shared<const Manifest>(std::move(*manifest));
  };
  auto manifest = co_await agent_.blocking(read);
  parts_.clear();
  parts_bytes_ = 0;
  if (!manifest) co_return manifest.error();
  manifest_ = *manifest;
  co_return co_await plan();
}

asio::awaitable<Result<void>> Landing::look_at_destination() {
  const std::function<bool()> goes_on = [self = shared_from_this()] {
    self->tell_working();
    return true;
  };
  const auto path = staging_->destination().path;
  auto there = co_await scan(agent_, ground_.options, path, false, goes_on);
  if (!there && there.error().code != "missing") co_return there.error();
  // It maps its files, which takes a while where they are many.
  auto map = [found = there ? std::move(there->found) : std::vector<Found>()]() mutable { return Present(std::move(found)); };
  present_.emplace(co_await agent_.blocking(std::move(map)));
  co_return Result<void>{};
}

// Accounts may be asked for of a directory service.
asio::awaitable<void> Landing::find_wanted_owners() {
  auto find = [wish = offer_.wish, manifest = manifest_] {
    std::pair<WantedOwners, Notes> found;
    found.first.all = find_owners(wish.owner, wish.group, found.second);
    for (const auto& account : manifest->owners) found.first.each.push_back(owners_here(account, found.second));
    return found;
  };
  auto found = co_await agent_.blocking(find);
  owners_ = std::move(found.first);
  notes_ = std::move(found.second);
}

asio::awaitable<Result<void>> Landing::plan() {
  is_planning_ = true;
  answered_at_ = Clock::now();
  auto outcome = co_await plan_and_go_on();
  is_planning_ = false;
  co_return outcome;
}

// What is there, what is lacking, what is to be done.
asio::awaitable<Result<void>> Landing::plan_and_go_on() {
  const auto& there = staging_->destination();
  if (there.exists && S_ISDIR(there.status.st_mode) == manifest_->is_single_file())
    co_return Error{manifest_->is_single_file()
                        ? fmt::format("destination '{}' is a folder, expected a file's path: the source is a file", there.path)
                        : fmt::format("destination '{}' is no folder, expected one: the source is a folder", there.path)};
  co_await find_wanted_owners();
  auto looked = co_await look_at_destination();
  if (!looked) co_return looked;
  if (is_as_wanted(*manifest_, *present_, owners_, offer_.wish.removes_extra)) {
    json::object unchanged{{"action", "content"},
                           {"message", fmt::format("unchanged: {} files", offer_.files)},
                           {"switch", "none"},
                           {"files", offer_.files},
                           {"changed", 0}};
    if (!notes_.empty()) unchanged["warnings"] = json::value_from(notes_.texts());
    end(code::finished, std::move(unchanged));
    co_return Result<void>{};
  }
  auto open = [self = shared_from_this()] { return self->blobs_store_->open_for(slice); };
  Result<bool> opened = false;
  do {
    opened = co_await agent_.blocking(open);
    tell_working();
  } while (opened && !*opened);
  if (!opened) co_return opened.error();

  blobs_ = manifest_->blobs();
  std::vector<bool> lack(blobs_.size());
  std::vector<std::size_t> wanted;
  lacking_bytes_ = 0;
  for (std::size_t i = 0; i < blobs_.size(); ++i) {
    if (present_->with(blobs_[i].hash) || blobs_store_->has(blobs_[i].hash)) continue;
    lack[i] = true;
    wanted.push_back(i);
    lacking_bytes_ += blobs_[i].size;
  }
  if (auto space = check_space(lacking_bytes_); !space) co_return space;
  if (wanted.empty()) co_return co_await install();
  files_of_ = wanted.size();
  auto expect = [self = shared_from_this(), wanted] { return self->blobs_store_->expect(self->blobs_, wanted); };
  const auto offset = co_await agent_.blocking(expect);
  if (!offset) co_return offset.error();
  bytes_of_ = lacking_bytes_ - *offset;
  next_piece_ = 0;
  is_streaming_ = true;
  content::Answer lacking{"lack",    attempt_,           0,         encode_set(lack),   *offset,
                          files_of_, manifest_->files(), bytes_of_, manifest_->bytes(), false};
  answered_at_ = Clock::now();
  agent_.journal().write(write_answer(token_, lacking));
  co_return Result<void>{};
}

Result<void> Landing::check_space(std::uint64_t lacking) const {
  std::uint64_t copied = 0;
  for (const auto& entry : manifest_->entries) {
    if (entry.kind != Entry::Kind::file || entry.size == 0 || !present_->with(entry.hash)) continue;
    const auto* found = present_->at(entry.path);
    if (!ground_.options.links_unchanged || !found || found->hash != entry.hash) copied += entry.size;
  }
  const auto free = staging_->free_bytes();
  if (lacking + copied <= free) return {};
  return Error{fmt::format("no space for '{}': {} bytes are needed beside it, {} are free", printable(staging_->destination().path),
                           lacking + copied, free),
               "space"};
}

asio::awaitable<Result<void>> Landing::on_data(Message message) {
  if (!is_streaming_) co_return Result<void>{};
  struct Taken {
    Result<void> outcome;
    bool is_late = false, is_early = false, asks = false;
    std::size_t size = 0;
  };
  auto take_piece = [self = shared_from_this(), data = std::move(message.data)] {
    Taken taken;
    const auto part = read_part(data);
    taken.is_late = !part || part->attempt != self->attempt_ || part->number < self->next_piece_;
    if (taken.is_late) return taken;
    taken.is_early = part->number > self->next_piece_;
    if (taken.is_early) return taken;
    taken.size = part->bytes().size();
    taken.asks = part->of > 0;
    const auto piece = decompress(part->bytes(), piece_bytes_max);
    const auto records = piece ? read_piece(*piece) : Result<std::vector<Record>>(piece.error());
    taken.outcome = records ? self->blobs_store_->take(*records) : Result<void>(records.error());
    return taken;
  };
  auto taken = co_await agent_.blocking(std::move(take_piece));
  if (taken.is_late) co_return Result<void>{};
  if (taken.is_early || (!taken.outcome && (taken.outcome.error().code == "order" || taken.outcome.error().code == "changed"))) {
    is_streaming_ = false;
    answer(!taken.outcome && taken.outcome.error().code == "changed" ? "changed" : "again");
    co_return Result<void>{};
  }
  if (!taken.outcome) co_return taken.outcome;
  ++next_piece_;
  received_ += taken.size;
  if (blobs_store_->has_all()) {
    is_streaming_ = false;
    co_return co_await install();
  }
  if (taken.asks || Clock::now() > answered_at_ + answer_every) answer("taken");
  co_return Result<void>{};
}

// Reading what is there may take longer than a sender waits.
void Landing::tell_working() {
  if (Clock::now() > answered_at_ + working_every) answer("installing");
}

void Landing::answer(const char* stage) {
  answered_at_ = Clock::now();
  content::Answer answer{stage, attempt_, next_piece_, {}, 0, 0, 0, 0, 0, std::string_view(stage) == "manifest"};
  if (blobs_store_ && files_of_ > 0) {
    answer.files = blobs_store_->files_taken();
    answer.files_of = files_of_;
    answer.bytes = blobs_store_->bytes_taken();
    answer.bytes_of = bytes_of_;
  }
  agent_.journal().write(write_answer(token_, answer));
}

void Landing::end(int code, json::object data) {
  has_ended_ = true;
  ground_.ended.add(token_);
  agent_.journal().write(outcome_row(token_, code, std::move(data)));
}

}  // namespace gorgone::content
