#include "core/wire/zmtp.hpp"

#include <catch2/catch.hpp>

using namespace gorgone;
using namespace gorgone::wire;
using namespace std::string_view_literals;

namespace {

// What libzmq 4 sends.
std::string greeting_of_peer(char version = 3, std::string_view mechanism = "NULL") {
  std::string text("\xff\0\0\0\0\0\0\0\1\x7f"sv);
  text += version;
  text += '\1';
  text += mechanism;
  text.resize(64, '\0');
  return text;
}

const std::string ready_of_peer("\4\x29\5READY\xbSocket-Type\0\0\0\6ROUTER\x8Identity\0\0\0\0"sv);

template <class T>
const T* find(const ZmtpClient::Steps& steps) {
  for (const auto& step : steps)
    if (const auto* found = std::get_if<T>(&step)) return found;
  return nullptr;
}

std::vector<std::string> frames_of(const ZmtpClient::Steps& steps) {
  std::vector<std::string> frames;
  for (const auto& step : steps)
    if (const auto* received = std::get_if<ZmtpClient::Received>(&step)) frames.push_back(received->frame);
  return frames;
}

ZmtpClient ready_client(std::size_t frame_size_max = 1000) {
  ZmtpClient client("gorgone-1", frame_size_max);
  client.on_bytes(greeting_of_peer());
  client.on_bytes(ready_of_peer);
  REQUIRE(client.is_ready());
  return client;
}

std::string why_failed(std::string_view bytes, ZmtpClient client = ZmtpClient("gorgone-1", 1000)) {
  const auto steps = client.on_bytes(bytes);
  const auto* failed = find<ZmtpClient::Failed>(steps);
  return failed ? failed->why.message : "it did not fail";
}

}  // namespace

TEST_CASE("a connection greets with 64 bytes, version 3 and mechanism NULL") {
  const auto text = ZmtpClient::greeting();
  REQUIRE(text.size() == 64);
  CHECK(text[0] == '\xff');
  CHECK(text[9] == '\x7f');
  CHECK(text[10] == 3);
  CHECK(text.substr(12, 5) == "NULL\0"sv);
}

TEST_CASE("the greeting of a peer is answered with READY, the socket's type and the routing id") {
  ZmtpClient client("gorgone-1", 1000);
  const auto steps = client.on_bytes(greeting_of_peer());
  REQUIRE(find<ZmtpClient::Send>(steps));
  CHECK(find<ZmtpClient::Send>(steps)->bytes == "\4\x32\5READY\xbSocket-Type\0\0\0\6DEALER\x8Identity\0\0\0\11gorgone-1"sv);
  CHECK_FALSE(client.is_ready());
  CHECK(find<ZmtpClient::Ready>(client.on_bytes(ready_of_peer)));
}

TEST_CASE("a handshake and messages that come byte by byte are understood as when they come at once") {
  const auto all =
      greeting_of_peer() + ready_of_peer + std::string("\0\2ab"sv) + std::string("\2\0\0\0\0\0\0\1\0"sv) + std::string(256, 'x');
  ZmtpClient at_once("gorgone-1", 1000), by_bytes("gorgone-1", 1000);
  const auto expected = frames_of(at_once.on_bytes(all));
  REQUIRE(expected == std::vector<std::string>{"ab", std::string(256, 'x')});
  std::vector<std::string> found;
  for (const char byte : all)
    for (auto& frame : frames_of(by_bytes.on_bytes({&byte, 1}))) found.push_back(std::move(frame));
  CHECK(found == expected);
}

TEST_CASE("a frame of up to 255 bytes has a short head, a longer one a long head") {
  std::string out;
  ZmtpClient::append_frame(out, std::string(255, 'a'));
  CHECK(out.substr(0, 2) == "\0\xff"sv);
  out.clear();
  ZmtpClient::append_frame(out, std::string(256, 'a'));
  CHECK(out.substr(0, 9) == "\2\0\0\0\0\0\0\1\0"sv);
  CHECK(out.size() == 9 + 256);
}

TEST_CASE("a message of several frames is dropped whole, the next one is taken") {
  auto client = ready_client();
  CHECK(frames_of(client.on_bytes("\1\1a\1\1b\0\1c\0\1d"sv)) == std::vector<std::string>{"d"});
}

TEST_CASE("a PING of the transport is answered with its context, other commands are passed over") {
  auto client = ready_client();
  const auto steps = client.on_bytes(
      "\4\x9\4PING\0\x0a"
      "xy"sv);
  REQUIRE(find<ZmtpClient::Send>(steps));
  CHECK(find<ZmtpClient::Send>(steps)->bytes == "\4\7\4PONGxy"sv);
  CHECK(client.on_bytes("\4\6\5OTHER"sv).empty());
}

TEST_CASE("a frame longer than allowed ends the connection before it has come") {
  CHECK(why_failed("\2\0\0\0\0\0\0\3\xe9"sv, ready_client()) ==
        "it sends a frame of 1001 bytes, at most 1000 are taken (gorgonecore.max_answer_size)");
  CHECK(why_failed("\2\xff\xff\xff\xff\xff\xff\xff\xff"sv, ready_client()).find("18446744073709551615 bytes") != std::string::npos);
  CHECK(why_failed("\2\0\0\0\0\0\0\3\xe8"sv, ready_client()) == "it did not fail");
}

TEST_CASE("who is no ZeroMQ listener of our kind is told apart at the first bytes that show it") {
  CHECK(why_failed("SSH-2.0-OpenSSH_9.2\r\n") == "it does not speak ZeroMQ: it greets with SSH-2.0-OpenSSH_9.2\\x0d\\x0a");
  CHECK(why_failed("\xff\0\0\0\0\0\0\0\1\x7f\1"sv) == "it speaks ZMTP 1, expected ZMTP 3 (ZeroMQ 4)");
  CHECK(why_failed(greeting_of_peer(3, "CURVE")) == "it asks for the mechanism CURVE of ZeroMQ, expected NULL");
  CHECK(why_failed(greeting_of_peer() + std::string("\0\1a"sv)) == "it sent a message before it was ready");
  CHECK(why_failed(greeting_of_peer() + std::string("\x80\1a"sv)) == "it sent what is no frame of ZMTP: flags 0x80");
  CHECK(why_failed(greeting_of_peer() + std::string("\4\13\5ERROR\4nope"sv)) == "it refused the connection: nope");
}

TEST_CASE("nothing is taken after a failure") {
  ZmtpClient client("gorgone-1", 1000);
  client.on_bytes("no");
  CHECK(client.on_bytes(greeting_of_peer() + ready_of_peer).empty());
  CHECK_FALSE(client.is_ready());
}
