#include <poll.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <map>

#include "keys.hpp"
#include "load.hpp"

namespace gorgone::bench {
namespace {

using Message = std::vector<zmq::message_t>;

class Router {
 public:
  Router(const std::string& secret_key, const std::string& endpoint) : socket_(context_, zmq::socket_type::router) {
    context_.set(zmq::ctxopt::max_sockets, 10000);
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::sndhwm, 0);
    socket_.set(zmq::sockopt::rcvhwm, 0);
    socket_.set(zmq::sockopt::curve_server, 1);
    socket_.set(zmq::sockopt::curve_secretkey, secret_key);
    socket_.bind(endpoint);
  }

  std::string endpoint() const { return socket_.get(zmq::sockopt::last_endpoint); }

  /// As before it was killed: nobody says SUB again.
  void knows(const std::string& topic, const std::string& subscriber) { subscribers_[topic].push_back(subscriber); }
  void remember_in(std::ofstream file) { memory_ = std::move(file); }

  void run() {
    zmq::pollitem_t items[] = {{socket_, 0, ZMQ_POLLIN, 0}, {nullptr, STDIN_FILENO, ZMQ_POLLIN, 0}};
    Message message;
    while (true) {
      zmq::poll(items, 2);
      if (items[1].revents != 0) return;
      for (message.clear(); zmq::recv_multipart(socket_, std::back_inserter(message), zmq::recv_flags::dontwait); message.clear())
        handle(message);
    }
  }

 private:
  void handle(Message& message) {
    if (message.size() < 3) return;
    const auto verb = message[2].to_string_view();
    std::string id, topic;
    std::size_t at = 3;
    for (; at + 1 < message.size() && message[at].size() > 0; at += 2) {
      if (message[at].to_string_view() == "ID") id = message[at + 1].to_string();
      if (message[at].to_string_view() == "TOPIC") topic = message[at + 1].to_string();
    }
    if (verb == "SUB" && at + 1 < message.size()) {
      knows(message[at + 1].to_string(), message[0].to_string());
      if (memory_.is_open()) memory_ << message[at + 1].to_string() << '\t' << message[0].to_string() << std::endl;
    }
    if (verb == "PUT") {
      for (const auto& subscriber : subscribers_[topic]) pass_on(subscriber, message, at);
    }
    if (!id.empty()) {
      const auto more = zmq::send_flags::sndmore;
      socket_.send(message[0], more);
      socket_.send(zmq::const_buffer(), more);
      socket_.send(zmq::str_buffer("OK"), more);
      socket_.send(zmq::str_buffer("ID"), more);
      socket_.send(zmq::buffer(id), zmq::send_flags::none);
    }
  }

  // As many frames as the broker sends: all but the ID.
  void pass_on(const std::string& to, Message& message, std::size_t body_at) {
    const auto more = zmq::send_flags::sndmore;
    socket_.send(zmq::buffer(to), more);
    socket_.send(zmq::const_buffer(), more);
    socket_.send(zmq::str_buffer("MESSAGE"), more);
    for (std::size_t i = 3; i < message.size(); ++i) {
      if (i < body_at && message[i].to_string_view() == "ID") {
        ++i;
        continue;
      }
      zmq::message_t copy;
      copy.copy(message[i]);
      socket_.send(copy, i + 1 < message.size() ? more : zmq::send_flags::none);
    }
  }

  zmq::context_t context_{1};
  zmq::socket_t socket_;
  std::map<std::string, std::vector<std::string>> subscribers_;
  std::ofstream memory_;
};

}  // namespace

void serve_libzmq(const std::string& memory) {
  std::string endpoint = "tcp://127.0.0.1:*", public_key, secret_key, topic, subscriber;
  std::ifstream known(memory);
  const bool is_known = !memory.empty() && known >> endpoint >> public_key >> secret_key >> std::ws;
  if (!is_known) {
    const auto keys = mcollective::new_key_pair();
    public_key = mcollective::to_z85(keys.public_key);
    secret_key = mcollective::to_z85(keys.secret_key);
  }
  Router router(secret_key, endpoint);
  while (is_known && std::getline(known, topic, '\t') && std::getline(known, subscriber)) router.knows(topic, subscriber);
  if (!memory.empty()) {
    std::ofstream file(memory, std::ios::app);
    if (!is_known) file << router.endpoint() << ' ' << public_key << ' ' << secret_key << std::endl;
    router.remember_in(std::move(file));
  }
  std::cout << router.endpoint() << " " << public_key << std::endl;
  router.run();
}

}  // namespace gorgone::bench
