#pragma once
// CURVE's boxes (XSalsa20 and Poly1305, as crypto_box makes them) under one key and one prefix of nonces. The first of the cipher's two
// steps depends on these alone and is done once for a connection, not once for each frame. Without I/O; on any one thread.

#include <sodium.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace gorgone::mcollective {

/// Seals and opens what is `first` followed by `rest`: the flags of a frame and the frame.
class BoxKey {
 public:
  static constexpr std::size_t tag_size = crypto_box_MACBYTES, prefix_size = 16;

  BoxKey() = default;
  /// `shared_key` as of crypto_box_beforenm, `prefix` the first 16 bytes of each nonce.
  BoxKey(const unsigned char* shared_key, std::string_view prefix);
  ~BoxKey() { sodium_memzero(bytes_.data(), bytes_.size()); }

  /// Writes tag_size + 1 + rest.size() bytes.
  void seal(char* out, unsigned char first, std::string_view rest, std::uint64_t nonce) const;
  /// False where the box is not of this key and nonce. `box` is longer than tag_size.
  bool open(std::string_view box, std::uint64_t nonce, unsigned char& first, std::string& rest) const;

 private:
  friend class BoxOpener;
  friend class BoxSealer;
  std::array<unsigned char, crypto_core_hsalsa20_OUTPUTBYTES> bytes_{};
};

/// Opens a long box that comes in pieces, none of which costs more than its own size.
class BoxOpener {
 public:
  static constexpr std::size_t start_size = BoxKey::tag_size + 32;

  /// `box_start`: the first start_size bytes of the box.
  BoxOpener(const BoxKey& key, std::uint64_t nonce, std::string_view box_start);
  void add(std::string_view sealed);
  /// False where the box is not of its key and nonce: nothing of it is to be used then.
  bool finish();
  unsigned char first() const { return first_; }
  std::string& rest() { return rest_; }

 private:
  void open_until(std::size_t end);

  BoxKey key_;
  std::array<unsigned char, 8> nonce_;
  std::array<unsigned char, BoxKey::tag_size> tag_;
  crypto_onetimeauth_state mac_;
  unsigned char first_ = 0;
  std::string rest_;
  std::size_t open_ = 0;  // so much of rest_
};

/// Seals a long box in pieces, without holding it: the text is gone through twice, for the tag comes first. `rest` must stay.
class BoxSealer {
 public:
  BoxSealer(const BoxKey& key, std::uint64_t nonce, unsigned char first, std::string_view rest);
  /// The first round; true when it is done.
  bool prepare(std::size_t bytes);
  /// The second: the next bytes of the box, `size` of them where there are so many. `size` is at least 64.
  std::size_t read(char* out, std::size_t size);
  std::size_t left() const { return (has_start_ ? 0 : BoxOpener::start_size) + rest_.size() - sent_; }

 private:
  BoxKey key_;
  std::array<unsigned char, 8> nonce_;
  std::array<char, BoxOpener::start_size> start_;
  crypto_onetimeauth_state mac_;
  std::string_view rest_;  // what the first block does not hold
  std::size_t prepared_ = 0, sent_ = 0;
  bool has_start_ = false;
};

}  // namespace gorgone::mcollective
