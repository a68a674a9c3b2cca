#pragma once
// The commands that may be run: Perl-compatible expressions (option allowed_cmds), each searched for anywhere in the
// command. Immutable once made; used on the loop.

#include <gorgone/result.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gorgone::action {

class Whitelist {
 public:
  /// Allows everything.
  Whitelist();
  /// Allows what one of the expressions is found in; with none, nothing. An Error names the first that does not compile.
  static Result<Whitelist> of(const std::vector<std::string>& expressions);

  Whitelist(Whitelist&&) noexcept;
  Whitelist& operator=(Whitelist&&) noexcept;
  ~Whitelist();

  /// An expression that gives up (too many steps) does not allow the command.
  bool allows(std::string_view command) const;

 private:
  struct Expressions;
  std::unique_ptr<Expressions> expressions_;  // nullptr: everything is allowed
};

}  // namespace gorgone::action
