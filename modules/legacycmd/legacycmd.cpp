// legacycmd: what Centreon's web application writes to its spool, or sends by the API, on its way to the pollers.

#include <gorgone/module.hpp>

#include "follower.hpp"
#include "lanes.hpp"
#include "pollers.hpp"
#include "requests.hpp"
#include "spool.hpp"
#include "worker.hpp"

namespace gorgone::legacycmd {
namespace {

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

class LegacyCmd final : public Module {
 public:
  LegacyCmd(Agent& agent, Settings settings) : agent_(agent), settings_(std::move(settings)) {}

  asio::awaitable<Result<void>> start() override {
    const auto access = database_access(agent_.centreon_config());
    if (!access) co_return access.error();
    Database::Limits limits;
    limits.statement = std::chrono::seconds(10);
    database_ = std::make_unique<Database>(agent_, *access, limits);
    pollers_ = std::make_unique<Pollers>(agent_, *database_, std::chrono::seconds(settings_.integer("pollers_interval")));
    Paths paths{settings_.text("cache_dir"), settings_.text("cache_dir_trap"), settings_.text("remote_dir")};
    follower_ = std::make_unique<Follower>(agent_, *pollers_);
    lanes_ = std::make_unique<Lanes>(agent_, *pollers_, *follower_, std::move(paths));
    worker_ = std::make_unique<Worker>(agent_, without_slash(settings_.text("centreon_dir")), settings_.text("tpapi_clapi"),
                                       std::chrono::seconds(settings_.integer("worker_timeout")));
    requests_ = std::make_unique<Requests>(agent_, *database_, *lanes_, *worker_, spool_options().queued_bytes_max);
    spool_ = std::make_unique<Spool>(agent_, *lanes_, spool_options());
    agent_.spawn(pollers_->run());
    agent_.spawn(follower_->run());
    agent_.spawn(spool_->run());
    co_return Result<void>{};
  }

  asio::awaitable<void> handle(Message message) override {
    if (message.action == "CENTREONCOMMAND") return requests_->commands(std::move(message));
    if (message.action == "STARTWORKER") return requests_->start_worker(std::move(message));
    return requests_->import_task(std::move(message));
  }

  asio::awaitable<void> stop() override {
    co_await lanes_->settle();
    follower_->settle();
  }

 private:
  Spool::Options spool_options() const {
    Spool::Options options;
    options.disk.cmd_file = settings_.text("cmd_file");
    options.disk.cmd_dir = without_slash(settings_.text("cmd_dir"));
    options.disk.marks_lines = !settings_.boolean("dirty_mode");
    options.disk.bulk.lines = static_cast<std::size_t>(settings_.integer("bulk_external_cmd"));
    options.disk.bulk.is_sequential = settings_.boolean("bulk_external_cmd_sequential");
    options.rescan = std::chrono::seconds(settings_.integer("rescan_interval"));
    options.queued_bytes_max = static_cast<std::size_t>(settings_.integer("max_queued_bytes"));
    return options;
  }

  Agent& agent_;
  Settings settings_;
  // In this order, for the later ones hold the earlier ones.
  std::unique_ptr<Database> database_;
  std::unique_ptr<Pollers> pollers_;
  std::unique_ptr<Follower> follower_;
  std::unique_ptr<Lanes> lanes_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<Requests> requests_;
  std::unique_ptr<Spool> spool_;
};

ModuleInfo info() {
  using enum OptionType;
  ModuleInfo info;
  info.name = "legacycmd";
  info.help =
      "Takes the commands that Centreon's web application writes to its spool, one file and a folder of files, and sends them to the "
      "pollers. A line is taken off the disk when its messages are in the outbox; each is sent once, however often the daemon is killed.";
  info.schema = {
      Option{"cmd_file", path, "/var/lib/centreon/centcore.cmd", "the spool file"},
      Option{"cmd_dir", path, "/var/lib/centreon/centcore/", "the spool's folder: every file in it but those whose names begin with a dot"},
      Option{"rescan_interval", integer, "10", "how often the spool is looked at although nothing was told of it"}.in("seconds").range(
          1, 3600),
      Option{"dirty_mode", boolean, "false",
             "do not mark the lines that are done by a \"-\" at their start; what is done is remembered either way"},
      Option{"bulk_external_cmd", integer, "50", "how many external commands of one poller go out as one message"}.range(1, 10000),
      Option{"bulk_external_cmd_sequential", boolean, "true",
             "send the external commands before any other command to the same poller that stands behind them"},
      Option{"max_queued_bytes", integer, "67108864",
             "how much of the spool is held in memory; the rest waits on the disk, and what the API sends is refused as busy"}
          .in("bytes")
          .range(1048576, 17179869184.0),
      Option{"pollers_interval", integer, "60", "how often the pollers' data is read from the database when no line needs it"}
          .in("seconds")
          .range(1, 86400),
      Option{"cache_dir", path, "/var/cache/centreon/", "where the web application puts the configurations of the pollers"},
      Option{"cache_dir_trap", path, "/etc/snmp/centreon_traps/", "where it puts their databases of traps"},
      Option{"remote_dir", path, "/var/lib/centreon/remote-data/", "where the data for a remote goes, on the remote"},
      Option{"centreon_dir", path, "/usr/share/centreon", "where Centreon is installed, for its worker"},
      Option{"tpapi_clapi", text, "clapi", "the entry of `tpapi` with the user name and password of Centreon's worker"},
      Option{"worker_timeout", integer, "3600", "how long the worker may run"}.in("seconds").range(1, 86400),
      Option{"buffer_size", integer, "", "of a deployed daemon"}.ignored(),
  };
  info.actions = {{"CENTREONCOMMAND", "POST", "/centreon/legacycmd/command"}, {"ADDIMPORTTASKWITHPARENT"}, {"STARTWORKER"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> {
    return std::make_unique<LegacyCmd>(agent, std::move(settings));
  };
  return info;
}

}  // namespace
}  // namespace gorgone::legacycmd

GORGONE_MODULE(gorgone::legacycmd::info)
