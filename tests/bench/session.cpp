#include "tests/bench/session.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>
#include <gorgone/base64.hpp>
#include <gorgone/json.hpp>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace bench {
namespace {

namespace wire = gorgone::wire;

std::string raw_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2) bytes += static_cast<char>(std::stoi(std::string(hex.substr(at, 2)), nullptr, 16));
  return bytes;
}

// `[KEY] {"key":"<hex>","iv":"<hex>",…}`
wire::SessionCipher cipher_of(std::string_view text) {
  const auto parsed = gorgone::parse_json(text.substr(std::min(text.find('{'), text.size())));
  if (!parsed) throw std::runtime_error("the KEY message is no JSON");
  const auto& members = parsed->as_object();
  return wire::SessionCipher({raw_of(members.at("key").as_string()), raw_of(members.at("iv").as_string()), 1});
}

}  // namespace

zmq::socket_t connect(zmq::context_t& context, const std::string& endpoint, const std::string& routing_id) {
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  socket.set(zmq::sockopt::routing_id, routing_id);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::sndhwm, 0);
  socket.set(zmq::sockopt::rcvhwm, 0);
  socket.connect(endpoint);
  return socket;
}

std::string take_frame(zmq::socket_t& socket, std::chrono::milliseconds limit) {
  socket.set(zmq::sockopt::rcvtimeo, static_cast<int>(limit.count()));
  zmq::message_t frame;
  if (!socket.recv(frame)) throw std::runtime_error(fmt::format("no answer within {} ms", limit.count()));
  return frame.to_string();
}

wire::RsaPublicKey ask_key(zmq::socket_t& socket) {
  socket.send(zmq::str_buffer("[GETPUBKEY]"));
  const auto frame = take_frame(socket);
  const auto begin = frame.rfind('[');
  return wire::RsaPublicKey::from_pem(gorgone::base64_decode(std::string_view(frame).substr(begin + 1))).value();
}

std::string helo(const wire::RsaPublicKey& server, const wire::RsaPublicKey& own, std::string_view secret) {
  return fmt::format("[bench] [{}] [{}]", gorgone::base64_encode(own.pem()), gorgone::base64_encode(server.encrypt(secret).value()));
}

Session::Session(zmq::context_t& context, const std::string& endpoint, const wire::RsaPrivateKey& key)
    : socket_(connect(context, endpoint, fmt::format("gorgone-bench-{}", getpid()))) {
  const auto server = ask_key(socket_);
  socket_.send(zmq::buffer(helo(server, key.public_key())));
  const auto frame = take_frame(socket_);
  if (frame.starts_with("[")) throw std::runtime_error("refused: " + frame);
  cipher_ = cipher_of(key.decrypt(gorgone::base64_decode(frame)).value());
}

Session::Session(zmq::context_t& context, const std::string& endpoint, wire::SessionCipher cipher)
    : socket_(connect(context, endpoint, fmt::format("gorgone-bench-{}", getpid()))), cipher_(std::move(cipher)) {}

std::string Session::opened(std::string_view frame) const {
  auto text = cipher_->open(frame);
  if (!text) throw std::runtime_error("a frame that the session's key does not open: " + std::string(frame.substr(0, 80)));
  return std::move(*text);
}

std::string Session::take(std::chrono::milliseconds limit) { return opened(take_frame(socket_, limit)); }

// zmq_poll() knows only milliseconds, which is more than most answers take.
void Session::wait(Clock::time_point limit) {
  using namespace std::chrono;
  const auto left = duration_cast<nanoseconds>(limit - Clock::now()).count();
  if (left <= 0) return;
  pollfd readable{socket_.get(zmq::sockopt::fd), POLLIN, 0};
  const timespec time{left / 1'000'000'000, left % 1'000'000'000};
  ppoll(&readable, 1, &time, nullptr);
}

std::optional<std::string> Session::take_now() {
  zmq::message_t frame;
  if (!socket_.recv(frame, zmq::recv_flags::dontwait)) return {};
  return opened(frame.to_string_view());
}

double percentile_ms(std::vector<double> values, double percent) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto place = std::ceil(percent / 100 * static_cast<double>(values.size()));
  return 1000 * values[static_cast<std::size_t>(std::max(place, 1.0)) - 1];
}

}  // namespace bench
