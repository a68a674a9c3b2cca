#include "envelope.hpp"

namespace gorgone::mcollective {
namespace {

constexpr std::string_view magic{"MQ\x01", 3};

void append_number(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

void append_bytes(std::string& out, std::string_view bytes) {
  append_number(out, bytes.size(), 4);
  out += bytes;
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  std::uint64_t number(std::size_t size) {
    const auto bytes = take(size);
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
  }
  std::string_view bytes() { return take(number(4)); }
  bool is_whole() const { return !short_ && left_.empty(); }
  bool is_short() const { return short_; }
  std::size_t left() const { return left_.size(); }

 private:
  std::string_view take(std::size_t size) {
    if (size > left_.size()) {
      short_ = true;
      left_ = {};
      return {};
    }
    const auto taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }

  std::string_view left_;
  bool short_ = false;
};

}  // namespace

std::size_t sealed_bytes(const Envelope& envelope) {
  std::size_t size = magic.size() + 8 + 4 + envelope.id.size() + 4;
  for (const auto& frame : *envelope.frames) size += 4 + frame.size();
  return size;
}

std::string seal(const Envelope& envelope) {
  std::string out;
  out.reserve(sealed_bytes(envelope));
  out += magic;
  append_number(out, static_cast<std::uint64_t>(envelope.time_s), 8);
  append_bytes(out, envelope.id);
  append_number(out, envelope.frames->size(), 4);
  for (const auto& frame : *envelope.frames) append_bytes(out, frame);
  return out;
}

Result<Envelope> unseal(std::string_view bytes) {
  if (!bytes.starts_with(magic)) return Error{"it does not begin as a message of this version does"};
  Reader reader(bytes.substr(magic.size()));
  Envelope envelope;
  envelope.time_s = static_cast<std::int64_t>(reader.number(8));
  envelope.id = reader.bytes();
  const auto count = reader.number(4);
  auto frames = std::make_shared<Frames>();
  if (count <= reader.left()) frames->reserve(count);
  for (std::uint64_t i = 0; i < count && !reader.is_short(); ++i) frames->emplace_back(reader.bytes());
  if (!reader.is_whole()) return Error{"its length is not what it says of itself"};
  // It goes to clients as it is, and whoever reaches the NATS servers may have made it: it must not pass for an answer.
  if (frames->size() < 3 || !frames->front().empty() || (*frames)[1] != "MESSAGE") return Error{"what it holds is no MESSAGE"};
  envelope.frames = std::move(frames);
  return envelope;
}

}  // namespace gorgone::mcollective
