// The bytes of a ZeroMQ connection, in pieces. The first bytes say how long the pieces are, and whether a peer's handshake comes first.

#include "core/wire/zmtp.hpp"

#include <algorithm>
#include <vector>

#include "tests/fuzz/fuzz.hpp"

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace gorgone::wire;

namespace {

using namespace std::string_view_literals;

constexpr std::size_t limit = 2000;

/// What came of a connection, as text.
struct Told {
  std::string text;
  std::vector<std::string> frames;
  bool is_ready = false, is_over = false;

  void take(const ZmtpClient::Steps& steps) {
    for (const auto& step : steps) {
      require(!is_over, "nothing follows a failure", text);
      if (const auto* send = std::get_if<ZmtpClient::Send>(&step)) {
        text += "send " + send->bytes + "\n";
      } else if (std::get_if<ZmtpClient::Ready>(&step)) {
        require(!is_ready, "a connection is ready once", text);
        is_ready = true;
        text += "ready\n";
      } else if (const auto* received = std::get_if<ZmtpClient::Received>(&step)) {
        require(is_ready, "no message comes before the connection is ready", text);
        require(received->frame.size() <= limit, "no frame is longer than allowed", received->frame);
        text += "frame " + received->frame + "\n";
        frames.push_back(received->frame);
      } else if (const auto* failed = std::get_if<ZmtpClient::Failed>(&step)) {
        require(is_one_clean_line(failed->why.message), "what a peer wrote is told on one clean line", failed->why.message);
        text += "failed " + failed->why.code + "\n";  // the message quotes what had come by then
        is_over = true;
      }
    }
  }
};

std::string handshake() { return ZmtpClient::greeting().append("\4\6\5READY"sv); }

/// What a client writes, another one reads.
void check_written(const std::vector<std::string>& frames) {
  std::string bytes = handshake();
  for (const auto& frame : frames) {
    ZmtpClient::append_frame(bytes, frame);
    bytes += ZmtpClient::ping();
  }
  ZmtpClient reader("gorgone-2", limit);
  Told told;
  told.take(reader.on_bytes(bytes));
  require(told.frames == frames && !told.is_over, "a frame survives being written and read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const auto piece = input.byte() + std::size_t{1};
  std::string bytes = input.flag() ? handshake() : std::string();
  bytes += input.rest();
  ZmtpClient whole("gorgone-1", limit), pieces("gorgone-1", limit);
  Told expected, found;
  expected.take(whole.on_bytes(bytes));
  for (std::string_view left = bytes; !left.empty(); left.remove_prefix(std::min(piece, left.size())))
    found.take(pieces.on_bytes(left.substr(0, piece)));
  require(found.text == expected.text && whole.is_ready() == pieces.is_ready(), "a connection is the same however its bytes come", bytes);
  check_written(expected.frames);
  return 0;
}
