#include "core/trust.hpp"

#include "core/config/agent_config.hpp"
#include "core/journal/tables.hpp"

namespace gorgone {
namespace {

// Longer than any commit of the daemon takes.
constexpr auto patience = std::chrono::seconds(10);

Result<std::string> path_of_database(const std::string& config_file) {
  std::vector<Problem> problems;
  const auto config = load_agent_config(config_file, problems);
  if (!config) return config.error();
  return database_path(config->core);
}

// Works on the tables; what SQLite says becomes an Error.
template <class Work>
auto with_tables(const std::string& config_file, Work work) -> decltype(work(std::declval<Tables&>())) {
  const auto path = path_of_database(config_file);
  if (!path) return path.error();
  try {
    Tables tables(*path);
    tables.set_patience(patience);
    return work(tables);
  } catch (const sqlite::Failure& failure) {
    return Error{"database " + *path + ": " + failure.what()};
  }
}

}  // namespace

Result<RefusedKey> refused_key(const std::string& config_file, const std::string& node_or_target) {
  return with_tables(config_file, [&](Tables& tables) -> Result<RefusedKey> {
    for (auto& key : tables.refused_keys())
      if (key.node == node_or_target || key.target == node_or_target) {
        key.pinned = tables.fingerprint_of(key.target).value_or("");
        return key;
      }
    return Error{"no key of \"" + node_or_target +
                 "\" has been refused: expected the id of a node, or an address as the log names it, such as tcp://10.0.0.2:5556. A key "
                 "that a file names (server_pubkey) is changed in that file"};
  });
}

Result<void> trust_refused_key(const std::string& config_file, const RefusedKey& key) {
  return with_tables(config_file, [&](Tables& tables) -> Result<void> {
    tables.begin();
    tables.pin_fingerprint(key.target, key.offered);
    tables.forget_refused_key(key.target);
    tables.commit();
    return {};
  });
}

}  // namespace gorgone
