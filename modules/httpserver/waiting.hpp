#pragma once
// Waits that end: by what was waited for, by their limit, or because the server stops. Everything here lives on the loop.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <list>
#include <memory>

namespace gorgone::httpserver {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

/// Tells all who wait that the server stops. Outlives its hooks.
class Stopping {
 public:
  /// Runs a function when the server stops, while it lives.
  class Hook {
   public:
    Hook(Stopping& stopping, std::function<void()> run);
    ~Hook();
    Hook(const Hook&) = delete;
    Hook& operator=(const Hook&) = delete;

   private:
    Stopping& stopping_;
    std::list<std::function<void()>>::iterator place_;
  };

  bool asked() const { return asked_; }
  /// The hooks end waits; none of them may end a Hook at once.
  void ask();

 private:
  bool asked_ = false;
  std::list<std::function<void()>> hooks_;
};

/// Something that callbacks report to one waiting coroutine. The callbacks hold it by a weak pointer: they may come
/// after the coroutine, and the server, have ended.
class Event {
 public:
  Event(asio::io_context& loop, Stopping& stopping);
  /// Ends the wait, or the next one if nobody waits.
  void ring();
  /// Takes back a ring that nobody has waited for.
  void forget() { has_rung_ = false; }
  /// Comes back when it has rung, at `limit`, when the server stops, or when the coroutine is cancelled.
  asio::awaitable<void> wait_until(Clock::time_point limit);

 private:
  asio::steady_timer timer_;
  bool has_rung_ = false;
  Stopping::Hook hook_;
};

/// Limits what is done with one socket: at the limit its pending operations are cancelled; the socket stays open, or is shut down where
/// more is to follow without an operation that could be cancelled.
class Deadline {
 public:
  enum class AtLimit { cancel, shut_down };

  explicit Deadline(asio::ip::tcp::socket& socket);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void set(Clock::duration from_now, AtLimit at_limit = AtLimit::cancel);
  void clear();
  /// As if the limit had been reached.
  void expire();
  bool has_expired() const { return *state_ == State::expired; }

 private:
  enum class State { unset, set, expired };
  asio::ip::tcp::socket& socket_;
  asio::steady_timer timer_;
  AtLimit at_limit_ = AtLimit::cancel;
  std::shared_ptr<State> state_;  // a timer's handler may run after all else has gone
};

/// Those who hold a place and have not said what for, the one that came first in front: when there are no places left, they make room.
class Undecided {
 public:
  /// One of them, while it lives or until it has given way.
  class Entry {
   public:
    Entry(Undecided& all, std::function<void()> give_way);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    friend class Undecided;
    Undecided& all_;
    std::function<void()> give_way_;
    std::list<Entry*>::iterator place_;
  };

  /// Has the first give way; false where there is none.
  bool make_room();

 private:
  std::list<Entry*> entries_;
};

/// True where the coroutine has been told to end.
asio::awaitable<bool> is_cancelled();

}  // namespace gorgone::httpserver
