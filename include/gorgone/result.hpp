#pragma once
// Expected failures are values: Result<T> holds a T or an Error written for the operator.

#include <boost/system/result.hpp>

#include <stdexcept>
#include <string>
#include <utility>

namespace gorgone {

namespace detail {
// A base of its own keeps Error from being constructible from a string in parentheses, which would make a
// Result<std::string> unable to tell its value from its error. Error{"…"} works all the same.
struct ErrorText {
  std::string message;
  friend bool operator==(const ErrorText&, const ErrorText&) = default;
};
}  // namespace detail

/// An expected failure: Error{message} or Error{message, code}. `message` says what, where and what was expected; `code` is a short
/// machine name such as "no_proxy" that API clients may compare, empty where the protocol names none.
struct Error : detail::ErrorText {
  std::string code = {};
  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = boost::system::result<T, Error>;

/// Taking the value of a failed Result is a bug: it throws std::logic_error.
[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw std::logic_error("value of a failed result taken: " + error.message);
}

}  // namespace gorgone
