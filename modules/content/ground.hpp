#pragma once
// What the receiving side remembers of all pushes: who works on which destination, which pushes have ended, and where content was ever
// staged. On the loop, but for Places.

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "event.hpp"
#include "options.hpp"

namespace gorgone::content {

/// The destinations that are worked on. Of two that lie in each other only one is.
class Destinations {
 public:
  /// False where somebody else has it and does not yield. `yields` is asked by others: true gives it up.
  bool lock(const std::string& path, const std::string& owner, std::function<bool()> yields);
  void unlock(const std::string& owner);
  std::vector<std::string> paths() const;

 private:
  struct Held {
    std::string owner;
    std::function<bool()> yields;
  };
  std::map<std::string, Held> held_;
};

/// As lock(), and waits for a moment: a push whose last row was told tidies up before it lets go.
asio::awaitable<bool> lock_soon(asio::io_context& loop, Destinations& destinations, std::string path, std::string owner,
                                std::function<bool()> yields);

/// Tokens of pushes that have ended: an offer that comes late does not begin them again.
class EndedPushes {
 public:
  void add(const std::string& token);
  bool has(const std::string& token) const;

 private:
  std::deque<std::string> tokens_;
};

/// Destinations with a staging folder, in a file of the state folder. Blocking: on a pool thread, and on several at once.
class Places {
 public:
  explicit Places(std::string folder) : file_(std::move(folder) + "/places") {}
  std::vector<std::string> list() const;
  void add(const std::string& path) const;
  void remove(const std::vector<std::string>& paths) const;

 private:
  void change(const std::function<bool(std::vector<std::string>&)>& change_them) const;

  std::string file_;
};

}  // namespace gorgone::content
