#include "load.hpp"

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "keys.hpp"

namespace gorgone::bench {
namespace {

using Clock = std::chrono::steady_clock;
using mcollective::new_key_pair;
using mcollective::to_z85;

constexpr int window = 32;  // messages of one publisher under way
constexpr std::size_t body_size = 1000;
constexpr auto patience = std::chrono::seconds(60);

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

[[noreturn]] void give_up(const std::string& what) { throw std::runtime_error(what + " did not come within a minute"); }

void rest() { std::this_thread::sleep_for(std::chrono::microseconds(200)); }

using Clients = std::vector<std::unique_ptr<Client>>;

Clients subscribers_of(zmq::context_t& context, const Target& target, int count, const std::string& topic) {
  Clients clients;
  for (int i = 0; i < count; ++i) clients.push_back(std::make_unique<Client>(context, target, "node" + std::to_string(i) + " 1 #<Thread>"));
  for (auto& client : clients) client->ask("CONNECT");
  for (auto& client : clients) client->ask("SUB", topic);
  // Until then the broker keeps what comes behind a SUB.
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  return clients;
}

void set_threads(zmq::context_t& context, int sockets) { context.set(zmq::ctxopt::max_sockets, sockets + 16); }

}  // namespace

void wait_for_start() {
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
}

Client::Client(zmq::context_t& context, const Target& target, const std::string& name) : socket_(context, zmq::socket_type::dealer) {
  const auto keys = new_key_pair();
  socket_.set(zmq::sockopt::linger, 0);
  socket_.set(zmq::sockopt::sndhwm, 0);
  socket_.set(zmq::sockopt::rcvhwm, 0);
  socket_.set(zmq::sockopt::routing_id, name);
  socket_.set(zmq::sockopt::curve_serverkey, target.key);
  socket_.set(zmq::sockopt::curve_publickey, to_z85(keys.public_key));
  socket_.set(zmq::sockopt::curve_secretkey, to_z85(keys.secret_key));
  socket_.connect(target.endpoint);
}

void Client::ask(const std::string& verb, const std::string& topic) {
  std::vector<std::string> frames{"", verb, "ID", "1"};
  if (verb == "CONNECT") frames.insert(frames.end(), {"VERSION", "0.2"});
  if (!topic.empty()) frames.insert(frames.end(), {"", topic});
  for (std::size_t i = 0; i < frames.size(); ++i)
    socket_.send(zmq::buffer(frames[i]), i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
  const auto end = Clock::now() + patience;
  std::vector<zmq::message_t> answer;
  while (!receive(answer)) {
    if (Clock::now() > end) give_up("the answer to " + verb);
    rest();
  }
  if (answer.size() < 2 || answer[1].to_string_view() != "OK")
    throw std::runtime_error(verb + " was answered " + answer.back().to_string());
}

void Client::put(const std::string& topic, const std::string& id, const std::string& body) {
  const auto more = zmq::send_flags::sndmore;
  socket_.send(zmq::const_buffer(), more);
  socket_.send(zmq::str_buffer("PUT"), more);
  if (!id.empty()) {
    socket_.send(zmq::str_buffer("ID"), more);
    socket_.send(zmq::buffer(id), more);
  }
  socket_.send(zmq::str_buffer("TOPIC"), more);
  socket_.send(zmq::buffer(topic), more);
  socket_.send(zmq::const_buffer(), more);
  socket_.send(zmq::buffer(body), zmq::send_flags::none);
}

bool Client::receive(std::vector<zmq::message_t>& frames) {
  frames.clear();
  return zmq::recv_multipart(socket_, std::back_inserter(frames), zmq::recv_flags::dontwait).has_value();
}

void point_to_point(const Target& target, int count, int pairs) {
  zmq::context_t context(1);
  set_threads(context, 2 * pairs);
  struct Pair {
    std::unique_ptr<Client> publisher, subscriber;
    std::string topic;
    int sent = 0, acknowledged = 0, delivered = 0;
  };
  std::vector<Pair> all(static_cast<std::size_t>(pairs));
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto& pair = all[i];
    pair.topic = "mcollective nodes node" + std::to_string(i);
    pair.publisher = std::make_unique<Client>(context, target, "client" + std::to_string(i));
    pair.subscriber = std::make_unique<Client>(context, target, "node" + std::to_string(i));
    for (auto* client : {pair.publisher.get(), pair.subscriber.get()}) client->ask("CONNECT");
    pair.subscriber->ask("SUB", pair.topic);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  wait_for_start();

  const std::string body(body_size, 'b');
  const auto begin = Clock::now();
  const int each = count / pairs;
  std::vector<zmq::message_t> frames;
  int open = pairs, refused = 0;
  while (open > 0) {
    open = 0;
    bool is_idle = true;
    for (auto& pair : all) {
      while (pair.publisher->receive(frames)) {
        ++pair.acknowledged;
        if (frames.size() > 1 && frames[1].to_string_view() == "ERROR") ++refused;
        is_idle = false;
      }
      while (pair.subscriber->receive(frames)) {
        if (frames.size() > 1 && frames[1].to_string_view() == "MESSAGE") ++pair.delivered;
        is_idle = false;
      }
      while (pair.sent < each && pair.sent - std::min(pair.acknowledged, pair.delivered + refused) < window) {
        pair.publisher->put(pair.topic, std::to_string(++pair.sent), body);
        is_idle = false;
      }
      if (pair.acknowledged < each || pair.delivered + refused < each) ++open;
    }
    if (is_idle) rest();
    if (seconds_since(begin) > 300) give_up("what was sent");
  }
  int delivered = 0;
  for (const auto& pair : all) delivered += pair.delivered;
  std::cout << "{\"messages\": " << delivered << ", \"refused\": " << refused << ", \"seconds\": " << seconds_since(begin) << "}"
            << std::endl;
}

void fan_out(const Target& target, int count, int subscribers) {
  zmq::context_t context(1);
  set_threads(context, subscribers + 1);
  const std::string topic = "mcollective discovery";
  auto clients = subscribers_of(context, target, subscribers, topic);
  Client publisher(context, target, "client");
  publisher.ask("CONNECT");
  wait_for_start();

  const std::string body(body_size, 'b');
  const auto begin = Clock::now();
  const auto size = static_cast<long>(clients.size());
  long delivered = 0;
  int sent = 0;
  std::vector<zmq::message_t> frames;
  while (delivered < count * size) {
    // So many are under way to each subscriber, on the average.
    while (sent < count && sent * size - delivered < 16 * size) {
      publisher.put(topic, {}, body);
      ++sent;
    }
    const auto before = delivered;
    for (auto& client : clients) {
      while (client->receive(frames)) {
        if (frames.size() > 1 && frames[1].to_string_view() == "MESSAGE") ++delivered;
      }
    }
    if (delivered == before) rest();
    if (seconds_since(begin) > 300) give_up("what was sent");
  }
  std::cout << "{\"messages\": " << delivered << ", \"seconds\": " << seconds_since(begin) << "}" << std::endl;
}

void idle(const Target& target, int count) {
  zmq::context_t context(1);
  set_threads(context, count + 1);
  const std::string topic = "mcollective discovery";
  auto clients = subscribers_of(context, target, count, topic);
  Client publisher(context, target, "client");
  publisher.ask("CONNECT");
  std::vector<zmq::message_t> frames;
  std::string line;
  std::cout << "ready" << std::endl;
  for (int round = 1; std::getline(std::cin, line); ++round) {
    const auto begin = Clock::now();
    auto next = begin;
    std::vector<bool> has(clients.size());
    std::size_t heard = 0;
    double half = 0;
    while (heard < clients.size()) {
      if (Clock::now() >= next) {
        publisher.put(topic, {}, "round " + std::to_string(round));
        next = Clock::now() + std::chrono::seconds(1);
      }
      for (std::size_t i = 0; i < clients.size(); ++i) {
        while (clients[i]->receive(frames)) {
          if (has[i] || frames.back().to_string_view() != "round " + std::to_string(round)) continue;
          has[i] = true;
          if (++heard == clients.size() / 2) half = seconds_since(begin);
        }
      }
      // Less often than elsewhere: going through all of them takes the processor that their handshakes need.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (seconds_since(begin) > 120) break;
    }
    std::cout << "{\"heard\": " << heard << ", \"half\": " << half << ", \"seconds\": " << seconds_since(begin) << "}" << std::endl;
  }
}

}  // namespace gorgone::bench
