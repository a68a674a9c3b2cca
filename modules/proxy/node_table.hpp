#pragma once
// The proxy's table of nodes, as those see it that change it on behalf of others. On the loop.

#include <gorgone/link.hpp>

#include <optional>
#include <string>
#include <vector>

#include "registration.hpp"

namespace gorgone::proxy {

class NodeTable {
 public:
  virtual ~NodeTable() = default;
  /// How a node is registered; nothing where it is not.
  virtual std::optional<NodeSpec> spec_of(const std::string& node) const = 0;
  /// The id of the node that goes by `name`, which may be its uid; `name` where none does.
  virtual std::string id_of(const std::string& name) const = 0;
  virtual void register_all(std::vector<Registration> list) = 0;
  virtual void change(NodeSpec spec) = 0;
  virtual void unregister(const std::string& node) = 0;
  /// A node tells that another is, or is no longer, behind it.
  virtual void learn(const std::string& parent, const std::string& node) = 0;
  virtual void unlearn(const std::string& parent, const std::string& node) = 0;
};

}  // namespace gorgone::proxy
