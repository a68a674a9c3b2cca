#include "zmtp_server.hpp"

#include <fmt/format.h>
#include <gorgone/log.hpp>

#include <algorithm>

#include "zmtp_text.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::size_t command_size_max = 4096;  // READY and INITIATE of libzmq have less than 600
constexpr std::size_t long_frame = 65536;
constexpr std::size_t ping_context_at = 7, pong_context_at = 5, ping_context_max = 16;
// A sealed frame: the name MESSAGE, a nonce, a box of flags and frame.
constexpr std::size_t box_at = 16, sealed_overhead = box_at + BoxKey::tag_size + 1;
constexpr unsigned sealed_more = 1, sealed_command = 2;
// Memory that a frame takes besides its bytes.
constexpr std::size_t frame_cost = sizeof(std::string);

}  // namespace

struct ZmtpServer::Long {
  std::uint64_t missing = 0;
  bool more = false;
  std::optional<BoxOpener> opener;
  std::string plain;
};

ZmtpServer::ZmtpServer(const KeyPair* keys, Limits limits) : keys_(keys), limits_(limits) {
  if (keys_ != nullptr) curve_ = std::make_unique<CurveServer>(*keys_);
}

ZmtpServer::~ZmtpServer() = default;

std::string ZmtpServer::greeting() const { return zmtp::greeting(keys_ != nullptr ? "CURVE" : "NULL"); }

ZmtpServer::Step ZmtpServer::next(std::string_view& bytes) {
  if (waiting_) {
    auto step = std::move(*waiting_);
    waiting_.reset();
    return step;
  }
  while (true) {
    std::optional<Step> step;
    if (state_ == State::failed) bytes = {};
    if (state_ == State::failed || state_ == State::introduced) return More{};
    if (long_)
      step = take_long(bytes);
    else
      step = state_ == State::greeting ? take_greeting(bytes) : take_frame(bytes);
    if (step) return std::move(*step);
  }
}

std::optional<ZmtpServer::Step> ZmtpServer::take_greeting(std::string_view& bytes) {
  const auto size = std::min(bytes.size(), zmtp::greeting_size - pending_.size());
  pending_ += bytes.substr(0, size);
  bytes.remove_prefix(size);
  const auto whole = zmtp::check_greeting(pending_, keys_ != nullptr ? "CURVE" : "NULL");
  if (!whole) return fail(whole.error().message);
  if (!*whole) return More{};
  answers_ping_ = zmtp::minor_version(pending_) >= 1;
  pending_ = std::string();
  state_ = keys_ != nullptr ? State::hello : State::ready_command;
  return {};
}

// Whole frames are taken where they lie; the beginning of one is kept until the rest has come.
std::optional<ZmtpServer::Step> ZmtpServer::take_frame(std::string_view& bytes) {
  const bool is_joined = !pending_.empty();
  const std::string_view start = is_joined ? std::string_view(pending_) : bytes;
  const auto read = zmtp::frame_head(start);
  if (!read) return fail(read.error().message);
  std::size_t wanted = start.empty() ? 1 : zmtp::frame_head_max;
  if (*read) {
    const auto& head = **read;
    const bool is_sealed = receiving_key_.has_value();
    if (((head.flags & zmtp::flag_command) != 0 && !is_sealed) || state_ != State::ready) {
      if (head.body > command_size_max)
        return fail(fmt::format("it sends a command of {} bytes, at most {} are taken", head.body, command_size_max));
    } else if (head.body > limits_.message_bytes_max + (is_sealed ? sealed_overhead : 0)) {
      return fail(too_much(head.body).message);
    }
    const bool is_long = head.body > long_frame;
    wanted = head.size + (is_long ? (is_sealed ? box_at + BoxOpener::start_size : 0) : static_cast<std::size_t>(head.body));
    if (start.size() >= wanted) {
      std::optional<Step> step;
      if (is_long) {
        if (!begin_long(start, head.size, head.flags, head.body)) return fail("its frame is not sealed for this connection");
      } else {
        step = on_frame(head.flags, start.substr(head.size, wanted - head.size));
      }
      // An idle connection holds no memory.
      if (is_joined)
        pending_ = std::string();
      else
        bytes.remove_prefix(wanted);
      return step;
    }
  } else if (!start.empty()) {
    wanted = (static_cast<unsigned char>(start[0]) & zmtp::flag_long) != 0 ? zmtp::frame_head_max : 2;
  }
  if (bytes.empty()) return More{};
  const auto size = is_joined ? std::min(bytes.size(), wanted - pending_.size()) : bytes.size();
  pending_.append(bytes.substr(0, size));
  bytes.remove_prefix(size);
  return {};
}

bool ZmtpServer::begin_long(std::string_view start, std::size_t head, unsigned flags, std::uint64_t body) {
  long_ = std::make_unique<Long>();
  if (receiving_key_) {
    const auto sealed = start.substr(head);
    if (!take_nonce(sealed)) return false;
    long_->opener.emplace(*receiving_key_, nonce_, sealed.substr(box_at, BoxOpener::start_size));
    long_->missing = body - box_at - BoxOpener::start_size;
  } else {
    long_->more = (flags & zmtp::flag_more) != 0;
    long_->missing = body;
  }
  return true;
}

std::optional<ZmtpServer::Step> ZmtpServer::take_long(std::string_view& bytes) {
  if (bytes.empty()) return More{};
  const auto part = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), long_->missing));
  bytes.remove_prefix(part.size());
  long_->missing -= part.size();
  if (long_->opener)
    long_->opener->add(part);
  else
    long_->plain += part;
  if (long_->missing > 0) return {};
  const auto done = std::move(long_);
  if (!done->opener) return on_message_frame(done->more, std::move(done->plain));
  if (!done->opener->finish()) return fail("its frame is not sealed for this connection");
  if ((done->opener->first() & sealed_command) != 0) return fail("it sends a command that is too long");
  return on_message_frame((done->opener->first() & sealed_more) != 0, std::move(done->opener->rest()));
}

std::optional<ZmtpServer::Step> ZmtpServer::on_frame(unsigned flags, std::string_view body) {
  if (state_ != State::ready) {
    if ((flags & zmtp::flag_command) == 0) return fail("it sent a message before it was ready");
    return on_handshake(body);
  }
  if (receiving_key_) return on_curve_frame(body);
  if ((flags & zmtp::flag_command) != 0) return on_command(body);
  return on_message_frame((flags & zmtp::flag_more) != 0, std::string(body));
}

std::optional<ZmtpServer::Step> ZmtpServer::on_handshake(std::string_view body) {
  const auto name = zmtp::command_name(body);
  if (name == "ERROR") return fail("it gave up the handshake: " + printable(body.substr(std::min<std::size_t>(body.size(), 7)), 80));
  const auto expected = state_ == State::hello ? "HELLO" : state_ == State::initiate ? "INITIATE" : "READY";
  if (name != expected) return fail(fmt::format("it sent \"{}\" where {} was expected", printable(name, 40), expected));
  if (state_ == State::ready_command) return introduce(body.substr(6), {});
  command_ = body;
  return Compute{};
}

void ZmtpServer::compute() {
  const auto command = std::move(command_);
  command_ = std::string();
  if (state_ == State::hello) {
    const auto welcome = curve_->on_hello(command);
    state_ = State::initiate;
    if (welcome)
      waiting_ = Send{zmtp::frame(zmtp::flag_command, *welcome)};
    else
      waiting_ = fail(welcome.error().message, "400");
  } else if (state_ == State::initiate) {
    auto client = curve_->on_initiate(command);
    if (client)
      waiting_ = introduce(client->metadata, std::move(client->key));
    else
      waiting_ = fail(client.error().message, "400");
  }
}

ZmtpServer::Step ZmtpServer::introduce(std::string_view properties, std::string key) {
  auto peer = zmtp::read_properties(properties);
  if (!peer) return fail(peer.error().message, "400");
  const auto& type = peer->socket_type;
  if (type != "DEALER" && type != "REQ" && type != "ROUTER")
    return fail(fmt::format("its socket is a \"{}\", expected DEALER, REQ or ROUTER", printable(type, 40)), "400");
  auto& id = peer->routing_id;
  if (id.size() > zmtp::routing_id_max || (!id.empty() && id[0] == '\0'))
    return fail("its routing id is none: expected at most 255 bytes, the first not zero", "400");
  state_ = State::introduced;
  return Introduced{std::move(id), std::move(key)};
}

void ZmtpServer::accept() {
  if (state_ != State::introduced) return;
  state_ = State::ready;
  std::string ready;
  if (curve_) {
    ready = curve_->ready(zmtp::router_properties());
    receiving_key_ = curve_->client_key();
    sending_key_ = curve_->server_key();
    nonce_ = curve_->client_nonce();
    curve_.reset();
  } else {
    ready = "\5READY" + zmtp::router_properties();
  }
  waiting_ = Send{zmtp::frame(zmtp::flag_command, ready)};
}

void ZmtpServer::refuse(Error why, std::string_view code) {
  if (state_ == State::introduced) waiting_ = fail(std::move(why.message), code);
}

bool ZmtpServer::take_nonce(std::string_view sealed) {
  if (sealed.substr(0, 8) != "\7MESSAGE") return false;
  std::uint64_t number = 0;
  for (std::size_t i = 8; i < box_at; ++i) number = number << 8 | static_cast<unsigned char>(sealed[i]);
  if (number <= nonce_) return false;
  nonce_ = number;
  return true;
}

std::optional<ZmtpServer::Step> ZmtpServer::on_curve_frame(std::string_view body) {
  if (body.size() < sealed_overhead) return fail(fmt::format("it sent a frame of {} bytes, too few for one of CURVE", body.size()));
  if (!take_nonce(body)) return fail("it sent what is no MESSAGE of CURVE, or one under a nonce that was used");
  unsigned char flags = 0;
  std::string frame;
  if (!receiving_key_->open(body.substr(box_at), nonce_, flags, frame)) return fail("its frame is not sealed for this connection");
  if ((flags & sealed_command) != 0) return on_command(frame);
  return on_message_frame((flags & sealed_more) != 0, std::move(frame));
}

std::optional<ZmtpServer::Step> ZmtpServer::on_message_frame(bool more, std::string frame) {
  message_bytes_ += frame.size();
  if (message_bytes_ > limits_.message_bytes_max) return fail(too_much(message_bytes_).message);
  if (message_.size() * frame_cost > std::max<std::size_t>(limits_.message_bytes_max, 65536))
    return fail(fmt::format("it sends a message of more than {} frames, too many for one of at most {} bytes", message_.size(),
                            limits_.message_bytes_max));
  message_.push_back(std::move(frame));
  if (more) return {};
  message_bytes_ = 0;
  return Received{std::exchange(message_, {})};
}

std::optional<ZmtpServer::Step> ZmtpServer::on_command(std::string_view body) {
  const auto name = zmtp::command_name(body);
  if (name == "PING" && body.size() >= ping_context_at) return Ping{std::string(body.substr(ping_context_at, ping_context_max))};
  if (name == "PONG") return Pong{std::string(body.substr(pong_context_at, ping_context_max))};
  if (name == "ERROR") return fail("it sent " + printable(body, 80));
  return {};  // subscriptions, and what later versions have
}

Error ZmtpServer::too_much(std::uint64_t size) const {
  return Error{fmt::format("it sends a message of {} bytes or more, at most {} are taken", size, limits_.message_bytes_max)};
}

ZmtpServer::Step ZmtpServer::fail(std::string why, std::string_view code) {
  state_ = State::failed;
  pending_ = std::string();
  std::string answer;
  if (!code.empty()) answer = zmtp::frame(zmtp::flag_command, zmtp::error_command(code));
  return Failed{Error{std::move(why)}, std::move(answer)};
}

}  // namespace gorgone::mcollective
