#pragma once
// How many links greet at once. When thousands of nodes come back together, each handshake that were begun would wait for the pool and for
// the loop until its time is up, and all would be begun again. Only links whose node has taken a connection queue here, and one that then
// says nothing gives its place back, so neither a dead node nor a hung one is in anybody's way. One for each loop; lives on it.

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <utility>

namespace gorgone::net {

class Turnstile final : public boost::asio::execution_context::service {
 public:
  static inline boost::asio::execution_context::id id;
  static constexpr std::size_t at_once = 64;

  /// A place in the queue, and then at work; given back when it dies.
  class Ticket {
   public:
    Ticket(Turnstile& owner, std::function<void()> go) : owner_(owner), go_(std::move(go)) {}
    ~Ticket() { give_back(); }
    Ticket(const Ticket&) = delete;
    bool is_waiting() const { return !has_gone_; }
    /// Whoever has been at work for long without an answer is in nobody's way any more, and goes on.
    void give_back() {
      if (std::exchange(is_in_, false)) owner_.leave();
    }

   private:
    friend class Turnstile;
    Turnstile& owner_;
    std::function<void()> go_;
    bool is_in_ = false, has_gone_ = false;
  };

  explicit Turnstile(boost::asio::execution_context& loop) : service(loop), loop_(static_cast<boost::asio::io_context&>(loop)) {}
  /// In place of at_once, for a process that plays machines which know nothing of each other.
  void set_places(std::size_t places) { places_ = places; }

  /// `go` is called in turn, never from inside this call, and not where the ticket is gone by then.
  std::shared_ptr<Ticket> enter(std::function<void()> go) {
    auto ticket = std::make_shared<Ticket>(*this, std::move(go));
    queue_.push_back(ticket);
    admit();
    return ticket;
  }

 private:
  void admit() {
    while (busy_ < places_ && !queue_.empty()) {
      const auto ticket = queue_.front().lock();
      queue_.pop_front();
      if (!ticket) continue;
      ++busy_;
      ticket->is_in_ = true;
      boost::asio::post(loop_, [weak = std::weak_ptr<Ticket>(ticket)] {
        const auto turn = weak.lock();
        if (!turn) return;
        turn->has_gone_ = true;
        turn->go_();
      });
    }
  }

  void leave() {
    --busy_;
    admit();
  }

  void shutdown() override { queue_.clear(); }

  boost::asio::io_context& loop_;
  std::size_t places_ = at_once, busy_ = 0;
  std::deque<std::weak_ptr<Ticket>> queue_;
};

}  // namespace gorgone::net
