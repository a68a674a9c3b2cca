#include "options.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;

TEST_CASE("what is known of trees lies beside the journal, whichever form its name has") {
  const Settings settings(std::make_shared<const Schema>(content::schema()), std::make_shared<const ConfigValue>());
  auto folder = [&](const json::value& core) {
    return content::read_options(settings, ConfigValue::from_json(json::object{{"gorgonecore", core}}, "test")).state_dir;
  };
  for (const auto* name : {"dbname=/a/b.sdb", "/a/b.sdb", "SQLite:dbname=/a/b.sdb;timeout=3", "dbname=/a/b.sdb;x=/c/d"})
    CHECK(folder(json::object{{"gorgone_db_name", name}}) == "/a/content");
  CHECK(folder(json::object()) == "/var/lib/centreon-gorgone/content");
}
