#include <gorgone/config.hpp>

#include <fmt/format.h>

namespace gorgone {

std::string Where::text() const {
  const std::string name = file.substr(file.rfind('/') + 1);
  return line > 0 ? fmt::format("{}:{}", name, line) : name;
}

const ConfigValue* ConfigValue::find(std::string_view key) const {
  for (const auto& [name, value] : map) {
    if (name == key) return &value;
  }
  return nullptr;
}

ConfigValue ConfigValue::from_json(const json::value& value, const std::string& source) {
  ConfigValue made;
  made.where.file = source;
  if (const json::object* object = value.if_object()) {
    made.kind = Kind::map;
    for (const auto& [name, item] : *object) made.map.emplace_back(name, from_json(item, source));
  } else if (const json::array* array = value.if_array()) {
    made.kind = Kind::list;
    for (const json::value& item : *array) made.list.push_back(from_json(item, source));
  } else if (std::optional<std::string> text = text_of(&value)) {
    made.kind = Kind::scalar;
    made.scalar = std::move(*text);
  }
  return made;
}

}  // namespace gorgone
