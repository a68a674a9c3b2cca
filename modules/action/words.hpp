#pragma once
// A command line cut into words without a shell, by the rules of Perl's shellwords: commands written for deployed
// daemons must give the same words here.

#include <gorgone/result.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace gorgone::action {

/// White space separates; '…' is taken as it is; in "…" and outside of quotes a backslash takes away the meaning of
/// the next character. Nothing is expanded. An Error where a quote is not closed or a backslash ends the line.
Result<std::vector<std::string>> split_words(std::string_view line);

}  // namespace gorgone::action
