#include "portions.hpp"

#include <fmt/format.h>

#include <gorgone/json.hpp>
#include <gorgone/wss_text.hpp>

#include <utility>

namespace gorgone::pullwss {
namespace {

// About what fits, so that few rows are read that do not.
constexpr std::int64_t rows_at_once = 300;
constexpr std::size_t text_max_last = 64;

std::string encoded(std::string_view text) { return wss::encode_entities(to_utf8(text)); }

// Never in the middle of a character.
std::string_view beginning_of(std::string_view text, std::size_t size) {
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

void shorten(json::value& value, std::size_t text_max) {
  if (auto* object = value.if_object()) {
    for (auto& [name, member] : *object) shorten(member, text_max);
  } else if (auto* array = value.if_array()) {
    for (auto& entry : *array) shorten(entry, text_max);
  } else if (auto* text = value.if_string(); text && text->size() > text_max) {
    const std::string_view whole(*text);
    *text =
        fmt::format("{} […] ({} bytes, of which the central's WebSocket does not take more)", beginning_of(whole, text_max), whole.size());
  }
}

/// The row with shorter texts, so that it fits; nothing of its data where that does not do.
std::string shortened(json::object row, std::size_t bytes_max) {
  const auto* data = row.if_contains("data");
  const auto text = data ? text_of(data).value_or("{}") : "{}";
  for (auto text_max = bytes_max / 4 * 3; text_max >= text_max_last; text_max /= 2) {
    auto content = parse_json(text);
    if (!content) break;
    shorten(*content, text_max);
    row["data"] = to_text(*content);
    auto written = encoded(to_text(json::value(row)));
    if (written.size() <= bytes_max) return written;
  }
  const auto message = fmt::format("the row has {} bytes, more than the central's WebSocket takes", text.size());
  row["data"] = to_text(json::value(json::object{{"message", message}}));
  return encoded(to_text(json::value(std::move(row))));
}

}  // namespace

bool ask_for_a_portion(Message& getlog) {
  const auto data = getlog.data.json();
  if (!data || !(*data)->is_object() || member(**data, "portion")) return false;
  auto asked = (*data)->get_object();
  asked["portion"] = rows_at_once;
  getlog.data = Payload(json::value(std::move(asked)));
  return true;
}

LogText fit(const Answer& setlogs, std::size_t bytes_max) {
  const auto data = setlogs.data.json();
  const auto* rows = data ? member(**data, "result") : nullptr;
  LogText log{wss::encode_entities(wss::write_answer(setlogs)), data && member(**data, "more") != nullptr};
  if (log.text.size() <= bytes_max || !rows || !rows->is_array()) return log;

  // The rows are put into the text without them, which has been encoded like them.
  Answer frame = setlogs;
  auto without = (*data)->get_object();
  without["result"] = json::array();
  frame.data = Payload(json::value(std::move(without)));
  log.text = wss::encode_entities(wss::write_answer(frame));
  const auto place = log.text.find("[]", log.text.find(encoded(R"("result":)"))) + 1;
  std::string list;
  std::size_t told = 0;
  for (const auto& row : rows->get_array()) {
    const auto room = bytes_max - std::min(bytes_max, log.text.size() + list.size() + 1);
    auto text = encoded(to_text(row));
    if (text.size() > room && told == 0 && row.is_object()) text = shortened(row.get_object(), room);
    if (text.size() > room && told > 0) break;
    if (told++ > 0) list += ',';
    list += text;
  }
  log.leaves_some = log.leaves_some || told < rows->get_array().size();
  log.text.insert(place, list);
  return log;
}

}  // namespace gorgone::pullwss
