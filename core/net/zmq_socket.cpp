#include "core/net/zmq_socket.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace gorgone::net {

// Outlives the ZmqSocket by the handlers that are still queued; `open` tells them that it is gone.
struct ZmqSocket::Shared {
  Shared(boost::asio::io_context& the_loop, zmq::socket_t the_socket, Reading the_reading)
      : loop(the_loop), socket(std::move(the_socket)), reading(std::move(the_reading)), readable(the_loop, socket.get(zmq::sockopt::fd)) {}

  boost::asio::io_context& loop;
  zmq::socket_t socket;
  Reading reading;
  boost::asio::posix::stream_descriptor readable;  // the socket's own descriptor: released, never closed
  Frames begun;                                    // a message of which more frames are to be read
  bool open = true;
  bool drain_posted = false;
};

namespace {

constexpr int portion = 256;  // frames

#if defined(__SANITIZE_THREAD__)
// libzmq is not instrumented: ThreadSanitizer takes each byte that its thread wrote for a race, and needs seconds to pass over the
// reports for a long frame. So the bytes are copied where it does not look.
__attribute__((no_sanitize("thread"))) zmq::message_t own(zmq::message_t frame) {
  zmq::message_t copy(frame.size());
  const volatile char* from = static_cast<const char*>(frame.data());
  volatile char* to = static_cast<char*>(copy.data());
  for (std::size_t i = 0; i < frame.size(); ++i) to[i] = from[i];
  return copy;
}
#else
zmq::message_t own(zmq::message_t frame) { return frame; }
#endif

}  // namespace

ZmqSocket::ZmqSocket(boost::asio::io_context& loop, zmq::socket_t socket, Reading reading)
    : shared_(std::make_shared<Shared>(loop, std::move(socket), std::move(reading))) {
  post_drain(shared_);
  wait(shared_);
}

ZmqSocket::~ZmqSocket() {
  shared_->open = false;
  shared_->readable.release();
  shared_->socket.close();
}

ZmqSocket::Sent ZmqSocket::send(std::string_view routing_id, std::string_view frame) {
  const auto give = [this](std::string_view bytes, zmq::send_flags flags) {
    const auto send_now = [&] { return shared_->socket.send(zmq::buffer(bytes), flags | zmq::send_flags::dontwait); };
    return uninterrupted(send_now).has_value();
  };
  auto sent = Sent::yes;
  try {
    if ((!routing_id.empty() && !give(routing_id, zmq::send_flags::sndmore)) || !give(frame, zmq::send_flags::none)) sent = Sent::full;
  } catch (const zmq::error_t& error) {
    if (error.num() != EHOSTUNREACH) throw;
    sent = Sent::no_route;
  }
  // Sending may have eaten the edge that announced a message.
  post_drain(shared_);
  return sent;
}

void ZmqSocket::wait(const std::shared_ptr<Shared>& shared) {
  shared->readable.async_wait(boost::asio::posix::stream_descriptor::wait_read, [shared](const boost::system::error_code& error) {
    if (error || !shared->open) return;
    drain(shared);
    if (shared->open) wait(shared);
  });
}

void ZmqSocket::post_drain(const std::shared_ptr<Shared>& shared) {
  if (shared->drain_posted) return;
  shared->drain_posted = true;
  boost::asio::post(shared->loop, [shared] {
    shared->drain_posted = false;
    if (shared->open) drain(shared);
  });
}

void ZmqSocket::drain(const std::shared_ptr<Shared>& shared) {
  const bool names_connections = shared->reading.names_connections && shared->reading.names_connections();
  for (int n = 0; n < portion; ++n) {
    // Nothing there arms the descriptor's edge again, as asking for ZMQ_EVENTS would, but at no system call for each message.
    auto& frames = shared->begun;
    zmq::message_t frame;
    if (!uninterrupted([&] { return shared->socket.recv(frame, zmq::recv_flags::dontwait); })) return;
    const bool more = frame.more();
    if (frames.count++ == 0) {
      if (names_connections) frames.connection = zmq_msg_get(frame.handle(), ZMQ_SRCFD);
    } else {
      frames.wire_bytes += wire_size(frame.size());
    }
    if (frames.size() < Frames::kept_max) frames.push_back(own(std::move(frame)));
    if (more) continue;
    shared->reading.on_message(std::exchange(frames, Frames{}));
    if (!shared->open) return;
  }
  post_drain(shared);
}

}  // namespace gorgone::net
