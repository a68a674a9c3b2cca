#include <catch2/catch.hpp>

#include "core/net/lenient_text.hpp"

#include <algorithm>
#include <string>

using gorgone::net::TextAsBinary;

namespace {

const std::string head = "HTTP/1.1 101 Switching Protocols\r\nServer: \x81\x01\r\n\r\n";

std::string frame(unsigned first, const std::string& payload) {
  std::string out(1, static_cast<char>(first));
  if (payload.size() < 126) {
    out += static_cast<char>(payload.size());
  } else if (payload.size() < 65536) {
    out += static_cast<char>(126);
    for (int shift = 8; shift >= 0; shift -= 8) out += static_cast<char>(payload.size() >> shift & 0xFF);
  } else {
    out += static_cast<char>(127);
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(payload.size() >> shift & 0xFF);
  }
  return out + payload;
}

}  // namespace

TEST_CASE("text of a server becomes binary, nothing else is touched, wherever the stream is cut") {
  const std::string small = "\x81\x01\x01", middle(300, '\x81'), large(70000, '\x01');
  const auto from = head + frame(0x81, small) + frame(0x89, "\x01?") + frame(0x01, middle) + frame(0x80, "") + frame(0x82, "\x81") +
                    frame(0x81, "") + frame(0x81, large) + frame(0x88, "\x03\xe8");
  const auto to = head + frame(0x82, small) + frame(0x89, "\x01?") + frame(0x02, middle) + frame(0x80, "") + frame(0x82, "\x81") +
                  frame(0x82, "") + frame(0x82, large) + frame(0x88, "\x03\xe8");
  for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{1000}, from.size()}) {
    auto bytes = from;
    TextAsBinary text;
    for (std::size_t at = 0; at < bytes.size(); at += step) text.pass(bytes.data() + at, std::min(step, bytes.size() - at));
    CHECK(bytes == to);
  }
}
