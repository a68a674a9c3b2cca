#pragma once
// The page of a module in docs/modules/, made from its schema. Pure, on any thread.

#include <gorgone/module.hpp>

#include <string>
#include <vector>

namespace gorgone {

/// Markdown: the title, the help, a table of the options and one of the actions.
std::string document_schema(const std::string& title, const std::string& help, const Schema& schema, const std::vector<Action>& actions);

}  // namespace gorgone
