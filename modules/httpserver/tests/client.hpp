#pragma once
// A bare HTTP client for the tests: sends bytes as they are, reads what comes. Runs on the test's loop.

#include "fake_core.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

namespace gorgone::test {

inline std::string get(const std::string& target, const std::string& headers = {}) {
  return "GET " + target + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n";
}

inline std::string post(const std::string& target, const std::string& body, const std::string& headers = {}) {
  return "POST " + target + " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
}

constexpr auto closing = "Connection: close\r\n";

class Client {
 public:
  Client(FakeCore& core, std::uint16_t port) : core_(core), socket_(core.loop()) {
    socket_.connect({asio::ip::address_v4::loopback(), port});
  }

  void send(const std::string& bytes) { asio::write(socket_, asio::buffer(bytes)); }
  /// Sends in pieces while the loop runs.
  void start_sending(std::string bytes) {
    auto kept = std::make_shared<std::string>(std::move(bytes));
    asio::async_write(socket_, asio::buffer(*kept), [kept](boost::system::error_code, std::size_t) {});
  }
  /// All that comes until the server closes the connection.
  std::string read_all() {
    start_reading();
    if (!core_.run_until([this] { return is_closed; })) return "the server did not close the connection; " + received;
    return received;
  }
  /// What has come when it first holds `text`.
  std::string read_until(const std::string& text) {
    start_reading();
    core_.run_until([&] { return is_closed || received.find(text) != std::string::npos; });
    return received;
  }
  void close() { socket_.close(); }

  std::string received;
  bool is_closed = false;

 private:
  void start_reading() {
    if (is_reading_) return;
    is_reading_ = true;
    read_more();
  }
  void read_more() {
    socket_.async_read_some(asio::buffer(piece_), [this](boost::system::error_code error, std::size_t size) {
      if (error == asio::error::operation_aborted) return;
      received.append(piece_.data(), size);
      is_closed = error.failed();
      if (!error) read_more();
    });
  }

  FakeCore& core_;
  asio::ip::tcp::socket socket_;
  std::array<char, 4096> piece_;
  bool is_reading_ = false;
};

}  // namespace gorgone::test
