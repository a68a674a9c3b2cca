#include <gorgone/log.hpp>

#include <fmt/format.h>

#include <algorithm>

#include "landing.hpp"

namespace gorgone::content {
namespace {

using namespace std::chrono_literals;

constexpr auto slice = 50ms;
constexpr int attempts_max = 3;
constexpr std::size_t output_max = 2000, told_max = 1000;
constexpr std::string_view staged_word = "{staged}", destination_word = "{destination}";

// In single quotes for a shell, for a path may hold anything.
std::string quoted(const std::string& path) {
  const bool is_plain = path.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == std::string::npos;
  if (is_plain) return path;
  std::string out = "'";
  for (const char c : path) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// In one pass: a path may have such a word in it.
std::string with_paths(std::string_view command, const std::string& staged, const std::string& destination) {
  std::string out;
  while (!command.empty()) {
    const auto word = command.starts_with(staged_word) ? staged_word : command.starts_with(destination_word) ? destination_word : "";
    if (word.empty())
      out += command.front();
    else
      out += word == staged_word ? staged : destination;
    command.remove_prefix(std::max<std::size_t>(word.size(), 1));
  }
  return out;
}

}  // namespace

asio::awaitable<Result<void>> Landing::install() {
  is_installing_ = true;
  by_files_ = staging_->not_in_one_step();
  Result<void> outcome;
  for (int attempt = 1;; ++attempt) {
    if (!by_files_.empty() && offer_.wish.must_be_atomic)
      outcome = Error{fmt::format("'{}' cannot be replaced in one step, as was asked for (atomic: required): {}",
                                  printable(staging_->destination().path), by_files_)};
    else
      outcome = co_await build_and_switch();
    const auto code = outcome ? std::string() : outcome.error().code;
    if (outcome || attempt == attempts_max) break;
    if ((code == "no_extra" || code == "not_in_one_step") && by_files_.empty() && staging_->destination().exists &&
        !manifest_->is_single_file()) {
      by_files_ = outcome.error().message;
    } else if (code == "changed") {
      auto looked = co_await look_at_destination();
      if (!looked) co_return looked;
      // A file that was counted on may be gone.
      const bool has_all = std::all_of(blobs_.begin(), blobs_.end(),
                                       [this](const Blob& blob) { return present_->with(blob.hash) || blobs_store_->has(blob.hash); });
      if (!has_all) {
        is_installing_ = false;
        answer("again");
        co_return Result<void>{};
      }
    } else {
      break;
    }
  }
  is_installing_ = false;
  if (outcome) tell_installed();
  co_return outcome;
}

asio::awaitable<Result<void>> Landing::build_and_switch() {
  const Builder::Wish wish{owners_, !offer_.wish.removes_extra && by_files_.empty(), ground_.options.links_unchanged, by_files_.empty()};
  const auto builder = std::make_shared<Builder>(*staging_, *manifest_, *present_, wish);
  auto built = co_await build(builder);
  if (!built) co_return built;
  auto checked = co_await check();
  if (!checked) co_return checked;
  auto put = [self = shared_from_this(), builder] { return self->put_in_place(*builder); };
  co_return co_await agent_.blocking(put);
}

asio::awaitable<Result<void>> Landing::build(std::shared_ptr<Builder> builder) {
  auto work = [builder] { return builder->build_for(slice); };
  Result<bool> done = false;
  do {
    done = co_await agent_.blocking(work);
  } while (done && !*done);
  if (!done) co_return done.error();
  notes_.add(builder->notes());
  co_return Result<void>{};
}

// By the module action: what may run on this node, and for how long, is decided in one place.
asio::awaitable<Result<void>> Landing::check() {
  auto asked = offer_.wish.check;
  if (asked.empty() && !ground_.options.checks.empty()) {
    auto find = [checks = ground_.options.checks, path = staging_->destination().path] { return check_for(checks, path); };
    asked = co_await agent_.blocking(find);
  }
  if (asked.empty()) co_return Result<void>{};
  const auto command = with_paths(asked, quoted(staging_->shown("tree")), quoted(staging_->destination().path));
  Message message;
  message.action = "COMMAND";
  message.token = new_token();
  const auto limit_s = ground_.options.check.count();
  message.data = Payload(json::value(
      json::object{{"content", json::array{json::object{{"command", command}, {"timeout", limit_s}}}}, {"parameters", json::object()}}));

  struct Outcome {
    bool has_ended = false;
    std::string wrong = "it did not run";
  };
  auto outcome = std::make_shared<Outcome>();
  auto rung = std::make_shared<Event>(agent_.loop());
  const auto watch = agent_.journal().watch(message.token, [outcome, rung](const HistoryRow& row) {
    const auto data = parse_json(row.data);
    const auto* result = data ? member(*data, "result") : nullptr;
    if (row.code == code::command_result && result) {
      const auto status = integer_of(member(*result, "exit_code")).value_or(-1);
      outcome->wrong =
          status == 0 ? "" : fmt::format("exit code {}: {}", status, text_of(member(*result, "stdout")).value_or("").substr(0, output_max));
    }
    if (row.code == code::failed && data) outcome->wrong = text_of(member(*data, "message")).value_or("it failed");
    if (!ends_token(row)) return;
    outcome->has_ended = true;
    rung->ring();
  });
  agent_.submit(std::move(message));
  const auto until = Clock::now() + ground_.options.check;
  while (!outcome->has_ended && Clock::now() < until) co_await rung->wait_until(until);
  if (!outcome->has_ended) outcome->wrong = fmt::format("it did not end within {} s (content.check_timeout)", limit_s);
  if (outcome->wrong.empty()) co_return Result<void>{};
  co_return Error{fmt::format("check_command failed, '{}' stays as it is: {}", printable(staging_->destination().path), outcome->wrong),
                  "check"};
}

// On a pool thread.
Result<void> Landing::put_in_place(Builder& builder) {
  Switch what;
  what.in_one_step = by_files_.empty();
  what.keeps_previous = ground_.options.keeps_previous;
  what.keeps_extra = !offer_.wish.removes_extra;
  what.now = offer_.manifest;
  what.inode = staging_->inode_of("tree");
  const auto& there = staging_->destination();
  if (there.exists) what.before = staging_->tree_of(there.status.st_ino);
  auto put = [&] {
    auto done = what.in_one_step ? perform(*staging_, what) : put_by_files(what);
    if (!what.unfinished.empty()) notes_.add(what.unfinished);
    return done;
  };
  if (!what.in_one_step) return put();
  if (const auto noted = staging_->note_tree(what.inode, offer_.manifest); !noted) return noted;
  const auto index = builder.index();
  if (auto done = put(); !done) return done;
  if (const auto kept = IndexStore(ground_.options.state_dir, ground_.options.index_trees).save(there.path, index); !kept)
    notes_.add(fmt::format("unchanged files of '{}' will be read again: {}", printable(there.path), kept.error().message));
  return {};
}

Result<void> Landing::put_by_files(Switch& what) {
  Scanner scanner(staging_->path("tree"), {}, false);
  if (const auto listed = scanner.list(); !listed) return listed;
  // What it was built from says what is in it, without reading it again.
  auto found = scanner.take();
  for (auto& item : found)
    if (const auto* entry = manifest_->find(item.path); entry && item.kind == Found::Kind::file && item.stamp.size > 0)
      item.hash = entry->hash;
  const Present staged(std::move(found));
  const bool removes = offer_.wish.removes_extra;
  auto steps = steps_between(staged, *present_, [removes](const Found&) { return removes; });
  what.steps = std::move(steps);
  return perform(*staging_, what);
}

void Landing::tell_installed() {
  const std::uint64_t changed =
      static_cast<std::uint64_t>(std::count_if(manifest_->entries.begin(), manifest_->entries.end(), [this](const Entry& entry) {
        return entry.kind == Entry::Kind::file && !is_as_wanted(entry, present_->at(entry.path), owners_);
      }));
  json::object data{{"action", "content"},
                    {"message", fmt::format("{} of {} files are new or changed, {} bytes came", changed, offer_.files, received_)},
                    {"switch", by_files_.empty() ? "tree" : "files"},
                    {"files", offer_.files},
                    {"changed", changed},
                    {"bytes", offer_.bytes},
                    {"received", received_}};
  if (!by_files_.empty()) data["why"] = by_files_;
  if (!notes_.empty()) {
    data["warnings"] = json::value_from(notes_.texts());
  }
  agent_.log().info("'{}' has new content: {} of {} files, switch={} token={}", printable(staging_->destination().path), changed,
                    offer_.files, by_files_.empty() ? "tree" : "files", printable(token_));
  const auto& there = staging_->destination().path;
  if (!by_files_.empty() && ground_.told_by_files.size() < told_max && ground_.told_by_files.insert(there).second)
    agent_.log().warning("'{}' is put in place file by file, and who reads it at that moment may see old and new files together: {}{}",
                         printable(there), by_files_,
                         staging_->lacks_folder_above()
                             ? fmt::format("; 'gorgonectl one-step {}', run once as root here, ends that", printable(there))
                             : std::string());
  end(code::finished, std::move(data));
}

// After the last row: nobody waits for it. What an unfinished push has brought stays for the next one, and what is there belongs to
// somebody else where it has yielded.
asio::awaitable<void> Landing::tidy_up() {
  if (!staging_) co_return;
  const bool was_installed = ground_.ended.has(token_);
  auto work = [self = shared_from_this(), was_installed, has_yielded = has_yielded_] {
    if (self->blobs_store_) self->blobs_store_->close();
    if (has_yielded) return true;
    self->staging_->empty_trash();
    // Of a switch that has no end yet, the tree is what was there before.
    if (!was_installed || self->staging_->has("switching")) return true;
    self->staging_->remove("tree");
    self->staging_->remove("blobs");
    self->staging_->forget_old_trees();
    return true;
  };
  co_await agent_.blocking(work);
}

}  // namespace gorgone::content
