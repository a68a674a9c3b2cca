// A client's connection to the MCollective broker: its bytes in pieces, with the mechanism NULL, or with CURVE and the client's side of it,
// so that what lies behind the handshake is reached. Beside it what is sent to the client, in whatever portions.

#include <algorithm>
#include <cstring>

#include "modules/mcollective/out_queue.hpp"
#include "modules/mcollective/tests/zmtp_client.hpp"
#include "modules/mcollective/zmtp_server.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace gorgone;
using namespace gorgone::fuzz;
using namespace gorgone::mcollective;
namespace client_side = gorgone::mcollective::test;

namespace {

constexpr std::size_t limit = 300000;

// libsodium's random bytes come from a counter, so that an input does the same each time.
std::uint32_t random_state = 0;

const char* random_name() { return "counter"; }
std::uint32_t next_random() { return random_state = random_state * 1664525 + 1013904223; }
void fill_random(void* const out, const std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) static_cast<unsigned char*>(out)[i] = static_cast<unsigned char>(next_random() >> 24);
}

randombytes_implementation counter{random_name, next_random, nullptr, nullptr, fill_random, nullptr};

struct Told {
  std::vector<Frames> messages;
  std::string sent;
  std::size_t pings = 0;
  bool is_introduced = false, is_over = false;
};

class Peer {
 public:
  Peer(const KeyPair* keys, std::size_t piece) : server(keys, {limit}), piece_(piece) {}

  void feed(std::string_view bytes) {
    while (!bytes.empty()) {
      auto part = bytes.substr(0, piece_);
      bytes.remove_prefix(part.size());
      while (step(part)) {
      }
      require(part.empty(), "what is fed is used up", part);
    }
  }

  ZmtpServer server;
  Told told;

 private:
  bool step(std::string_view& bytes) {
    auto next = server.next(bytes);
    if (std::get_if<ZmtpServer::More>(&next)) return false;
    require(!told.is_over, "nothing follows a failure");
    if (auto* send = std::get_if<ZmtpServer::Send>(&next)) {
      told.sent += send->bytes;
    } else if (std::get_if<ZmtpServer::Compute>(&next)) {
      require(!told.is_introduced, "there are no sums after the handshake");
      server.compute();
    } else if (auto* introduced = std::get_if<ZmtpServer::Introduced>(&next)) {
      require(!told.is_introduced, "a client is introduced once");
      require(introduced->routing_id.size() <= 255, "a routing id is at most 255 bytes", introduced->routing_id);
      told.is_introduced = true;
      server.accept();
    } else if (auto* received = std::get_if<ZmtpServer::Received>(&next)) {
      require(told.is_introduced && server.is_ready(), "no message comes before the handshake is over");
      std::size_t size = 0;
      for (const auto& frame : received->frames) size += frame.size();
      require(size <= limit && !received->frames.empty(), "a message has frames, and no more bytes than are allowed");
      told.messages.push_back(std::move(received->frames));
    } else if (std::get_if<ZmtpServer::Ping>(&next)) {
      ++told.pings;
    } else if (auto* failed = std::get_if<ZmtpServer::Failed>(&next)) {
      require(is_one_clean_line(failed->why.message), "what a peer wrote is told on one clean line", failed->why.message);
      told.sent += failed->answer;
      told.is_over = true;
    }
    return true;
  }

  std::size_t piece_;
};

void null_bytes(Input& input, std::size_t piece) {
  std::string bytes;
  if (input.flag()) bytes = client_side::greeting("NULL") + client_side::null_ready(client_side::properties("web1"));
  bytes += input.rest();
  Peer whole(nullptr, bytes.size() + 1), pieces(nullptr, piece);
  whole.feed(bytes);
  pieces.feed(bytes);
  require(whole.told.messages == pieces.told.messages && whole.told.sent == pieces.told.sent && whole.told.pings == pieces.told.pings &&
              whole.told.is_over == pieces.told.is_over,
          "a connection is the same however its bytes come", bytes);
}

/// What the client has of what was sent to it.
class Reader {
 public:
  explicit Reader(const client_side::CurveClient& client) : client_(client) {}

  void take(std::string_view bytes) {
    pending_ += bytes;
    while (const auto size = whole_frame()) {
      const std::size_t head = (pending_[0] & 2) != 0 ? 9 : 2;
      std::string text;
      require(client_.open_message(text, std::string_view(pending_).substr(head, size - head)), "the client can open what it is sent");
      pending_.erase(0, size);
      if ((text[0] & 2) != 0) {
        require(frames_.empty(), "no command comes inside a message");
        continue;
      }
      frames_.push_back(text.substr(1));
      if ((text[0] & 1) == 0) messages.push_back(std::exchange(frames_, {}));
    }
  }
  bool is_between_messages() const { return pending_.empty() && frames_.empty(); }
  std::vector<Frames> messages;

 private:
  std::size_t whole_frame() const {
    if (pending_.size() < 2) return 0;
    const std::size_t head = (pending_[0] & 2) != 0 ? 9 : 2;
    if (pending_.size() < head) return 0;
    std::size_t size = 0;
    for (std::size_t i = 1; i < head; ++i) size = size << 8 | static_cast<unsigned char>(pending_[i]);
    return pending_.size() >= head + size ? head + size : 0;
  }

  const client_side::CurveClient& client_;
  std::string pending_;
  Frames frames_;
};

std::string long_text(Input& input) {
  const auto repeats = input.below(5) == 0 ? std::size_t{1} + input.below(250) : 1;
  const auto text = std::string(input.text());
  std::string whole;
  for (std::size_t i = 0; i < repeats; ++i) whole += text;
  return whole;
}

void curve_operations(Input& input, std::size_t piece) {
  random_state = 1;
  const auto broker = new_key_pair(), own = new_key_pair();
  client_side::CurveClient client(own.public_key, own.secret_key, broker.public_key);
  Peer peer(&broker, piece);
  peer.feed(client_side::greeting("CURVE"));
  if (input.flag()) peer.feed(input.text());
  peer.feed(client.hello());
  if (!client.on_welcome(std::exchange(peer.told.sent, {}))) return;
  auto initiate = client.initiate(input.flag() ? std::string(input.text()) : client_side::properties("web1"));
  if (input.flag()) initiate[input.number() % initiate.size()] = static_cast<char>(input.byte());
  peer.feed(initiate);
  if (!peer.server.is_ready()) return;

  // What the broker may have received, and what the client must have.
  std::vector<Frames> said, sent;
  Frames message;
  bool is_sound = true;
  OutQueue queue;
  queue.set_key(peer.server.sending_key());
  Reader reader(client);
  static std::string portion(OutQueue::portion, '\0');
  while (!input.at_end()) {
    switch (input.below(8)) {
      case 0:
      case 1: {
        const bool more = input.flag();
        message.push_back(long_text(input));
        peer.feed(client.message(message.back(), more ? 1 : 0));
        if (!more) said.push_back(message);
        if (!more) message.clear();
        break;
      }
      case 2: {  // a command
        peer.feed(client.message(input.text(), 2));
        break;
      }
      case 3: {  // a nonce of before, or one far ahead
        const auto nonce = input.flag() ? client.nonce() - input.below(3) : client.nonce();
        peer.feed(client.message_under(nonce, input.text(), static_cast<int>(input.below(2))));
        is_sound = false;
        break;
      }
      case 4: {  // damaged, but for the flags of the frame outside, which say nothing in CURVE
        auto bytes = client.message(long_text(input));
        const auto at = 1 + input.number() % (bytes.size() - 1);
        bytes[at] = static_cast<char>(bytes[at] ^ (1 + input.below(255)));
        peer.feed(bytes);
        is_sound = false;
        break;
      }
      case 5: {
        peer.feed(input.text());
        is_sound = false;
        break;
      }
      case 6: {
        Frames frames;
        for (auto left = input.below(4) + 1; left > 0; --left) frames.push_back(long_text(input));
        sent.push_back(frames);
        require(queue.push(std::make_shared<const Frames>(std::move(frames))) == sent.size(), "messages are counted from 1");
        if (input.flag()) queue.push_ping();
        break;
      }
      default: {
        if (input.flag()) queue.set_pong(std::string(input.text().substr(0, 16)));
        reader.take({portion.data(), queue.make(portion.data())});
        if (input.flag()) queue.sent();
      }
    }
  }
  const auto& got = peer.told.messages;
  require(got.size() <= said.size() && std::equal(got.begin(), got.end(), said.begin()),
          "no message is taken that the client did not seal so");
  require(!is_sound || peer.told.is_over || got.size() == said.size(), "what the client sealed is taken");
  while (queue.has_work()) reader.take({portion.data(), queue.make(portion.data())});
  queue.sent();
  require(reader.messages == sent && reader.is_between_messages(), "what was sent to the client comes to it");
  require(queue.waiting().bytes == 0 && queue.waiting().messages == 0, "nothing waits when all was sent");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool is_set = randombytes_set_implementation(&counter) == 0 && sodium_init() >= 0;
  require(is_set, "libsodium takes a source of random bytes");
  Input input(data, size);
  const auto piece = input.byte() + std::size_t{1};
  if (input.flag())
    curve_operations(input, piece == 256 ? std::size_t{1} << 20 : piece);
  else
    null_bytes(input, piece);
  return 0;
}
