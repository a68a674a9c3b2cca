#pragma once
// A ZmtpServer that is fed with what a client says, and what it answers.

#include <catch2/catch.hpp>

#include "zmtp_client.hpp"
#include "zmtp_server.hpp"

namespace gorgone::mcollective::test {

struct Machine {
  explicit Machine(const KeyPair* keys, std::size_t message_bytes_max = 1 << 20) : server(keys, {message_bytes_max}) {}

  /// In pieces of so many bytes.
  void feed(std::string_view bytes, std::size_t piece = std::string_view::npos) {
    while (!bytes.empty()) {
      auto part = bytes.substr(0, piece);
      bytes.remove_prefix(part.size());
      while (step(part)) {
      }
    }
  }

  bool step(std::string_view& bytes) {
    auto next = server.next(bytes);
    if (std::get_if<ZmtpServer::More>(&next)) return false;
    if (auto* send = std::get_if<ZmtpServer::Send>(&next)) sent += send->bytes;
    if (std::get_if<ZmtpServer::Compute>(&next)) server.compute();
    if (auto* received = std::get_if<ZmtpServer::Received>(&next)) messages.push_back(std::move(received->frames));
    if (auto* ping = std::get_if<ZmtpServer::Ping>(&next)) pings.push_back(ping->context);
    if (auto* pong = std::get_if<ZmtpServer::Pong>(&next)) pongs.push_back(pong->context);
    if (auto* introduced = std::get_if<ZmtpServer::Introduced>(&next)) {
      peer = *introduced;
      if (refuse)
        server.refuse(Error{*refuse}, "400");
      else
        server.accept();
    }
    if (auto* failed = std::get_if<ZmtpServer::Failed>(&next)) {
      REQUIRE_FALSE(why);
      why = failed->why.message;
      sent += failed->answer;
    }
    return true;
  }

  /// Through CURVE's handshake.
  void shake_hands(CurveClient& client, const std::string& routing_id = "web1", std::size_t piece = std::string_view::npos) {
    feed(greeting("CURVE"), piece);
    feed(client.hello(), piece);
    REQUIRE(client.on_welcome(std::exchange(sent, {})));
    feed(client.initiate(properties(routing_id)), piece);
    std::string metadata;
    REQUIRE(client.open_ready(metadata, std::exchange(sent, {})));
    REQUIRE(metadata.find("ROUTER") != std::string::npos);
  }

  ZmtpServer server;
  std::string sent;
  std::vector<Frames> messages;
  std::vector<std::string> pings, pongs;
  std::optional<ZmtpServer::Introduced> peer;
  std::optional<std::string> refuse, why;
};

inline bool holds(const std::optional<std::string>& text, std::string_view part) { return text && text->find(part) != std::string::npos; }

}  // namespace gorgone::mcollective::test
