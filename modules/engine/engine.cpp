// engine: gives external commands to the monitoring engine through its named pipe (ENGINECOMMAND).

#include <gorgone/await_callback.hpp>
#include <gorgone/database_name.hpp>
#include <gorgone/module.hpp>

#include <algorithm>
#include <climits>
#include <map>

#include "command_pipe.hpp"
#include "progress_file.hpp"
#include "request.hpp"

namespace gorgone::engine {
namespace {

bool is_switched_off(const json::value* logging) {
  return logging != nullptr && !logging->is_null() && (!truth_of(logging, true) || text_of(logging) == "false");
}

constexpr std::string_view ended_while_writing = "the daemon was ended while it wrote";

/// Lines of a request by their numbers from 0; none where both are the same.
struct Span {
  std::size_t first = 0, end = 0;
  Span within(const Span& other) const { return {std::max(first, other.first), std::max({first, other.first, std::min(end, other.end)})}; }
  std::size_t count() const { return end - first; }
  /// From 1, counted from `begin`: "3" or "3-5".
  std::string text(std::size_t begin) const {
    return count() == 1 ? std::to_string(end - begin) : fmt::format("{}-{}", first - begin + 1, end - begin);
  }
};

NewRow row_of(const std::string& token, int code, std::string_view message) {
  return NewRow{token, code, to_text(json::value(json::object{{"message", message}}))};
}

class Engine final : public Module {
 public:
  Engine(Agent& agent, const Settings& settings)
      : agent_(agent),
        command_file_(settings.text("command_file")),
        queue_bytes_(static_cast<std::size_t>(settings.integer("max_queued_bytes"))) {
    limits_.reader = std::chrono::seconds(settings.integer("reader_timeout"));
    limits_.room = std::chrono::seconds(settings.integer("write_timeout"));
  }

  asio::awaitable<Result<void>> start() override {
    auto opened = ProgressFile::open(journal_folder(agent_.gorgone_config()) + "/engine.progress");
    if (opened)
      progress_ = std::move(*opened);
    else
      agent_.log().warning("requests that a killed daemon has begun to write will not be taken up again: {}", opened.error().message);
    co_return Result<void>{};
  }

  asio::awaitable<void> handle(Message message) override {
    const auto data = message.data.json();
    const bool is_silent = data && is_switched_off(member(**data, "logging"));
    auto request = data ? read_request(**data, command_file_) : Result<Request>(data.error());
    std::string refusal;
    if (!request)
      refusal = request.error().message;
    else if (queued_ > 0 && queued_ + request->bytes > queue_bytes_)
      refusal = fmt::format("busy: {} bytes wait for command files already (modules.engine.max_queued_bytes)", queued_);
    if (!refusal.empty()) {
      if (!is_silent) agent_.journal().write(row_of(message.token, code::failed, refusal));
      co_return;
    }
    const Queued queued{queued_, request->bytes};
    Work work{{}, std::move(*request), json::value(*member(**data, "content"))};
    work.ticket.token = message.token;
    work.ticket.delivery = message.delivery;
    message.data = Payload();
    auto& pipe = pipe_of(work.request.command_file);
    co_await serve(pipe, work, is_silent);
    std::erase_if(pipes_, [](const auto& entry) { return entry.second->is_idle(); });
  }

 private:
  /// What waits, for as long as it waits.
  struct Queued {
    Queued(std::size_t& all, std::size_t own) : all_(all), own_(own) { all_ += own_; }
    Queued(const Queued&) = delete;
    Queued& operator=(const Queued&) = delete;
    ~Queued() { all_ -= own_; }
    std::size_t& all_;
    std::size_t own_;
  };

  CommandPipe& pipe_of(const std::string& file) {
    auto& pipe = pipes_[file];
    if (pipe) return *pipe;
    auto waits = [this, file] {
      agent_.log().warning("command file '{}' is missing or no engine reads from it: external commands wait, at most {} s",
                           printable(file, 500), std::chrono::duration_cast<std::chrono::seconds>(limits_.reader).count());
    };
    pipe = std::make_unique<CommandPipe>(agent_.loop(), file, limits_, std::move(waits));
    return *pipe;
  }

  struct Work {
    Message ticket;  // without its data
    Request request;
    json::value content;
    std::size_t lines = 0;  // the first that is not written
    Span in_doubt = {};     // of those before it: an ended daemon was writing them
    bool is_torn = false;   // it went out in part
    std::size_t written() const { return lines - in_doubt.count(); }
  };

  /// From its turn to its rows, which are in the journal before the next one has its turn.
  asio::awaitable<void> serve(CommandPipe& pipe, Work& work, bool is_silent) {
    const auto since = CommandPipe::Clock::now();
    const auto turn = co_await pipe.enter();
    auto* slot = progress_ && !work.ticket.delivery.empty() ? progress_->take(work.ticket.delivery) : nullptr;
    const std::shared_ptr<void> left(nullptr, [this, slot](void*) {
      if (slot != nullptr) progress_->leave(slot);
    });
    if (slot != nullptr) take_up(pipe, work, *slot);
    Result<void> outcome;
    const auto count = work.request.lines.size();
    // With nothing left to write nobody has to read either.
    if (work.lines < count || count == 0) outcome = co_await pipe.open(since);
    if (outcome) outcome = co_await write(pipe, work, slot);
    work.is_torn = !outcome && outcome.error().code == "torn";
    if (work.in_doubt.count() > 0) {
      auto doubt = fmt::format("{} lines {} to {}: they may have been written or not, and are not written again", ended_while_writing,
                               work.in_doubt.first + 1, work.in_doubt.end);
      outcome = Error{outcome ? std::move(doubt) : outcome.error().message + "; " + doubt};
    }
    if (!outcome) agent_.log().error("{}: {} of {} lines were written", printable(outcome.error().message, 500), work.written(), count);
    std::vector<NewRow> rows;
    if (!is_silent) rows = rows_of(work, outcome);
    co_await store(std::move(rows));
  }

  /// Where a daemon that was ended has left it, and what is in doubt since an earlier end. What is in doubt now is noted, for this one may
  /// be ended too; after several ends that is all from the first line in doubt to the last.
  static void take_up(CommandPipe& pipe, Work& work, ProgressFile::Slot& slot) {
    const auto& lines = work.request.lines;
    work.lines = std::min(slot.written(), lines.size());
    const auto until = std::min(slot.about_to(), lines.size());
    const bool was_in_doubt = slot.doubt_begin() < slot.doubt_end() && slot.doubt_end() <= lines.size();
    if (was_in_doubt) work.in_doubt = {slot.doubt_begin(), slot.doubt_end()};
    if (until <= work.lines) return;
    work.in_doubt = {was_in_doubt ? std::min(slot.doubt_begin(), work.lines) : work.lines, until};
    slot.in_doubt(work.in_doubt.first, work.in_doubt.end);
    if (lines[work.lines].size() > PIPE_BUF) pipe.assume_torn();
    work.lines = until;
  }

  asio::awaitable<Result<void>> write(CommandPipe& pipe, Work& work, ProgressFile::Slot* slot) {
    if (slot == nullptr) co_await agent_.begin(work.ticket);
    const CommandPipe::Told about_to = [slot](std::size_t end) {
      if (slot != nullptr) slot->about_to(end);
    };
    const CommandPipe::Told written = [slot, &work](std::size_t end) {
      if (slot != nullptr) slot->written(end);
      work.lines = end;
    };
    co_return co_await pipe.write(work.request.lines, work.lines, about_to, written);
  }

  asio::awaitable<void> store(std::vector<NewRow> rows) {
    auto start = [this, rows = std::move(rows)](auto done) mutable { agent_.journal().write(std::move(rows), std::move(done)); };
    co_await await_callback<Result<void>>(std::move(start));
  }

  static std::vector<NewRow> rows_of(const Work& work, const Result<void>& outcome) {
    const auto& request = work.request;
    const auto& token = work.ticket.token;
    std::vector<NewRow> rows;
    json::object begun;
    begun["message"] = "commands processing has started";
    begun["request_content"] = work.content;
    rows.push_back(NewRow{token, code::begun, to_text(json::value(std::move(begun)))});
    for (std::size_t index = 0; index < request.commands.size(); ++index) {
      const Span lines{index == 0 ? 0 : request.ends[index - 1], request.ends[index]};
      rows.push_back(outcome_of(work, request.commands[index], lines, outcome));
    }
    if (outcome) {
      rows.push_back(row_of(token, code::finished, "commands processing has finished successfully"));
    } else {
      const auto why = fmt::format("{} ({} of {} lines were written)", outcome.error().message, work.written(), request.lines.size());
      rows.push_back(row_of(token, code::failed, why));
    }
    return rows;
  }

  /// What has come of one command.
  static NewRow outcome_of(const Work& work, const std::string& command, const Span& lines, const Result<void>& outcome) {
    const auto in_doubt = lines.within(work.in_doubt);
    const auto missing = lines.within({work.lines, work.request.lines.size()});
    json::object row;
    if (in_doubt.count() + missing.count() == 0) {
      row["message"] = "command has been submitted";
      row["command"] = command;
      return NewRow{work.ticket.token, code::finished, to_text(json::value(std::move(row)))};
    }
    row["message"] = "command execution issue";
    row["command"] = command;
    row["lines"] = lines.count();
    row["written"] = lines.count() - in_doubt.count() - missing.count();
    if (in_doubt.count() > 0) row["in_doubt"] = in_doubt.text(lines.first);
    const bool is_torn = work.is_torn && missing.count() > 0 && missing.first == work.lines;
    const Span not_written{missing.first + (is_torn ? 1 : 0), missing.end};
    if (is_torn) row["in_part"] = Span{missing.first, missing.first + 1}.text(lines.first);
    if (not_written.count() > 0) row["not_written"] = not_written.text(lines.first);
    // As in the rows of COMMAND.
    const auto why = missing.count() > 0 ? outcome.error().message : fmt::format("{} this command", ended_while_writing);
    row["result"] = {{"exit_code", -1}, {"stdout", why}};
    return NewRow{work.ticket.token, code::failed, to_text(json::value(std::move(row)))};
  }

  Agent& agent_;
  std::string command_file_;
  CommandPipe::Limits limits_;
  std::size_t queue_bytes_, queued_ = 0;
  std::unique_ptr<ProgressFile> progress_;
  std::map<std::string, std::unique_ptr<CommandPipe>> pipes_;
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "engine";
  info.help =
      "Gives external commands to the monitoring engine through its named pipe. Requests to one pipe are written in the order they came; "
      "a pipe without a reader, or a full one, delays nothing else.";
  info.schema = {
      Option{"command_file", OptionType::path, "/var/lib/centreon-engine/rw/centengine.cmd", "the pipe of requests that name none"},
      Option{"reader_timeout", OptionType::integer, "300",
             "how long a pipe that is missing, or that no engine reads from, is waited for: an engine that starts anew reads its "
             "configuration first"}
          .in("seconds")
          .range(0, 3600),
      Option{"write_timeout", OptionType::integer, "60", "how long a full pipe is waited for while nothing is read from it"}
          .in("seconds")
          .range(1, 3600),
      Option{"max_queued_bytes", OptionType::integer, "67108864", "how much may wait for pipes; beyond it a request is refused as busy"}
          .in("bytes")
          .range(65536, 17179869184.0),
  };
  info.actions = {{"ENGINECOMMAND", "POST", "/centreon/engine/command"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<Engine>(agent, settings); };
  return info;
}

}  // namespace
}  // namespace gorgone::engine

GORGONE_MODULE(gorgone::engine::info)
