#include "core/database/rows.hpp"

#include <gorgone/json.hpp>

namespace gorgone::database {
namespace {

constexpr std::size_t result_bytes_max = std::size_t{64} << 20;
constexpr std::size_t cell_bytes = 256;  // longer ones are asked for again
constexpr int fetch_failed = 1;

struct Cell {
  std::string buffer = std::string(cell_bytes, '\0');
  unsigned long length = 0;
  my_bool is_null = 0, is_cut = 0;
};

}  // namespace

// Bytes that are no UTF-8 would be refused by the server.
Parameters::Parameters(const DatabaseTable::Row& parameters) : lengths_(parameters.size()), binds_(parameters.size()) {
  texts_.reserve(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto& text = texts_.emplace_back(to_utf8(parameters[i].value_or("")));
    lengths_[i] = static_cast<unsigned long>(text.size());
    auto& bind = binds_[i];
    bind.buffer_type = parameters[i] ? MYSQL_TYPE_STRING : MYSQL_TYPE_NULL;
    bind.buffer = text.data();
    bind.buffer_length = lengths_[i];
    bind.length = &lengths_[i];
  }
}

Result<bool> read_rows(MYSQL_STMT* statement, DatabaseTable& into) {
  const std::unique_ptr<MYSQL_RES, void (*)(MYSQL_RES*)> meta(mysql_stmt_result_metadata(statement), mysql_free_result);
  if (!meta) return true;  // it gives no rows
  const auto count = mysql_num_fields(meta.get());
  for (unsigned i = 0; i < count; ++i) into.columns.emplace_back(mysql_fetch_field_direct(meta.get(), i)->name);

  std::vector<Cell> cells(count);
  std::vector<MYSQL_BIND> binds(count);
  for (unsigned i = 0; i < count; ++i) {
    binds[i].buffer_type = MYSQL_TYPE_STRING;
    binds[i].buffer = cells[i].buffer.data();
    binds[i].buffer_length = cell_bytes;
    binds[i].length = &cells[i].length;
    binds[i].is_null = &cells[i].is_null;
    binds[i].error = &cells[i].is_cut;
  }
  if (mysql_stmt_bind_result(statement, binds.data()) != 0) return false;

  std::size_t bytes = 0;
  for (;;) {
    const int fetched = mysql_stmt_fetch(statement);
    if (fetched == MYSQL_NO_DATA) return true;
    if (fetched == fetch_failed) return false;
    auto& row = into.rows.emplace_back();
    row.reserve(count);
    for (unsigned i = 0; i < count; ++i) {
      auto& cell = cells[i];
      if (cell.is_null) {
        row.emplace_back();
        continue;
      }
      bytes += cell.length;
      if (bytes > result_bytes_max) return Error{"the result is larger than 64 MB, which is more than is taken", "statement"};
      if (cell.length <= cell_bytes) {
        row.emplace_back(to_utf8({cell.buffer.data(), cell.length}));
        continue;
      }
      std::string whole(cell.length, '\0');
      MYSQL_BIND bind{};
      bind.buffer_type = MYSQL_TYPE_STRING;
      bind.buffer = whole.data();
      bind.buffer_length = cell.length;
      if (mysql_stmt_fetch_column(statement, &bind, i, 0) != 0) return false;
      row.emplace_back(to_utf8(whole));
    }
  }
}

}  // namespace gorgone::database
