#include "requests.hpp"

namespace gorgone::legacycmd {
namespace {

constexpr std::size_t delivery_length = 32;
// A request is taken up again that long, as the proxy keeps a message at most.
constexpr std::int64_t kept_s = 604800;
constexpr std::size_t commands_max = 10000;
// An import waits that long for the database.
constexpr auto database_pause = std::chrono::seconds(5);
constexpr auto database_awaited = std::chrono::hours(1);

Result<Line> read_command(const json::value& entry, std::size_t index) {
  Line line{text_of(member(entry, "command")).value_or(""), text_of(member(entry, "target")).value_or(""),
            text_of(member(entry, "param")).value_or("")};
  const auto where = fmt::format("at array index '{}'", index);
  if (line.command.empty()) return Error{"need command argument " + where};
  if (!is_known_command(line.command)) return Error{fmt::format("unknown command '{}' {}", printable(line.command), where)};
  if (!needs_poller(line)) return line;
  if (line.target.empty()) return Error{"need target argument " + where};
  // As it would be read from the spool, but for line breaks: there each would begin a line.
  auto parsed = parse_line(line.command + ':' + line.target + ':' + line.param);
  if (!parsed)
    return Error{fmt::format("{} {}: expected the id of a poller as target{}", line.command, where,
                             line.command == "EXTERNALCMD" ? " and a param" : "")};
  return std::move(*parsed);
}

Result<std::vector<Line>> read_commands(const json::value& data) {
  const auto* content = member(data, "content");
  if (content == nullptr || !content->is_array() || content->get_array().empty())
    return Error{"expected array, found something else or nothing as content"};
  const auto& list = content->get_array();
  if (list.size() > commands_max) return Error{fmt::format("expected at most {} commands, found {}", commands_max, list.size())};
  std::vector<Line> lines;
  for (const auto& entry : list) {
    auto line = read_command(entry, lines.size());
    if (!line) return line.error();
    lines.push_back(std::move(*line));
  }
  return lines;
}

}  // namespace

struct Requests::Over {
  explicit Over(asio::io_context& loop) : changed(loop) {}
  Signal changed;
  bool is_true = false;
};

void Requests::row(const std::string& token, int code, std::string_view message) const {
  agent_.journal().write(NewRow{token, code, to_text(json::value(json::object{{"message", message}}))});
}

// It has been under way before the daemon ended.
asio::awaitable<bool> Requests::has_begun(std::string token) {
  HistoryFilter filter;
  filter.token = std::move(token);
  filter.code = code::begun;
  const auto rows = co_await agent_.journal().read(std::move(filter));
  co_return rows && !rows->empty();
}

asio::awaitable<void> Requests::commands(Message message) {
  const auto data = message.data.json();
  auto lines = data ? read_commands(**data) : Result<std::vector<Line>>(data.error());
  if (!lines) {
    row(message.token, code::failed, lines.error().message);
    co_return;
  }
  const bool goes_on = co_await has_begun(message.token);
  if (!goes_on && lanes_.bytes() > queued_bytes_max_) {
    row(message.token, code::failed,
        fmt::format("busy: {} bytes of commands wait for their pollers already, at most {} are held (max_queued_bytes)", lanes_.bytes(),
                    queued_bytes_max_));
    co_return;
  }
  if (message.delivery.empty()) co_return keep(std::move(message));
  // Nothing of it is begun, so that it comes again after a stop or a kill: what it has sent by then is known by its ids.
  if (!goes_on) row(message.token, code::begun, "commands processing has started");
  auto over = std::make_shared<Over>(agent_.loop());
  give(message, std::move(*lines), over);
  while (!over->is_true) co_await over->changed.wait();
}

// To ourselves, as what comes from other nodes: it is written down, and comes back with an id.
void Requests::keep(Message message) {
  message.delivery = new_token().substr(0, delivery_length);
  message.target.clear();
  agent_.submit(wrap_delivery(message, kept_s), [this, token = message.token, alive = std::weak_ptr<bool>(alive_)](const Answer& answer) {
    if (answer.code != code::failed || alive.expired()) return;
    const auto why = answer.data.json();
    row(token, code::failed, why ? text_of(member(**why, "message")).value_or("refused") : "refused");
  });
}

void Requests::give(const Message& message, std::vector<Line> lines, std::shared_ptr<Over> all) {
  // Told when the last of them is done. Where they were dropped because the module stops nothing is: it comes again.
  struct State {
    Journal& journal;
    std::string token, failed = {};
    std::size_t open = 0;
    std::shared_ptr<Over> all;
    State(Journal& of, std::string with, std::size_t count, std::shared_ptr<Over> told)
        : journal(of), token(std::move(with)), open(count), all(std::move(told)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
      if (open > 0) return;
      const bool is_well = failed.empty();
      const std::string text = is_well ? "commands are accepted for their pollers" : "commands were refused: " + failed;
      journal.write(NewRow{token, is_well ? code::finished : code::failed, to_text(json::value(json::object{{"message", text}}))});
      all->is_true = true;
      all->changed.notify();
    }
  };
  auto state = std::make_shared<State>(agent_.journal(), message.token, lines.size(), std::move(all));
  auto over = [state](const Result<void>& outcome) {
    --state->open;
    if (!outcome) state->failed += (state->failed.empty() ? "" : "; ") + outcome.error().message;
  };
  for (std::size_t index = 0; index < lines.size(); ++index) {
    Job job;
    job.id = fmt::format("{:0>24.24}{:04x}", message.delivery, index);
    job.source = "CENTREONCOMMAND";
    job.token = message.token;
    job.unit.line = std::move(lines[index]);
    job.done = over;
    lanes_.add(std::move(job));
  }
}

asio::awaitable<void> Requests::start_worker(Message message) {
  co_await agent_.begin(message);
  row(message.token, code::begun, "commands processing has started");
  const bool is_run = co_await worker_.run(message.token);
  row(message.token, is_run ? code::finished : code::failed,
      is_run ? "commands processing has finished successfully" : "commands processing has finished with errors");
}

// Waits for a database that is away. As long as no statement was given to it nothing has happened: a daemon that ends meanwhile begins
// anew at its next start.
asio::awaitable<Result<std::uint64_t>> Requests::insert(Message message, std::int64_t parent) {
  const auto until = Signal::Clock::now() + database_awaited;
  asio::steady_timer timer(agent_.loop());
  for (bool is_told = false;; is_told = true) {
    std::string probe = "SELECT 1";
    const auto reached = co_await database_.query(std::move(probe));
    Error why;
    if (reached) {
      co_await agent_.begin(message);
      std::string statement = "INSERT INTO task (`type`, `status`, `parent_id`, `created_at`) VALUES ('import', 'pending', ?, NOW())";
      DatabaseTable::Row parameters;
      parameters.emplace_back(std::to_string(parent));
      auto inserted = co_await database_.change(std::move(statement), std::move(parameters));
      if (inserted) co_return inserted;
      why = inserted.error();
      if (why.code != "unreached" && why.code != "busy") co_return why;
    } else {
      why = reached.error();
      if (why.code == "statement") co_return why;
    }
    if (Signal::Clock::now() >= until) co_return why;
    if (!is_told) agent_.log().warning("the import of the remote's data waits for the database, at most 1 h: {}", why.message);
    timer.expires_after(database_pause);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> Requests::import_task(Message message) {
  const auto data = message.data.json();
  const auto* content = data ? member(**data, "content") : nullptr;
  const auto parent = content ? integer_of(member(*content, "parent_id")) : std::nullopt;
  const auto reload = content ? text_of(member(*content, "cbd_reload")).value_or("") : std::string();
  if (!parent) {
    row(message.token, code::failed, "expected {\"parent_id\": number, \"cbd_reload\": command} as content");
    co_return;
  }
  row(message.token, code::begun, "import of the remote's data has started");
  const auto inserted = co_await insert(message, *parent);
  if (!inserted) {
    const auto why = "cannot add the import task to the database: " + inserted.error().message;
    agent_.log().error("{} parent_id={}", why, *parent);
    row(message.token, code::failed, why);
    co_return;
  }
  const bool is_run = co_await worker_.run(message.token);
  if (!reload.empty()) {
    // With a token of its own: what becomes of it is not the end of the import.
    Message command;
    command.action = "COMMAND";
    command.token = new_token();
    json::array list;
    list.push_back(json::object{{"command", reload}});
    command.data = Payload(json::value(json::object{{"content", std::move(list)}}));
    agent_.submit(std::move(command));
  }
  row(message.token, is_run ? code::finished : code::failed,
      is_run ? "import of the remote's data has ended" : "the worker could not be run to its end");
}

}  // namespace gorgone::legacycmd
