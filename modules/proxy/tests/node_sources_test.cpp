#include "node_sources.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using proxy::NodeSources;
using Source = proxy::NodeSources::Source;

namespace {

json::array nodes(const char* text) { return parse_json(text)->as_array(); }

std::string all(const NodeSources& sources, bool database_decides) {
  json::array list;
  for (auto& [id, node] : sources.registered(sources.ids(), database_decides)) list.push_back(node);
  return to_text(list);
}

}  // namespace

TEST_CASE("without the database each entry of the file counts") {
  NodeSources sources;
  sources.put(Source::file, nodes(R"([{"id":"2","address":"a"},{"id":3,"prevail":"1"}])"));
  CHECK(all(sources, false) == R"([{"id":"2","address":"a"},{"id":3,"prevail":"1"}])");
}

TEST_CASE("where the database decides, the file counts with prevail only, member by member over the database") {
  NodeSources sources;
  sources.put(Source::file,
              nodes(R"([{"id":"2","address":"file"},{"id":"3","prevail":"true","address":"file"},{"id":"9","prevail":"1"}])"));
  sources.put(Source::database, nodes(R"([{"id":"3","type":"pull","address":"db","port":7},{"id":"4","address":"db"}])"));
  CHECK(all(sources, true) ==
        R"([{"id":"3","type":"pull","address":"file","port":7,"prevail":"true"},{"id":"4","address":"db"},{"id":"9","prevail":"1"}])");
}

TEST_CASE("an entry that does not prevail any more leaves the node to the database") {
  NodeSources sources;
  sources.put(Source::database, nodes(R"([{"id":"3","address":"db"}])"));
  sources.put(Source::file, nodes(R"([{"id":"3","prevail":"1","address":"file"}])"));
  CHECK(sources.prevails("3"));
  sources.put(Source::file, nodes(R"([{"id":"3","address":"file"}])"));
  CHECK_FALSE(sources.prevails("3"));
  CHECK(all(sources, true) == R"([{"id":"3","address":"db"}])");
}

TEST_CASE("a node that left one source stays by the other") {
  NodeSources sources;
  sources.put(Source::database, nodes(R"([{"id":"3","address":"db"}])"));
  sources.put(Source::file, nodes(R"([{"id":"3","prevail":"1","address":"file"}])"));
  sources.remove(Source::database, {"3"});
  CHECK(all(sources, true) == R"([{"id":"3","prevail":"1","address":"file"}])");
  sources.remove(Source::file, {"3"});
  CHECK(all(sources, true) == "[]");
}

TEST_CASE("what stands behind an entry that prevails is no node of its own, unless its own entry prevails") {
  NodeSources sources;
  sources.put(Source::file, nodes(R"([{"id":"2","prevail":"1","nodes":[{"id":"4"},{"id":5}]},{"id":"5","prevail":"1"}])"));
  sources.put(Source::database, nodes(R"([{"id":"4"},{"id":"5"},{"id":"6"}])"));
  const auto registered = sources.registered(sources.ids(), true);
  CHECK_FALSE(registered.contains("4"));
  CHECK(registered.contains("5"));
  CHECK(registered.contains("6"));
  CHECK(sources.prevails("4"));
  CHECK_FALSE(sources.prevails("6"));
}

TEST_CASE("a uid leads to its node, also behind another one, and no further than the node is there") {
  NodeSources sources;
  sources.put(Source::database, nodes(R"([{"id":"2","uid":"70000","nodes":[{"id":"4","uid":80000}]}])"));
  CHECK(sources.id_of("70000") == "2");
  CHECK(sources.id_of("80000") == "4");
  CHECK(sources.id_of("2") == "2");
  CHECK(sources.id_of("90000") == "90000");
  sources.remove(Source::database, {"2"});
  CHECK(sources.id_of("70000") == "70000");
}

TEST_CASE("what changes of a node is told with all nodes that it may change") {
  NodeSources sources;
  using Ids = NodeSources::Ids;
  CHECK(sources.put(Source::database, nodes(R"([{"id":"4"},{"id":"5","nodes":[{"id":"8"}]}])")) == Ids{"4", "5"});
  CHECK(sources.put(Source::file, nodes(R"([{"id":"2","prevail":"1","nodes":[{"id":"4"}]}])")) == Ids{"2", "4"});
  CHECK(sources.registered({"4"}, true).empty());
  CHECK(sources.put(Source::file, nodes(R"([{"id":"2","prevail":"1","nodes":[{"id":"5"}]}])")) == Ids{"2", "4", "5"});
  CHECK(sources.registered({"4", "5"}, true).size() == 1);
  CHECK(sources.remove(Source::file, {"2"}) == Ids{"2", "5"});
  CHECK(sources.ids() == Ids{"4", "5"});
}

TEST_CASE("a uid that both sources tell stays while one of them does") {
  NodeSources sources;
  sources.put(Source::file, nodes(R"([{"id":"2","uid":"70000"}])"));
  sources.put(Source::database, nodes(R"([{"id":"2","uid":"70000"}])"));
  sources.remove(Source::file, {"2"});
  CHECK(sources.id_of("70000") == "2");
  sources.put(Source::database, nodes(R"([{"id":"2","uid":"70001"}])"));
  CHECK(sources.id_of("70000") == "70000");
  CHECK(sources.id_of("70001") == "2");
}
