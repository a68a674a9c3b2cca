#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/ssl/error.hpp>
#include <cerrno>
#include <climits>
#include <gorgone/tls_stream.hpp>
#include <new>

namespace gorgone {
namespace {

namespace asio = boost::asio;

// OpenSSL's own BIO for sockets keeps the number of a descriptor, which is another's once the socket is closed, and raises SIGPIPE.

int descriptor_of(BIO* bio) { return static_cast<TlsStream::Socket*>(BIO_get_data(bio))->native_handle(); }

int outcome(BIO* bio, ssize_t size, int kind) {
  BIO_clear_retry_flags(bio);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_flags(bio, kind | BIO_FLAGS_SHOULD_RETRY);
  return static_cast<int>(size);
}

int read_socket(BIO* bio, char* bytes, int size) {
  const auto got = ::recv(descriptor_of(bio), bytes, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return outcome(bio, got, BIO_FLAGS_READ);
}

int write_socket(BIO* bio, const char* bytes, int size) {
  return outcome(bio, ::send(descriptor_of(bio), bytes, static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL), BIO_FLAGS_WRITE);
}

long control_socket(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO* bio_of(TlsStream::Socket& socket) {
  static const auto* const method = [] {
    auto* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "TCP socket");
    if (!made) throw std::bad_alloc();
    BIO_meth_set_read(made, read_socket);
    BIO_meth_set_write(made, write_socket);
    BIO_meth_set_ctrl(made, control_socket);
    return made;
  }();
  auto* bio = BIO_new(method);
  if (!bio) throw std::bad_alloc();
  BIO_set_data(bio, &socket);
  BIO_set_init(bio, 1);
  return bio;
}

// Where nothing says why, it ended without a word: what failed is never told as done.
boost::system::error_code failure_of(const boost::system::error_code& told) {
  return told ? told : boost::system::error_code(asio::ssl::error::stream_truncated);
}

int size_for_openssl(std::size_t size) { return static_cast<int>(std::min<std::size_t>(size, INT_MAX)); }

}  // namespace

TlsStream::TlsStream(Socket& socket, TlsContext context)
    : socket_(socket), context_(std::move(context)), connection_(SSL_new(context_->native_handle())) {
  if (!connection_) throw std::bad_alloc();
  auto* bio = bio_of(socket);
  SSL_set_bio(native_handle(), bio, bio);
  SSL_set_mode(native_handle(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_set_read_ahead(native_handle(), 1);
}

TlsStream::Step TlsStream::handshake(int (*call)(SSL*)) {
  ERR_clear_error();
  return step_of(call(native_handle()));
}

TlsStream::Step TlsStream::read(asio::mutable_buffer into) {
  if (into.size() == 0) return {Step::outcome, {}, 0};
  ERR_clear_error();
  return step_of(SSL_read(native_handle(), into.data(), size_for_openssl(into.size())));
}

TlsStream::Step TlsStream::write(asio::const_buffer from) {
  if (from.size() == 0) return {Step::outcome, {}, 0};
  ERR_clear_error();
  return step_of(SSL_write(native_handle(), from.data(), size_for_openssl(from.size())));
}

TlsStream::Step TlsStream::shutdown() {
  ERR_clear_error();
  auto returned = SSL_shutdown(native_handle());
  if (returned == 0) returned = SSL_shutdown(native_handle());  // ours is said, now theirs
  return step_of(returned);
}

TlsStream::Step TlsStream::step_of(int returned) {
  const auto failure = errno;
  if (returned > 0) return {Step::outcome, {}, static_cast<std::size_t>(returned)};
  switch (SSL_get_error(native_handle(), returned)) {
    case SSL_ERROR_WANT_READ:
      return {Step::reading, {}, 0};
    case SSL_ERROR_WANT_WRITE:
      return {Step::writing, {}, 0};
    case SSL_ERROR_ZERO_RETURN:
      return {Step::outcome, asio::error::eof, 0};
    case SSL_ERROR_SYSCALL:
      return {Step::outcome, failure_of(ErrorCode(failure, boost::system::system_category())), 0};
    default:
      break;
  }
  const auto error = ERR_get_error();
  const bool is_cut = ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  const ErrorCode told(is_cut ? 0 : static_cast<int>(error), asio::error::get_ssl_category());
  return {Step::outcome, failure_of(told), 0};
}

asio::mutable_buffer TlsStream::room_for_record() {
  static thread_local std::array<char, record_bytes> room;
  return asio::buffer(room);
}

}  // namespace gorgone
