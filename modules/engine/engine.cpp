// engine: gives external commands to the monitoring engine through its named pipe (ENGINECOMMAND).

#include <gorgone/await_callback.hpp>
#include <gorgone/database_name.hpp>
#include <gorgone/module.hpp>

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
    Work work{{}, std::move(*request), json::value(*member(**data, "content")), {}};
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
    std::size_t lines = 0;  // written
  };

  /// From its turn to its rows, which are in the journal before the next one has its turn.
  asio::awaitable<void> serve(CommandPipe& pipe, Work& work, bool is_silent) {
    const auto since = CommandPipe::Clock::now();
    const auto turn = co_await pipe.enter();
    auto outcome = co_await pipe.open(since);
    if (outcome) outcome = co_await write(pipe, work);
    if (!outcome)
      agent_.log().error("{}: {} of {} lines were written", printable(outcome.error().message, 500), work.lines, work.request.lines.size());
    std::vector<NewRow> rows;
    if (!is_silent) rows = rows_of(work, outcome);
    co_await store(std::move(rows));
  }

  asio::awaitable<Result<void>> write(CommandPipe& pipe, Work& work) {
    auto* slot = progress_ && !work.ticket.delivery.empty() ? progress_->take(work.ticket.delivery) : nullptr;
    if (slot == nullptr) co_await agent_.begin(work.ticket);
    const std::shared_ptr<void> left(nullptr, [this, slot](void*) {
      if (slot != nullptr) progress_->leave(slot);
    });
    const auto& lines = work.request.lines;
    std::string doubt;
    if (slot != nullptr) {
      work.lines = std::min(slot->written(), lines.size());
      const auto until = std::min(slot->about_to(), lines.size());
      if (until > work.lines) {
        doubt =
            fmt::format("the daemon was ended while it wrote lines {} to {}: they may have been written or not, and are not written again",
                        work.lines + 1, until);
        if (lines[work.lines].size() > PIPE_BUF) pipe.assume_torn();
        slot->written(until);
        work.lines = until;
      }
    }
    const CommandPipe::Told about_to = [slot](std::size_t end) {
      if (slot != nullptr) slot->about_to(end);
    };
    const CommandPipe::Told written = [slot, &work](std::size_t end) {
      if (slot != nullptr) slot->written(end);
      work.lines = end;
    };
    auto outcome = co_await pipe.write(lines, work.lines, about_to, written);
    if (outcome && !doubt.empty()) outcome = Error{std::move(doubt)};
    co_return outcome;
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
    for (std::size_t index = 0; index < request.commands.size() && request.ends[index] <= work.lines; ++index) {
      json::object submitted;
      submitted["message"] = "command has been submitted";
      submitted["command"] = request.commands[index];
      rows.push_back(NewRow{token, code::finished, to_text(json::value(std::move(submitted)))});
    }
    if (outcome) {
      rows.push_back(row_of(token, code::finished, "commands processing has finished successfully"));
    } else {
      const auto why = fmt::format("{} ({} of {} lines were written)", outcome.error().message, work.lines, request.lines.size());
      rows.push_back(row_of(token, code::failed, why));
    }
    return rows;
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
