#include "core/journal/salvage.hpp"

#include <array>
#include <optional>

namespace gorgone {
namespace {

struct Table {
  const char* name;
  const char* columns;
  int width;
};

// Ids too: they say which of two messages came first.
constexpr std::array<Table, 7> tables{{
    {"gorgone_outbox", "id, delivery, action, token, target, data, until", 7},
    {"gorgone_delivery", "id, delivery, progress, action, token, data, until", 7},
    {"gorgone_target_fingerprint", "id, target, fingerprint", 3},
    {"gorgone_refused_key", "target, node, thumbprint, seen", 4},
    {"gorgone_identity", "id, ctime, mtime, identity, key, oldkey, iv, oldiv, parent", 9},
    {"gorgone_pull_identity", "node, identity", 2},
    {"gorgone_kept", "collection, key, data", 3},
}};

std::string places(int count) {
  std::string text = "?";
  while (--count > 0) text += ", ?";
  return text;
}

Salvaged copy(const Table& table, sqlite::Database& from, sqlite::Database& into) {
  Salvaged done;
  done.table = table.name;
  const std::string columns = table.columns;
  sqlite::Statement* rows = nullptr;
  auto next = [&] {
    try {
      if (!rows) rows = &from.prepare("SELECT " + columns + " FROM " + table.name);
      return rows->step();
    } catch (const sqlite::Failure& failure) {
      done.why = failure.what();
      return false;
    }
  };
  const std::string insert = std::string("INSERT OR IGNORE INTO ") + table.name + " (" + columns + ") VALUES (" + places(table.width) + ")";
  while (next()) {
    auto& target = into.prepare(insert);
    for (int column = 0; column < table.width; ++column) target.bind(column + 1, *rows, column);
    target.step();
    ++done.rows;
  }
  return done;
}

}  // namespace

std::vector<Salvaged> salvage(const std::string& from, sqlite::Database& into) {
  std::optional<sqlite::Database> old;
  try {
    old.emplace(from, true);
    old->execute("SELECT count(*) FROM sqlite_master");
  } catch (const sqlite::Failure& failure) {
    return {Salvaged{"", 0, failure.what()}};
  }
  std::vector<Salvaged> all;
  for (const auto& table : tables) all.push_back(copy(table, *old, into));
  return all;
}

}  // namespace gorgone
