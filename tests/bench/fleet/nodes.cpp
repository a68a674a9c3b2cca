#include "tests/bench/fleet/nodes.hpp"

#include <gorgone/base64.hpp>
#include <gorgone/json.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <ctime>
#include <thread>

namespace bench::fleet {
namespace {

using namespace gorgone;

constexpr std::size_t rows_kept = 400;

std::int64_t now_s() { return static_cast<std::int64_t>(std::time(nullptr)); }

std::int64_t now_ticks() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count() / 10;
}

// "gorgone-proxy-1-4711-<suffix>" gives "4711".
std::string node_of(const std::string& client) {
  const auto end = client.rfind('-');
  const auto begin = client.rfind('-', end - 1);
  return end == std::string::npos || begin == std::string::npos ? std::string() : client.substr(begin + 1, end - begin - 1);
}

wire::ServerSessions::Config config_of(const wire::RsaPrivateKey& own) {
  wire::ServerSessions::Config config;
  config.hostname = "simulated";
  config.pubkey_pem = own.public_key().pem();
  return config;
}

}  // namespace

Nodes::Nodes(zmq::context_t& context, wire::RsaPrivateKey own, wire::RsaPublicKey authorized)
    : context_(context), own_(std::move(own)), authorized_(std::move(authorized)), config_(config_of(own_)), sessions_(config_) {
  listen();
}

void Nodes::listen() {
  socket_ = zmq::socket_t(context_, zmq::socket_type::router);
  socket_.set(zmq::sockopt::router_handover, true);
  socket_.set(zmq::sockopt::linger, 0);
  socket_.set(zmq::sockopt::sndhwm, 0);
  socket_.set(zmq::sockopt::rcvhwm, 0);
  socket_.set(zmq::sockopt::backlog, 4096);
  // Every address of 127.0.0.0/8, and no other network's.
  socket_.set(zmq::sockopt::bindtodevice, "lo");
  socket_.bind("tcp://0.0.0.0:" + (port_ ? std::to_string(port_) : std::string("*")));
  const auto endpoint = socket_.get(zmq::sockopt::last_endpoint);
  const auto digits = std::string_view(endpoint).substr(endpoint.rfind(':') + 1);
  std::from_chars(digits.data(), digits.data() + digits.size(), port_);
}

void Nodes::restart(bool keep_sessions) {
  socket_.close();
  if (!keep_sessions) sessions_ = wire::ServerSessions(config_);
  // The port is free when ZeroMQ's thread has closed it.
  for (int attempt = 0;; ++attempt) try {
      listen();
      return;
    } catch (const zmq::error_t& error) {
      if (error.num() != EADDRINUSE || attempt == 100) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

void Nodes::serve() {
  zmq::message_t from, frame;
  while (socket_.recv(from, zmq::recv_flags::dontwait)) {
    (void)socket_.recv(frame);
    const bool is_single = !frame.more();
    while (frame.more()) (void)socket_.recv(frame);
    const auto client = from.to_string();
    if (is_single && client.starts_with("gorgone-")) perform(client, sessions_.on_frame(client, frame.to_string_view(), now_s()));
  }
}

void Nodes::on_clock() {
  for (const auto& [client, frame] : sessions_.on_clock(now_s()).send) send(client, frame);
}

void Nodes::perform(const std::string& client, wire::ServerSessions::Steps steps) {
  using Sessions = wire::ServerSessions;
  for (auto& step : steps) {
    if (auto* text = std::get_if<Sessions::Send>(&step)) {
      send(client, text->frame);
    } else if (auto* greeting = std::get_if<Sessions::Verify>(&step)) {
      auto verified = verify(greeting->helo);
      ++(verified ? counts_.greetings : counts_.refused);
      perform(client, sessions_.on_verified(client, std::move(verified), now_s()));
    } else if (auto* request = std::get_if<Sessions::Request>(&step)) {
      if (const auto sealed = sessions_.seal(client, wire::format_answer(answer(node_of(client), request->message)))) send(client, *sealed);
    } else if (std::get_if<Sessions::Refused>(&step)) {
      ++counts_.refused;
    }
  }
}

// All clients have the same key: it is compared, not decoded, for these nodes stand for machines with processors of their own.
Result<wire::RsaPublicKey> Nodes::verify(const wire::HeloText& helo) const {
  if (helo.client_pem != authorized_.pem()) return Error{"its key is not the central's"};
  const auto plain = own_.decrypt(helo.sealed);
  if (!plain || *plain != "HELO") return Error{"its HELO was not encrypted with our public key"};
  return authorized_;
}

Answer Nodes::answer(const std::string& id, const Message& message) {
  if (message.action == "PING") {
    ++counts_.pings;
    counts_.seen.insert(id);
    json::object data{{"action", "ping"}, {"message", "ping ok"}, {"id", id}, {"hostname", "simulated"}, {"data", json::object()}};
    return {"PONG", message.token, 0, Payload(json::value(std::move(data)))};
  }
  if (message.action == "GETLOG") {
    ++counts_.fetches;
    const auto filter = message.data.json();
    if (filter) return {"ACK", message.token, 0, Payload(rows_after(id, **filter))};
  }
  if (message.action == "COMMAND") return run(id, message);
  return {"ACK", "", 1, Payload(R"({"error":"unknown_action","message":"action ')" + message.action + R"(' is unknown"})")};
}

Answer Nodes::run(const std::string& id, const Message& message) {
  ++counts_.commands;
  auto& node = nodes_[id];
  write(node, message.token, 0, R"({"message":"commands processing has started"})");
  write(node, message.token, 100, R"({"message":"command has finished successfully","result":{"exit_code":0,"stdout":"ran"}})");
  write(node, message.token, 2, R"({"message":"commands processing has finished successfully"})");
  return {"ACK", message.token, 0, Payload("null")};
}

std::string Nodes::rows_after(const std::string& id, const json::value& filter) const {
  const auto after = static_cast<std::int64_t>(number_of(member(filter, "ctime")).value_or(0) * 100000 + 0.5);
  const auto token = text_of(member(filter, "token")).value_or("");
  std::string list;
  if (const auto found = nodes_.find(id); found != nodes_.end()) {
    for (const auto& row : found->second.rows) {
      if (row.time <= after || (!token.empty() && row.token != token)) continue;
      fmt::format_to(std::back_inserter(list), R"({}{{"id":"{}","token":"{}","code":{},"etime":{},"ctime":{}.{:05},"instant":0,"data":)",
                     list.empty() ? "" : ",", row.id, row.token, row.code, row.time / 100000, row.time / 100000, row.time % 100000);
      append_json_string(list, row.data);
      list += '}';
    }
  }
  return fmt::format(R"({{"action":"getlog","result":[{}],"id":"{}"}})", list, id);
}

void Nodes::write(Node& node, const std::string& token, int code, std::string data) {
  node.last_time = std::max(now_ticks(), node.last_time + 1);
  node.rows.push_back({++node.last_id, token, code, node.last_time, std::move(data)});
  if (node.rows.size() > rows_kept) node.rows.pop_front();
}

void Nodes::send(const std::string& client, std::string_view frame) {
  socket_.send(zmq::buffer(client), zmq::send_flags::sndmore);
  socket_.send(zmq::buffer(frame));
}

}  // namespace bench::fleet
