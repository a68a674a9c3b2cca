#include "copier.hpp"

#include "archive.hpp"
#include "files.hpp"

#include <gorgone/database_name.hpp>

#include <boost/asio/steady_timer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace gorgone::action {
namespace {

const json::value no_data;

struct Busy {
  explicit Busy(bool& flag) : flag_(flag) { flag_ = true; }
  ~Busy() { flag_ = false; }
  bool& flag_;
};

/// All that the end of a copy does on the disk.
Result<Notes> place(PartialFile& partial, const CopyRequest& request, std::uint64_t max_unpacked, const InPlace& in_place) {
  auto md5 = partial.md5();
  if (!md5) return md5.error();
  auto expected = request.md5;
  std::transform(expected.begin(), expected.end(), expected.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (*md5 != expected) return Error{"md5 does not match"};
  Notes notes;
  auto ids = look_up(request.attributes, notes);
  if (!ids) return Error{"process copy: " + ids.error().message};
  if (request.type == CopyRequest::Type::archive) {
    auto unpacked = unpack(partial.path(), request.destination, *ids, notes, max_unpacked);
    if (!unpacked) return Error{"process copy: " + unpacked.error().message};
  } else {
    auto installed = install_file(partial.path(), request.destination, *ids, notes, in_place);
    if (!installed) return Error{"process copy: " + installed.error().message};
  }
  return notes;
}

}  // namespace

asio::awaitable<void> Copier::take(Message message) {
  auto token = message.token;
  if (copies_.find(token) == copies_.end() && !make_room()) {
    RequestLog(agent_.journal(), token, no_data).row(code::failed, fmt::format("busy: {} copies are under way already", copies_max));
    co_return;
  }
  auto& copy = copies_[token];
  copy.touched = Clock::now();
  auto size = message.data.text().size();
  if (queued_bytes_ + size > options_.copy_queue_bytes && !copy.is_ended) {
    copy.is_ended = true;
    RequestLog(agent_.journal(), token, no_data)
        .row(code::failed,
             fmt::format("busy: {} bytes of copies wait for the disk already (modules.action.max_queued_copy)", queued_bytes_));
  }
  if (copy.is_ended) {
    // Refused: nothing more of it is kept, but its last message, which is small, ends it.
    const auto data = message.data.json();
    const auto request = data ? read_copy_request(**data) : Result<CopyRequest>(data.error());
    if (!request || request->status != CopyRequest::Status::end) co_return;
    size = message.data.text().size();
  }
  queued_bytes_ += size;
  copy.waiting.push_back(std::move(message));
  if (!copy.is_busy) co_await work_off(copy, std::move(token));
}

// One that has failed takes nobody's place: the message that ends it may never come. As many of those are remembered as there may be
// copies, so that what still comes of them is passed over; of more the oldest are forgotten.
bool Copier::make_room() {
  if (copies_.size() < copies_max) return true;
  const auto is_ended = [](const auto& entry) { return entry.second.is_ended; };
  const auto ended = static_cast<std::size_t>(std::count_if(copies_.begin(), copies_.end(), is_ended));
  if (copies_.size() - ended >= copies_max) return false;
  if (ended < copies_max) return true;
  auto oldest = copies_.end();
  for (auto it = copies_.begin(); it != copies_.end(); ++it) {
    if (!it->second.is_ended || it->second.is_busy) continue;
    if (oldest == copies_.end() || it->second.touched < oldest->second.touched) oldest = it;
  }
  if (oldest == copies_.end()) return false;
  if (oldest->second.partial) agent_.spawn(remove(std::move(oldest->second.partial)));
  copies_.erase(oldest);
  return true;
}

asio::awaitable<void> Copier::work_off(Copy& copy, std::string token) {
  {
    Busy busy(copy.is_busy);
    while (!copy.waiting.empty()) {
      auto message = std::move(copy.waiting.front());
      copy.waiting.pop_front();
      queued_bytes_ -= message.data.text().size();
      co_await handle(copy, std::move(message));
    }
  }
  if (copy.has_last) copies_.erase(token);
}

asio::awaitable<void> Copier::handle(Copy& copy, Message message) {
  auto data = message.data.json();
  RequestLog log(agent_.journal(), message.token, data ? **data : no_data);
  Result<CopyRequest> request = data ? read_copy_request(**data) : Result<CopyRequest>(Error{"cannot decode json"});
  if (request && request->status == CopyRequest::Status::end) copy.has_last = true;
  if (copy.is_ended) {
    // Refused while chunks were waiting: what is on the disk of it goes.
    if (copy.partial) co_await remove(std::exchange(copy.partial, {}));
    co_return;
  }
  if (!request) {
    co_await fail(copy, request.error(), log);
    co_return;
  }
  const auto path = partial_path(request->cache_dir, message.token);
  if (!copy.partial) end_other_tries(message.token, tries_prefix(message.token));
  if (!copy.partial || copy.partial->path() != path) copy.partial = std::make_shared<PartialFile>(path);
  Result<void> done;
  if (request->status == CopyRequest::Status::end) {
    done = co_await finish(copy, std::move(*request), log);
  } else {
    done = co_await take_chunk(copy, std::move(*request), message.token, log);
  }
  if (done) co_return;
  // What fails while we stop may fail because of that: its sender begins anew.
  Error why = done.error();
  if (is_stopping_) why.code = "stopping";
  co_await fail(copy, std::move(why), log);
}

void Copier::end_other_tries(const std::string& token, const std::string& prefix) {
  if (prefix.empty()) return;
  for (auto it = copies_.lower_bound(prefix); it != copies_.end() && it->first.starts_with(prefix);) {
    auto& [other, copy] = *it;
    if (other != token) copy.is_ended = true;
    it = other != token && !copy.is_busy ? copies_.erase(it) : std::next(it);
  }
}

asio::awaitable<Result<void>> Copier::take_chunk(Copy& copy, CopyRequest request, const std::string& token, const RequestLog& log) {
  auto is_new_cache = known_caches_.size() < copies_max && known_caches_.insert(request.cache_dir).second;
  auto append = [partial = copy.partial, request = std::move(request), prefix = tries_prefix(token), is_new_cache,
                 age = options_.copy_idle]() -> Result<std::uint64_t> {
    if (is_new_cache) remove_stale(request.cache_dir, age);
    if (request.offset == 0) {
      if (!prefix.empty()) remove_other_tries(partial->path(), prefix);
      const bool is_file = request.type == CopyRequest::Type::regular;
      auto room = is_file ? check_room(partial->path(), request.needs) : Result<void>{};
      if (room) room = check_room(request.destination, request.needs);
      if (!room) return room.error();
    }
    return partial->append(request.base64, request.size, request.offset);
  };
  auto bytes = co_await agent_.blocking(std::move(append));
  if (!bytes) co_return Error{"process copy: " + bytes.error().message, bytes.error().code};
  json::object row;
  row["message"] = "process copy inprogress";
  row["bytes"] = *bytes;
  log.row(code::copy_chunk, std::move(row));
  co_return Result<void>{};
}

asio::awaitable<Result<void>> Copier::finish(Copy& copy, CopyRequest request, const RequestLog& log) {
  auto destination = request.destination;
  InPlace in_place{options_.overwrites_in_place, journal_folder(agent_.gorgone_config())};
  auto work = [partial = copy.partial, request = std::move(request), max_unpacked = options_.max_unpacked, in_place = std::move(in_place)] {
    return place(*partial, request, max_unpacked, in_place);
  };
  const Busy placing(copy.is_placed_now);
  // One at a time: unpacking thousands of files takes a thread of the pool for long.
  auto pass = co_await placing_.enter();
  auto notes = co_await agent_.blocking(std::move(work));
  if (!notes) co_return notes.error();
  copy.is_ended = true;
  if (copy.partial) co_await remove(std::exchange(copy.partial, {}));
  json::object row;
  row["message"] = "process copy finished successfully";
  for (const auto& note : notes->texts()) {
    if (!row.contains("warnings")) row["warnings"].emplace_array();
    row["warnings"].get_array().emplace_back(to_utf8(note));
    agent_.log().warning("Copy processing - {}", printable(note, 500));
  }
  log.row(code::finished, std::move(row));
  agent_.log().info("Copy processing - Copy to '{}' finished successfully", printable(destination, 500));
  co_return Result<void>{};
}

asio::awaitable<void> Copier::recover() {
  // Before anything else is put in place: it may be for the same file.
  auto pass = co_await placing_.enter();
  auto work = [folder = journal_folder(agent_.gorgone_config())] { return restore_overwritten(folder); };
  for (const auto& recovery : co_await agent_.blocking(std::move(work))) {
    if (recovery.is_restored)
      agent_.log().warning("Copy processing - {}", printable(recovery.text, 1000));
    else
      agent_.log().error("Copy processing - {}", printable(recovery.text, 1000));
  }
}

asio::awaitable<void> Copier::fail(Copy& copy, Error error, const RequestLog& log) {
  copy.is_ended = true;
  agent_.log().error("Copy processing - {}", printable(error.message, 500));
  json::object row;
  row["message"] = to_utf8(error.message);
  if (!error.code.empty()) row["error"] = error.code;
  log.row(code::failed, std::move(row));
  if (copy.partial) co_await remove(std::exchange(copy.partial, {}));
}

asio::awaitable<void> Copier::remove(std::shared_ptr<PartialFile> file) {
  auto work = [file = std::move(file)] {
    file->remove();
    return true;
  };
  co_await agent_.blocking(std::move(work));
}

asio::awaitable<void> Copier::stop() {
  is_stopping_ = true;
  std::vector<std::shared_ptr<PartialFile>> files;
  for (auto& [token, copy] : copies_) {
    // What comes by other ways is written down on its way and goes on after a restart; what has come whole is put in place.
    if (!copy.partial || copy.is_placed_now || tries_prefix(token).empty()) continue;
    copy.is_ended = true;
    files.push_back(std::move(copy.partial));
    copy.partial.reset();
  }
  for (auto& file : files) co_await remove(std::move(file));
}

asio::awaitable<void> Copier::watch_idle() {
  auto pause = std::min<std::chrono::seconds>(std::chrono::seconds(60), options_.copy_idle);
  asio::steady_timer timer(agent_.loop());
  for (;;) {
    timer.expires_after(pause);
    co_await timer.async_wait(asio::use_awaitable);
    co_await give_up_idle();
  }
}

asio::awaitable<void> Copier::give_up_idle() {
  auto oldest = Clock::now() - options_.copy_idle;
  std::vector<std::shared_ptr<PartialFile>> files;
  for (auto it = copies_.begin(); it != copies_.end();) {
    auto& [token, copy] = *it;
    if (copy.is_busy || copy.touched > oldest) {
      ++it;
      continue;
    }
    if (!copy.is_ended) {
      RequestLog(agent_.journal(), token, no_data)
          .row(code::failed, fmt::format("process copy given up: nothing has come for {} s", options_.copy_idle.count()));
    }
    if (copy.partial) files.push_back(std::move(copy.partial));
    it = copies_.erase(it);
  }
  for (auto& file : files) co_await remove(std::move(file));
}

}  // namespace gorgone::action
