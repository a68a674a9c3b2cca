#include <gorgone/tls_stream.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>

#include "tls_certificate.hpp"

using namespace gorgone;
namespace asio = boost::asio;

namespace {

using Socket = asio::ip::tcp::socket;
using ErrorCode = boost::system::error_code;
using Foreign = asio::ssl::stream<Socket>;

/// Two ends of a TCP connection; at one of them our TLS, at the other Asio's.
struct Pair {
  Pair() {
    asio::ip::tcp::acceptor acceptor(loop, {asio::ip::address_v4::loopback(), 0});
    foreign.next_layer().connect(acceptor.local_endpoint());
    acceptor.accept(socket);
  }

  TlsContext server_context() const {
    auto made = make_tls_server({certificate.certificate_file, certificate.key_file, "open sesame"});
    REQUIRE(made.has_value());
    return *made;
  }

  /// Runs until all are through.
  void run(std::initializer_list<std::function<asio::awaitable<void>()>> parts) {
    std::size_t ended = 0;
    std::exception_ptr failure;
    for (const auto& part : parts)
      asio::co_spawn(loop, part(), [&](std::exception_ptr thrown) {
        if (thrown) failure = thrown;
        ++ended;
      });
    loop.restart();
    loop.run_for(std::chrono::seconds(60));
    if (failure) std::rethrow_exception(failure);
    REQUIRE(ended == parts.size());
  }

  void shake_hands() {
    run({[&]() -> asio::awaitable<void> { co_await ours.async_accept(asio::use_awaitable); },
         [&]() -> asio::awaitable<void> { co_await foreign.async_handshake(Foreign::client, asio::use_awaitable); }});
  }

  const gorgone::test::Certificate certificate;
  asio::io_context loop;
  asio::ssl::context client_context{asio::ssl::context::tls_client};
  Socket socket{loop};
  Foreign foreign{loop, client_context};
  TlsStream ours{socket, server_context()};
};

std::string text(std::size_t size) {
  std::string out(size, ' ');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 7 + i / 251);
  return out;
}

template <class Stream>
asio::awaitable<void> write(Stream& stream, const std::string& what) {
  const auto bytes = asio::buffer(what);
  co_await asio::async_write(stream, bytes, asio::use_awaitable);
}

template <class Stream>
asio::awaitable<void> read(Stream& stream, std::string& into) {
  const auto space = asio::buffer(into);
  co_await asio::async_read(stream, space, asio::use_awaitable);
}

asio::awaitable<void> accept(TlsStream& stream, ErrorCode& error) {
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await stream.async_accept(token);
}

/// What ends a read of which nothing comes.
template <class Stream>
asio::awaitable<ErrorCode> end_of(Stream& stream) {
  char byte = 0;
  ErrorCode error;
  const auto space = asio::buffer(&byte, 1);
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await stream.async_read_some(space, token);
  co_return error;
}

}  // namespace

TEST_CASE("over TLS large messages go both ways at once, whole") {
  Pair pair;
  pair.shake_hands();
  const auto there = text(5'000'000), back = text(7'000'001);
  std::string got_there(there.size(), 0), got_back(back.size(), 0);
  pair.run({[&] { return write(pair.foreign, there); }, [&] { return read(pair.ours, got_there); }, [&] { return write(pair.ours, back); },
            [&] { return read(pair.foreign, got_back); }});
  CHECK(got_there == there);
  CHECK(got_back == back);
}

TEST_CASE("what is written over TLS in several buffers is one record") {
  Pair pair;
  pair.shake_hands();
  const auto head = text(4), content = text(300);
  std::string got(1000, 0);
  std::size_t written = 0, first = 0;
  pair.run({[&]() -> asio::awaitable<void> {
              const std::array<asio::const_buffer, 3> parts{asio::buffer(head), asio::const_buffer(), asio::buffer(content)};
              written = co_await pair.ours.async_write_some(parts, asio::use_awaitable);
            },
            [&]() -> asio::awaitable<void> {
              const auto space = asio::buffer(got);
              first = co_await pair.foreign.async_read_some(space, asio::use_awaitable);
            }});
  CHECK(written == 304);
  CHECK(got.substr(0, first) == head + content);
}

TEST_CASE("an end of TLS that was said is eof, one that was not is a stream that was cut") {
  ErrorCode ours, theirs;
  SECTION("said") {
    Pair pair;
    pair.shake_hands();
    pair.run({[&]() -> asio::awaitable<void> {
                auto token = asio::redirect_error(asio::use_awaitable, theirs);
                co_await pair.foreign.async_shutdown(token);
              },
              [&]() -> asio::awaitable<void> {
                ours = co_await end_of(pair.ours);
                co_await pair.ours.async_shutdown(asio::use_awaitable);
              }});
    CHECK(ours == asio::error::eof);
    CHECK(theirs == ErrorCode());
  }
  SECTION("cut") {
    Pair pair;
    pair.shake_hands();
    pair.run({[&]() -> asio::awaitable<void> { ours = co_await end_of(pair.ours); },
              [&]() -> asio::awaitable<void> {
                pair.foreign.next_layer().shutdown(Socket::shutdown_both);
                co_return;
              }});
    CHECK(ours == asio::ssl::error::stream_truncated);
  }
}

TEST_CASE("who closes the socket below TLS ends what is under way, and what its number then belongs to gets nothing") {
  Pair pair;
  pair.shake_hands();
  ErrorCode read, written;
  pair.run({[&]() -> asio::awaitable<void> { read = co_await end_of(pair.ours); },
            [&]() -> asio::awaitable<void> {
              const auto number = pair.socket.native_handle();
              pair.socket.close();
              asio::ip::tcp::acceptor acceptor(pair.loop, {asio::ip::address_v4::loopback(), 0});
              Socket one(pair.loop), other(pair.loop);
              one.connect(acceptor.local_endpoint());
              acceptor.accept(other);
              const std::string word = "for nobody";
              const auto bytes = asio::buffer(word);
              auto token = asio::redirect_error(asio::use_awaitable, written);
              co_await pair.ours.async_write_some(bytes, token);
              const auto is_taken = acceptor.native_handle() == number || one.native_handle() == number || other.native_handle() == number;
              CHECK(is_taken);
              CHECK(one.available() + other.available() == 0);
            }});
  CHECK(read == asio::error::operation_aborted);
  CHECK(written == boost::system::errc::bad_file_descriptor);
}

TEST_CASE("a client that goes away in the middle of its TLS handshake, or speaks something else, is an error") {
  ErrorCode error;
  SECTION("goes away") {
    Pair pair;
    pair.run({[&] { return accept(pair.ours, error); },
              [&]() -> asio::awaitable<void> {
                co_await write(pair.foreign.next_layer(), std::string("\x16\x03\x01\x02\x00\x01", 6));
                pair.foreign.next_layer().close();
              }});
    CHECK(error == asio::ssl::error::stream_truncated);
  }
  SECTION("speaks something else") {
    Pair pair;
    pair.run({[&] { return accept(pair.ours, error); },
              [&]() -> asio::awaitable<void> { co_await write(pair.foreign.next_layer(), "GET / HTTP/1.1\r\n\r\n"); }});
    CHECK(error.category() == asio::error::get_ssl_category());
    CHECK(error.message().find("http request") != std::string::npos);
  }
  SECTION("is closed by our own side while the handshake waits") {
    Pair pair;
    pair.run({[&] { return accept(pair.ours, error); },
              [&]() -> asio::awaitable<void> {
                pair.socket.close();
                co_return;
              }});
    CHECK(error == asio::error::operation_aborted);
  }
}
