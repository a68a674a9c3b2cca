#include "pollers.hpp"

namespace gorgone::legacycmd {
namespace {

// After a failure; somebody who waits has it tried sooner.
constexpr auto tried_again_after = std::chrono::seconds(5), tried_again_if_wanted = std::chrono::seconds(1);
constexpr auto asked_again_if_wanted = std::chrono::milliseconds(200);
// While the database is away the lines that would like to know what is in it now are not held up each.
constexpr auto away_for = std::chrono::seconds(10), patience = std::chrono::seconds(3);

constexpr const char* pollers_sql =
    "SELECT nagios_server.id, nagios_server.ns_activate, cfg_nagios.command_file, cfg_nagios.cfg_dir, "
    "nagios_server.centreonbroker_cfg_path, nagios_server.snmp_trapd_path_conf, nagios_server.engine_start_command, "
    "nagios_server.engine_stop_command, nagios_server.engine_restart_command, nagios_server.engine_reload_command, "
    "nagios_server.broker_reload_command, nagios_server.init_script_centreontrapd, nagios_server.name "
    "FROM nagios_server JOIN cfg_nagios ON cfg_nagios.nagios_server_id = nagios_server.id AND cfg_nagios.nagios_activate = '1' "
    "ORDER BY cfg_nagios.nagios_id DESC";
constexpr const char* characters_sql = "SELECT `value` FROM options WHERE `key` = 'gorgone_illegal_characters'";

Poller poller_of(const DatabaseTable::Row& row) {
  auto text = [&row](std::size_t column) { return row[column].value_or(""); };
  Poller poller;
  poller.is_active = text(1) == "1";
  poller.command_file = text(2);
  poller.cfg_dir = text(3);
  poller.broker_cfg_dir = text(4);
  poller.traps_dir = text(5);
  poller.engine_start = text(6);
  poller.engine_stop = text(7);
  poller.engine_restart = text(8);
  poller.engine_reload = text(9);
  poller.broker_reload = text(10);
  poller.traps_service = text(11);
  poller.name = text(12);
  return poller;
}

}  // namespace

Pollers::Pollers(Agent& agent, Database& database, std::chrono::seconds interval)
    : agent_(agent), database_(database), interval_(interval), wanted_(agent.loop()), ended_(agent.loop()) {}

asio::awaitable<bool> Pollers::read() {
  const std::string pollers_query = pollers_sql, characters_query = characters_sql;
  auto pollers = co_await database_.query(pollers_query);
  auto characters = Result<DatabaseTable>(Error{});
  if (pollers) characters = co_await database_.query(characters_query);
  // Not even the central is in it: it is being restored. Nobody is unknown for that.
  if (pollers && pollers->rows.empty())
    pollers = Error{"table nagios_server has no server with an active configuration in cfg_nagios, expected the central at least"};
  const auto& failed = pollers ? characters : pollers;
  if (!failed) {
    tell_away(failed.error().message);
    co_return false;
  }
  tell_back();
  pollers_.clear();
  for (const auto& row : pollers->rows) pollers_.insert_or_assign(row[0].value_or(""), poller_of(row));
  if (!characters->rows.empty()) illegal_characters_ = characters->rows[0][0].value_or("");
  co_return true;
}

// A row where it begins and one where it ends, under one token, which the log names.
void Pollers::tell_away(const std::string& why) {
  if (std::exchange(is_away_, true)) return;
  away_token_ = new_token();
  const auto text = "the pollers' data cannot be read from the configuration database: " + why;
  agent_.log().error("{} token={}", text, away_token_);
  agent_.journal().write(NewRow{away_token_, code::failed, to_text(json::value(json::object{{"message", to_utf8(text)}}))});
}

void Pollers::tell_back() {
  if (!std::exchange(is_away_, false)) return;
  const std::string text = "the pollers' data can be read again";
  agent_.log().info("{} token={}", text, away_token_);
  agent_.journal().write(NewRow{away_token_, code::finished, to_text(json::value(json::object{{"message", text}}))});
}

asio::awaitable<void> Pollers::run() {
  for (;;) {
    is_wanted_ = false;
    const auto began = Clock::now();
    const bool is_read = co_await read();
    asked_ = began;
    if (is_read) read_ = began;
    ended_.notify();
    const auto ended = Clock::now();
    const Clock::duration soonest = is_read ? Clock::duration(asked_again_if_wanted) : Clock::duration(tried_again_if_wanted);
    const Clock::duration latest = is_read ? Clock::duration(interval_) : Clock::duration(tried_again_after);
    while (Clock::now() < ended + (is_wanted_ ? soonest : latest)) {
      const auto until = ended + (is_wanted_ ? soonest : latest);
      co_await wanted_.wait(until);
    }
  }
}

std::string Pollers::name_of(const std::string& id) const {
  const auto known = pollers_.find(id);
  return known == pollers_.end() ? std::string() : known->second.name;
}

asio::awaitable<std::optional<Poller>> Pollers::find(std::string id, bool may_be_old, Clock::time_point since) {
  const auto patient_until = Clock::now() + patience;
  for (;;) {
    const auto known = pollers_.find(id);
    if (known != pollers_.end()) {
      const bool is_fresh = (read_ && *read_ >= since) || (is_away_ && *asked_ + away_for >= Clock::now());
      if (may_be_old || is_fresh || Clock::now() >= patient_until) co_return known->second;
    } else if (read_ && *read_ >= since) {
      co_return std::nullopt;
    }
    want();
    const auto deadline = known != pollers_.end() ? patient_until : Clock::time_point::max();
    co_await ended_.wait(deadline);
  }
}

}  // namespace gorgone::legacycmd
