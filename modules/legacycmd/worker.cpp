#include "worker.hpp"

#include <gorgone/process.hpp>

#include <ctime>

namespace gorgone::legacycmd {
namespace {

constexpr std::string_view mask = "********", in_vault = "secret::";

std::string scalar_of(const ConfigValue& entry, std::string_view key) {
  const auto* value = entry.find(key);
  return value != nullptr && value->kind == ConfigValue::Kind::scalar ? value->scalar : std::string();
}

}  // namespace

Worker::Worker(Agent& agent, const std::string& centreon_dir, const std::string& entry, std::chrono::seconds timeout)
    : agent_(agent), entry_(entry), timeout_(timeout) {
  const auto* list = agent.gorgone_config().find("tpapi");
  if (list != nullptr)
    for (const auto& one : list->list) {
      if (scalar_of(one, "name") != entry) continue;
      user_ = scalar_of(one, "username");
      password_ = scalar_of(one, "password");
    }
  argv_ = {centreon_dir + "/bin/centreon", "-u", user_, "-p", password_, "-w", "-o", "CentreonWorker", "-a", "processQueue"};
}

// The program may say its own command line in an error.
std::string Worker::masked(std::string text) const {
  if (password_.empty()) return text;
  for (auto at = text.find(password_); at != std::string::npos; at = text.find(password_, at + mask.size()))
    text.replace(at, password_.size(), mask);
  return text;
}

asio::awaitable<bool> Worker::run(std::string token) {
  auto tell = [this, &token](int code, std::string_view message, json::object more) {
    more["message"] = message;
    agent_.journal().write(NewRow{token, code, to_text(json::value(std::move(more)))});
  };
  std::string shown = argv_.front() + " -u \"" + user_ + "\" -p \"" + std::string(mask) + "\" -w -o CentreonWorker -a processQueue";
  json::object command{{"command", shown}};
  const bool is_in_vault = user_.starts_with(in_vault) || password_.starts_with(in_vault);
  if (user_.empty() || password_.empty() || is_in_vault) {
    const auto why =
        is_in_vault
            ? fmt::format(
                  "tpapi: username or password of the entry \"{}\" is kept in a vault, which cannot be read yet; expected the values "
                  "themselves",
                  entry_)
            : fmt::format("tpapi: no entry \"{}\" with username and password, which the worker needs", entry_);
    agent_.log().error("{}", why);
    command["result"] = json::object{{"exit_code", -1}, {"stdout", why}};
    tell(code::failed, "command execution issue", std::move(command));
    co_return false;
  }
  tell(code::begun, "command has started", command);
  const auto start = static_cast<std::int64_t>(std::time(nullptr));
  ProcessSpec spec;
  spec.argv = argv_;
  spec.timeout = timeout_;
  auto result = co_await run_process(agent_, std::move(spec));
  const auto end = std::max(start, static_cast<std::int64_t>(std::time(nullptr)));
  const bool is_run = result.end == ProcessResult::End::exited || result.end == ProcessResult::End::signalled;
  const bool is_late = result.end == ProcessResult::End::timed_out;
  const auto exit_code = result.exit_code;
  const auto output = masked(output_text(std::move(result)));
  add_outcome(command, is_run ? exit_code : -1, output, start, end);
  if (!is_run || exit_code != 0)
    agent_.log().warning("{} {}: {}", argv_.front(), is_late ? "took too long" : fmt::format("ended with {}", exit_code),
                         printable(output));
  tell(is_run ? code::command_result : code::failed, is_run ? "command has finished successfully" : "command execution issue",
       std::move(command));
  co_return is_run;
}

}  // namespace gorgone::legacycmd
