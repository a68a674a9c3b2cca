#pragma once
// Who says which nodes there are: a file (module register) and Centreon's database (module nodes), and what comes of both. Pure.

#include <gorgone/json.hpp>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace gorgone::proxy {

class NodeSources {
 public:
  enum class Source { file, database };

  using Ids = std::set<std::string>;
  /// Adds nodes as REGISTERNODES carries them, in place of what the source said of the same ids; gives the ids of which something else may
  /// be true now.
  Ids put(Source source, const json::array& nodes);
  Ids remove(Source source, const std::vector<std::string>& ids);
  /// All that are named by a source.
  Ids ids() const;

  /// What is registered of these nodes, by id. Where the database decides, an entry of the file counts only with `prevail`, member by
  /// member over what the database says; else each does. The subnodes of an entry that prevails are no nodes of their own, unless their own
  /// entry prevails.
  std::map<std::string, json::value> registered(const Ids& ids, bool database_decides) const;

  /// True where a file says so of the node, or lists it behind one of which it says so: nobody else may register it otherwise.
  bool prevails(const std::string& id) const;
  /// The id of the node with this uid; `name` itself where none has it.
  std::string id_of(const std::string& name) const;

 private:
  using Entries = std::map<std::string, json::object>;
  Entries& of(Source source) { return source == Source::file ? file_ : database_; }
  void change(Source source, const std::string& id, const json::object* node, Ids& touched);

  Entries file_, database_;
  std::map<std::string, std::string> ids_;  // by uid
};

}  // namespace gorgone::proxy
