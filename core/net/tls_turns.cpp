#include <gorgone/tls_stream.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <deque>

namespace gorgone {
namespace {

namespace asio = boost::asio;

// One for each loop.
class Turns final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;

  explicit Turns(asio::execution_context& loop) : service(loop), loop_(static_cast<asio::io_context&>(loop)) {}

  void enter(std::function<void()> work) {
    queue_.push_back(std::move(work));
    if (queue_.size() == 1) post_next();
  }

 private:
  // Behind what is ready; the work stays in the queue until it is done, so that none is posted beside it.
  void post_next() {
    asio::post(loop_, [this] {
      if (queue_.empty()) return;
      const auto work = std::exchange(queue_.front(), {});
      work();
      queue_.pop_front();
      if (!queue_.empty()) post_next();
    });
  }

  void shutdown() override { std::exchange(queue_, {}).clear(); }

  asio::io_context& loop_;
  std::deque<std::function<void()>> queue_;
};

}  // namespace

void in_tls_turn(asio::execution_context& loop, std::function<void()> work) { asio::use_service<Turns>(loop).enter(std::move(work)); }

}  // namespace gorgone
