#pragma once
// TLS handshakes of whoever connects. Each takes the loop milliseconds to sign, and how many come at once is for strangers to say: what
// they send is taken one at a time, with a look at all else in between. On the loop.

#include <gorgone/export.hpp>

#include <boost/asio/compose.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

namespace gorgone {

/// Calls `work` on the loop, never from inside this call, after those that came before and what is ready now.
GORGONE_API void in_tls_turn(boost::asio::execution_context& loop, std::function<void()> work);

/// What the TLS of a server reads from and writes to: until its handshake is over, what has been read is handed on in turn. Between a turn
/// and the next operation nothing is waited for, so who sends half of what is expected holds up nobody.
template <class Next>
class TlsInTurn {
 public:
  using next_layer_type = Next;
  using lowest_layer_type = Next;
  using executor_type = typename Next::executor_type;

  explicit TlsInTurn(Next& next) : next_(next) {}

  /// No turns any more: the handshake is over, or our own side began it.
  void pass() { passes_ = true; }

  Next& next_layer() { return next_; }
  const Next& next_layer() const { return next_; }
  Next& lowest_layer() { return next_; }
  executor_type get_executor() { return next_.get_executor(); }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    using ErrorCode = boost::system::error_code;
    auto read = [this, buffers, has_read = false](auto& self, ErrorCode error = {}, std::size_t size = 0) mutable {
      if (!std::exchange(has_read, true)) return next_.async_read_some(buffers, std::move(self));
      if (error || passes_) return self.complete(error, size);
      auto& loop = boost::asio::query(next_.get_executor(), boost::asio::execution::context);
      auto held = std::make_shared<std::decay_t<decltype(self)>>(std::move(self));
      in_tls_turn(loop, [held, size] { held->complete(ErrorCode(), size); });
    };
    return boost::asio::async_compose<Token, void(ErrorCode, std::size_t)>(std::move(read), token, next_);
  }

  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return next_.async_write_some(buffers, std::forward<Token>(token));
  }

 private:
  Next& next_;
  bool passes_ = false;
};

}  // namespace gorgone
