#include "core/daemon.hpp"

#include <sys/resource.h>
#include <unistd.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <zmq.hpp>

#include "core/config/agent_config.hpp"
#include "core/config/core_schema.hpp"
#include "core/config/document.hpp"
#include "core/core_actions.hpp"
#include "core/deliveries.hpp"
#include "core/host/module_host.hpp"
#include "core/host/module_library.hpp"
#include "core/journal/journal_file.hpp"
#include "core/journal/lock.hpp"
#include "core/key_setup.hpp"
#include "core/last_abort.hpp"
#include "core/log_answers.hpp"
#include "core/log_file.hpp"
#include "core/memory_trimmer.hpp"
#include "core/net/listener.hpp"
#include "core/token_listeners.hpp"

namespace gorgone {
namespace {

constexpr int pool_threads = 2, computing_threads = 1, crypto_threads = 1;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr unsigned last_steps_s = 60;  // the report of what has leaked is among them
#else
constexpr unsigned last_steps_s = 5;
#endif

// libzmq reads into 8 kB for each connection. To hand messages on without a copy it keeps 10 kB more of them, for each node that dials;
// small messages, which most are, gain nothing by it. The option is one of every libzmq from 4.3 on, its name stands among the drafts only.
zmq::context_t lean_context() {
  constexpr int zero_copy_recv = 10;
  zmq::context_t context;
  zmq_ctx_set(context.handle(), zero_copy_recv, 0);
  return context;
}

// As many files and sockets as the machine allows: each node takes some.
void raise_limits() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

// Which modules_dir counts: the command line's, the configuration's, the one beside the program.
std::filesystem::path modules_dir_of(const DaemonOptions& options, const Settings& core) {
  if (!options.modules_dir.empty()) return options.modules_dir;
  const auto configured = core.text("modules_dir");
  return configured.empty() ? standard_modules_dir() : std::filesystem::path(configured);
}

std::string hostname_of(const Settings& core) {
  if (core.has("hostname")) return core.text("hostname");
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

net::ListenerSpec listener_spec(const Settings& core, const net::KeyRing& keys, const std::string& hostname) {
  net::ListenerSpec spec;
  spec.path = core.text("external_com_path");
  spec.handover = core.boolean("external_com_zmq_router_handover");
  spec.tcp_keepalive = core.boolean("external_com_zmq_tcp_keepalive") ? 1 : 0;
  spec.ipv6 = core.boolean("ipv6");
  spec.max_message_size = core.integer("max_message_size");
  spec.max_strangers_bytes = core.integer("max_strangers_bytes");
  spec.max_strangers = static_cast<std::size_t>(core.integer("max_strangers"));
  spec.sessions.max_unused = static_cast<std::size_t>(core.integer("max_unused_sessions"));
  spec.max_unread_bytes = static_cast<std::size_t>(core.integer("max_unread_bytes"));
  spec.sessions.hostname = hostname;
  spec.sessions.pubkey_pem = keys.public_key.pem();
  spec.sessions.keysize = static_cast<int>(core.integer("external_com_keysize"));
  spec.sessions.padding = core.boolean("external_com_padding") ? 1 : 0;
  spec.sessions.rotation_s = core.integer("external_com_rotation") * 60;
  return spec;
}

// An Error where no listener can have the address. ZeroMQ would take port 65537 for 1.
Result<void> check_listening(const Settings& core) {
  if (core.text("external_com_type").empty()) return {};
  const auto path = core.text("external_com_path");
  const auto colon = path.rfind(':');
  const auto port = std::string_view(path).substr(colon == path.npos ? path.size() : colon + 1);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  const bool is_number = error == std::errc{} && end == port.data() + port.size();
  if (colon != 0 && colon != path.npos && (port == "*" || (is_number && number <= 65535))) return {};
  const bool is_too_high = error == std::errc::result_out_of_range || (is_number && number > 65535);
  const auto why = colon == path.npos ? "there is no port" : is_too_high ? "ports end at 65535" : "that is no address and port";
  return Error{
      fmt::format("gorgonecore.external_com_path: cannot listen on \"{}\": {}; expected address:port, such as \"*:5556\"", path, why)};
}

// What is always loaded although configurations need not list it. An entry that is not enabled keeps content out, as it says, but not
// dbcleaner: deployed daemons load that one all the same.
void add_standard_modules(std::vector<AgentConfig::ModuleEntry>& modules) {
  for (const std::string name : {"dbcleaner", "content"}) {
    const bool is_listed = std::any_of(modules.begin(), modules.end(),
                                       [&](const auto& entry) { return entry.library == name && (entry.enabled || name == "content"); });
    if (is_listed) continue;
    AgentConfig::ModuleEntry entry;
    entry.name = entry.library = name;
    entry.package = "gorgone::modules::core::" + name + "::hooks";
    modules.push_back(std::move(entry));
  }
}

// Members are destroyed from the last to the first: each uses only those before it.
class Daemon {
 public:
  Daemon(AgentConfig config, std::shared_ptr<const net::KeyRing> keys, std::filesystem::path modules_dir)
      : config_(std::move(config)),
        keys_(std::move(keys)),
        hostname_(hostname_of(config_.core)),
        journal_(loop_, database_path(config_.core),
                 config_.core.text("gorgone_db_synchronous") == "full" ? Tables::Access::write_through : Tables::Access::write),
        router_(journal_),
        listeners_(loop_, journal_, router_),
        deliveries_(loop_, journal_, router_),
        log_waiters_(loop_, journal_),
        log_answers_(
            loop_, journal_, [this](std::function<void()> work) { asio::post(computing_, std::move(work)); },
            [this] { return router_.own_id(); }, static_cast<std::size_t>(config_.core.integer("max_log_answer_size"))),
        listener_(loop_, zmq_, keys_, journal_,
                  {[this](std::function<void()> work) { asio::post(crypto_, std::move(work)); },
                   [this](std::function<void()> work) { asio::post(computing_, std::move(work)); }},
                  [this](Message message, Reply reply) { router_.submit(std::move(message), std::move(reply)); }),
        modules_dir_(std::move(modules_dir)),
        modules_(Services{loop_, pool_, crypto_, journal_, log_answers_, router_, parents_, listener_, keys_, config_, hostname_},
                 modules_dir_) {}

  int run() {
    log_.info("gorgoned " GORGONE_VERSION " starting: id={} hostname={} pid={}", config_.core.text("id"), hostname_, getpid());
    router_.set_own_id(config_.core.text("id"));
    add_core_actions({loop_, router_, modules_, journal_, listeners_, log_waiters_, log_answers_, keys_->public_key.thumbprint(), hostname_,
                      config_.core.has("id"), journal_.id(), [this](const Origin& origin) { return is_node(origin); },
                      config_.core.integer("max_message_size"), config_.core.integer("max_answer_size")});
    router_.set_deliveries([this](const Message& message, Reply reply) { deliveries_.take(message, std::move(reply)); });
    listener_as_parents_ = parents_.add([this](const Message& message) { listener_.tell_parents(message); });
    signals_.add(SIGUSR1);
    await_signals();
    if (const auto checked = check_listening(config_.core); !checked) {
      log_.error("{}", checked.error().message);
      return 1;
    }
    if (!config_.core.text("external_com_type").empty()) {
      const auto listening = listener_.start(listener_spec(config_.core, *keys_, hostname_));
      if (!listening) {
        log_.error("{}", listening.error().message);
        return 1;
      }
    }
    journal_.write(NewRow{new_token(), code::started_daemon, R"({"message":"gorgoned is started"})"});
    asio::co_spawn(loop_, start_modules(), [this](const std::exception_ptr& error) {
      if (error) log_.error("the modules were not all started: an unexpected failure");
      deliveries_.resume();
    });
    trimmer_.start();
    loop_.run();
    // All that is owed to anybody is written; a job that hangs on a disk does not keep the process.
    std::signal(SIGALRM, [](int) {
      log_from_signal(Severity::warning, "a job that does not end, as on a disk that hangs, is left behind");
      _exit(0);
    });
    journal_.close();
    log_.info("gorgoned stopped");
    flush_log();
    end_well_where_libzmq_aborts();
    alarm(last_steps_s);
    pool_.join();
    computing_.join();
    crypto_.join();
    return 0;
  }

 private:
  // By its session with our listener, or by a WebSocket of the proxy.
  bool is_node(const Origin& origin) const {
    return origin.kind == Origin::Kind::client && (listener_.is_node(origin.id) || origin.id.starts_with("wss-"));
  }

  asio::awaitable<void> start_modules() {
    add_standard_modules(config_.modules);
    std::vector<std::string> loaded;
    for (const auto& entry : config_.modules) {
      if (!entry.enabled) continue;
      if (const auto missing = lacking(entry, modules_dir_); !missing.empty()) {
        log_.warning("{}", missing);
        continue;
      }
      const auto outcome = modules_.load(entry);
      if (outcome)
        loaded.push_back(entry.name);
      else
        log_.error("module '{}' is not loaded: {}", entry.name, outcome.error().message);
    }
    // The door for clients opens last, when the nodes are known.
    std::stable_partition(loaded.begin(), loaded.end(), [this](const std::string& name) { return !modules_.serves_clients(name); });
    for (const auto& name : loaded) {
      if (router_.is_stopping()) co_return;
      co_await modules_.start_in_turn(name);
    }
    log_.info("started: {} modules", modules_.names().size());
  }

  void await_signals() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      if (signal == SIGHUP || signal == SIGUSR1) {
        reopen_log();
        log_.info("log file opened again");
        await_signals();
        return;
      }
      log_.info("signal {}: stopping", signal);
      asio::co_spawn(loop_, stop(), asio::detached);
    });
  }

  // Everything within gorgonecore.timeout; a module that hangs does not keep the process.
  asio::awaitable<void> stop() {
    deadline_.expires_after(std::chrono::seconds(config_.core.integer("timeout")));
    deadline_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      log_.error("not stopped within gorgonecore.timeout, {} s: leaving", config_.core.integer("timeout"));
      flush_log();
      _exit(1);
    });
    listeners_.clear();
    log_waiters_.clear();
    router_.stop();
    co_await modules_.stop_all();
    deadline_.cancel();
    loop_.stop();
  }

  Log log_{"core"};
  AgentConfig config_;
  std::shared_ptr<const net::KeyRing> keys_;
  std::string hostname_;
  asio::io_context loop_{1};
  asio::thread_pool pool_{pool_threads}, computing_{computing_threads}, crypto_{crypto_threads};
  zmq::context_t zmq_ = lean_context();
  JournalFile journal_;
  Router router_;
  TokenListeners listeners_;
  Deliveries deliveries_;
  LogWaiters log_waiters_;
  LogAnswers log_answers_;
  Parents parents_;
  std::shared_ptr<void> listener_as_parents_;
  net::Listener listener_;
  std::filesystem::path modules_dir_;
  ModuleHost modules_;
  asio::signal_set signals_{loop_, SIGTERM, SIGINT, SIGHUP};
  asio::steady_timer deadline_{loop_};
  MemoryTrimmer trimmer_{loop_, computing_};
};

// True where one of them is an error; each is told.
bool tell(const std::vector<Problem>& problems, const std::function<void(const Problem&)>& to) {
  bool failed = false;
  for (const auto& problem : problems) {
    to(problem);
    failed = failed || problem.severity == Problem::Severity::error;
  }
  return failed;
}

}  // namespace

int run_daemon(const DaemonOptions& options) {
  const Log log("core");
  auto to_log = [&](const Problem& problem) {
    if (problem.severity == Problem::Severity::error)
      log.error("{}", problem.message);
    else
      log.warning("{}", problem.message);
  };
  raise_limits();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is a full disk: an error of write(), not the end
  std::vector<Problem> problems;
  auto config = load_agent_config(options.config, problems);
  if (!config) {
    log.error("{}", config.error().message);
    return 1;
  }
  tell(problems, to_log);
  problems.clear();
  // What is wrong with a module or an include costs that part; what is wrong with the core would be a guess about its security.
  const auto* core = config->gorgone() ? config->gorgone()->find("gorgonecore") : nullptr;
  const bool failed = core && tell(check(*core, core_schema(), "gorgonecore"), [](const Problem&) {});
  auto keys = load_key_ring(config->core, true, problems);
  tell(problems, to_log);
  if (!keys) log.error("{}", keys.error().message);
  if (failed || !keys) {
    log.error("not started: see above, or run gorgoned --check --config {}", options.config);
    return 1;
  }
  const auto locked = lock_database(database_path(config->core));
  if (!locked) {
    log.error("{}", locked.error().message);
    return 1;
  }
  const auto modules_dir = modules_dir_of(options, config->core);
  Daemon daemon(std::move(*config), *keys, modules_dir);
  try {
    return daemon.run();
  } catch (const std::exception& failure) {
    // A bug. What is half done cannot be taken apart in order.
    log.error("ended by an unexpected failure: {}", failure.what());
    flush_log();
    _exit(1);
  }
}

int check_configuration(const DaemonOptions& options) {
  std::vector<Problem> problems;
  std::string without;
  const auto config = load_agent_config(options.config, problems);
  if (!config) {
    problems.push_back({Problem::Severity::error, config.error().message});
  } else {
    const auto keys = load_key_ring(config->core, false, problems);
    if (!keys) problems.push_back({Problem::Severity::error, keys.error().message});
    const auto listening = check_listening(config->core);
    if (!listening) problems.push_back({Problem::Severity::error, listening.error().message});
    const auto modules_dir = modules_dir_of(options, config->core);
    for (const auto& entry : config->modules) {
      if (!entry.enabled) continue;
      if (auto missing = lacking(entry, modules_dir); !missing.empty()) {
        problems.push_back({Problem::Severity::warning, "modules." + entry.name + ": " + missing});
        without += (without.empty() ? "" : ", ") + printable(entry.name);
        continue;
      }
      const auto info = open_module(modules_dir, entry.library);
      if (!info) {
        problems.push_back(
            {Problem::Severity::error, "modules." + entry.name + ": " + info.error().message + " (" + entry.where.text() + ")"});
        continue;
      }
      for (auto& problem : check_module(entry, **info)) problems.push_back(std::move(problem));
    }
  }
  const bool failed = tell(problems, [](const Problem& problem) {
    std::cerr << (problem.severity == Problem::Severity::error ? "error: " : "warning: ") << problem.message << '\n';
  });
  const auto sound = without.empty() ? "fine" : "usable, without: " + without;
  std::cerr << options.config << ": " << (failed ? "not usable as it is" : sound) << '\n';
  return failed ? 1 : 0;
}

int document_modules(const DaemonOptions& options, const std::string& directory) {
  auto write = [&](const std::string& name, const std::string& page) {
    std::ofstream(std::filesystem::path(directory) / (name + ".md"), std::ios::trunc) << page;
  };
  std::filesystem::create_directories(directory);
  write("gorgonecore",
        document_schema("gorgonecore", "The core's own options, under `gorgone: gorgonecore:`.", core_schema(), core_actions()));
  const auto modules_dir = options.modules_dir.empty() ? standard_modules_dir() : std::filesystem::path(options.modules_dir);
  for (const auto& name : modules_in(modules_dir)) {
    const auto info = open_module(modules_dir, name);
    if (!info) {
      std::cerr << info.error().message << '\n';
      return 1;
    }
    write((*info)->name, document_schema((*info)->name, (*info)->help, (*info)->schema, (*info)->actions));
  }
  return 0;
}

}  // namespace gorgone
