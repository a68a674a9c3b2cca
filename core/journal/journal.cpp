#include <gorgone/await_callback.hpp>
#include <gorgone/journal.hpp>
#include <gorgone/json.hpp>

#include <fmt/format.h>

namespace gorgone {

namespace asio = boost::asio;

void Journal::write(NewRow row) {
  std::vector<NewRow> rows;
  rows.push_back(std::move(row));
  write(std::move(rows), {});
}

asio::awaitable<Result<Rows>> Journal::read(HistoryFilter filter) {
  return await_callback<Result<Rows>>([this, filter = std::move(filter)](auto done) mutable { read(std::move(filter), std::move(done)); });
}

bool ends_token(const HistoryRow& row) {
  if (row.code != code::failed && row.code != code::finished) return false;
  auto data = parse_json(row.data);
  if (!data) return true;
  const auto message = text_of(member(*data, "message")).value_or("");
  return message != "command execution issue" && message != "command has been submitted";
}

std::string rows_to_json(const Rows& rows, bool with_origins) {
  std::string out = "[";
  for (const auto& row : rows) {
    if (out.size() > 1) out += ',';
    fmt::format_to(std::back_inserter(out), R"({{"id":"{}","token":)", row.id);
    append_json_string(out, row.token);
    fmt::format_to(std::back_inserter(out), R"(,"code":{},"etime":{},"ctime":{:.5f},"instant":{},"data":)", row.code, row.etime, row.ctime,
                   row.instant ? 1 : 0);
    append_json_string(out, row.data);
    if (with_origins && !row.origin.empty()) {
      out += R"(,"origin":)";
      append_json_string(out, row.origin);
    }
    out += '}';
  }
  out += ']';
  return out;
}

}  // namespace gorgone
