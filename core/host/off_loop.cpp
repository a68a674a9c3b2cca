#include "core/host/off_loop.hpp"

#include <boost/asio/post.hpp>

namespace gorgone {

void run_off_loop(boost::asio::io_context& loop, boost::asio::thread_pool& pool, std::function<void()> work, std::function<void()> done) {
  boost::asio::post(pool, [&loop, work = std::move(work), done = std::move(done)]() mutable {
    work();
    boost::asio::post(loop, [work = std::move(work), done = std::move(done)]() mutable {
      work = nullptr;
      done();
    });
  });
}

}  // namespace gorgone
