#include "orders.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::legacycmd;

namespace {

const Paths paths{"/cache/", "/traps", "/remote-data/"};
Poller poller() {
  return {true,       "poller",  "/rw/centengine.cmd", "/etc/engine", "/etc/broker/",  "/etc/traps/",
          "start it", "stop it", "restart it",         "reload it",   "reload broker", "traps"};
}

Result<std::vector<Order>> orders(const std::string& text, const Poller& of = poller(), std::string_view illegal = "`") {
  return orders_of(*parse_line(text), of, paths, illegal);
}

std::string data(const Order& order) { return to_text(json::value(order.data)); }

}  // namespace

TEST_CASE("characters that are illegal are taken out of external commands, and what is no UTF-8 is read as Latin-1") {
  const auto list = orders("EXTERNALCMD:3:[1] a`b\x01|\xe9 $(x)", poller(), "`$(\x01");
  REQUIRE(list.has_value());
  CHECK(data(list->front()) == R"x({"content":{"commands":["[1] ab|é x)"],"command_file":"/rw/centengine.cmd"}})x");
  CHECK(!orders("EXTERNALCMD:3:``").has_value());
}

TEST_CASE("a poller whose command file is unknown uses its own") {
  auto unknown = poller();
  unknown.command_file.clear();
  CHECK(data(orders("EXTERNALCMD:3:a", unknown)->front()) == R"({"content":{"commands":["a"]}})");
}

TEST_CASE("folders end in one slash, whatever the database says") {
  const auto list = orders("SENDCFGFILE:3");
  REQUIRE(list->size() == 3);
  CHECK(list->at(0).may_be_missing);
  CHECK(list->at(1).source == "/cache/config/engine/3");
  CHECK(list->at(1).data.at("content").at("destination") == "/etc/engine/");
  CHECK(list->at(2).data.at("content").at("destination") == "/etc/broker/");
  CHECK(orders("ENGINERELOAD:3")->at(1).data.at("content").at("plugins") == "/etc/engine/plugins.json");
}

TEST_CASE("what depends on files that were sent before waits for them, external commands do not") {
  for (const char* line : {"ENGINERESTART:3", "ENGINERELOAD:3", "RESTART:3", "RELOAD:3", "START:3", "STOP:3", "RELOADBROKER:3",
                           "RESTARTCENTREONTRAPD:3", "RELOADCENTREONTRAPD:3"})
    for (const auto& order : *orders(line)) CHECK(order.data.at("after_copies") == true);
  CHECK(!orders("EXTERNALCMD:3:a")->front().data.contains("after_copies"));
  CHECK(!orders("SYNCTRAP:3")->front().data.contains("after_copies"));
}

TEST_CASE("an import is ordered only where its data could be sent") {
  const auto list = orders("SENDEXPORTFILE:3:12");
  REQUIRE(list->size() == 2);
  CHECK(list->at(0).data.at("content").at("owner") == "centreon");
  CHECK(list->at(0).data.at("content").at("group") == "centreon");
  CHECK(list->at(1).needs_all_before);
  CHECK(data(list->at(1)) == R"({"content":{"parent_id":"12","cbd_reload":"sudo reload broker"},"after_copies":true})");
}

TEST_CASE("what the database lacks is named by its column") {
  const auto list = orders("RELOADBROKER:3", Poller{});
  REQUIRE(!list.has_value());
  CHECK(list.error().message == "RELOADBROKER: the database has no nagios_server.broker_reload_command for poller '3'");
}
