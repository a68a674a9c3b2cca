// dbcleaner: deletes old sessions and history rows, once an hour and on demand.

#include <gorgone/module.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <ctime>
#include <utility>

#include "clock_guard.hpp"

namespace {

using namespace gorgone;
using dbcleaner::ClockGuard;

constexpr std::int64_t instant_rows_s = 86400;
// Ids of messages that were run or passed on are kept for so long after the time in which they may come again.
constexpr std::int64_t delivery_ids_s = 86400;
// Whoever is refused for his key tries again within a minute: after a day nobody offers it any more.
constexpr std::int64_t refused_keys_s = 86400;

class DbCleaner final : public Module {
 public:
  DbCleaner(Agent& agent, const Settings& settings)
      : agent_(agent), sessions_s_(settings.integer("purge_sessions_time")), history_s_(settings.integer("purge_history_time")) {}

  asio::awaitable<Result<void>> start() override {
    agent_.spawn(every_hour());
    co_return Result<void>{};
  }

  asio::awaitable<void> handle(Message message) override {
    purge(message.token);
    co_return;
  }

 private:
  asio::awaitable<void> every_hour() {
    asio::steady_timer timer(agent_.loop());
    for (;;) {
      if (is_clock_sound()) purge({});
      timer.expires_after(std::chrono::hours(1));
      co_await timer.async_wait(asio::use_awaitable);
    }
  }

  bool is_clock_sound() {
    const auto wall = static_cast<std::int64_t>(std::time(nullptr));
    const auto steady = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
    const bool was_sound = std::exchange(is_sound_, guard_.is_sound(wall, steady));
    if (was_sound && !is_sound_)
      agent_.log().warning("nothing is purged: the clock was put forward by {} s; if it stays there, the purge goes on in a day",
                           guard_.put_forward_s());
    return is_sound_;
  }

  // `token` empty: nobody asked.
  void purge(const std::string& token) {
    const auto now = static_cast<std::int64_t>(std::time(nullptr));
    const Journal::Purge what{now - sessions_s_, now - history_s_, now - instant_rows_s, now - delivery_ids_s, now - refused_keys_s};
    auto& journal = agent_.journal();
    journal.purge(what, [&journal, token, log = agent_.log()](const Result<Journal::Purged>& purged) {
      if (!purged) log.error("purge failed: {}", purged.error().message);
      if (purged && purged->sessions + purged->rows > 0) log.info("purged {} sessions and {} history rows", purged->sessions, purged->rows);
      if (token.empty()) return;
      const std::string text =
          purged ? fmt::format("purged {} sessions and {} history rows", purged->sessions, purged->rows) : purged.error().message;
      journal.write(NewRow{token, purged ? code::finished : code::failed, to_text(json::value(json::object{{"message", text}}))});
    });
  }

  Agent& agent_;
  std::int64_t sessions_s_, history_s_;
  ClockGuard guard_;
  bool is_sound_ = true;
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "dbcleaner";
  info.help =
      "Deletes old sessions and history rows from the database, and keys that were refused a day ago, at the start and every hour. Always "
      "loaded; an entry in the configuration is needed only to change how long things are kept.";
  info.schema = {
      Option{"purge_sessions_time", OptionType::integer, "3600", "sessions of clients that were silent for so long are deleted"}
          .in("seconds")
          .range(60, 31536000),
      Option{"purge_history_time", OptionType::integer, "604800",
             "history rows are kept for so long; rows marked instant for a day at the most"}
          .in("seconds")
          .range(3600, 315360000),
  };
  info.actions = {{"DBCLEAN", "POST", "/core/dbcleaner/clean"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<DbCleaner>(agent, settings); };
  return info;
}

}  // namespace

GORGONE_MODULE(info)
