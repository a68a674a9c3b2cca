#pragma once
// Bytes: numbers of variable length, SHA-256, zstd. Pure functions, on any thread.

#include <gorgone/result.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace gorgone::content {

using Hash = std::array<unsigned char, 32>;

std::string to_hex(const Hash& hash);
std::string_view view_of(const Hash& hash);
std::optional<Hash> hash_from(std::string_view bytes);

/// SHA-256, fed piece by piece.
class Sha256 {
 public:
  Sha256();
  void feed(std::string_view bytes);
  /// Ends it; nothing may be fed after that.
  Hash end();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

Hash sha256(std::string_view bytes);

/// Seven bits a byte, the lowest first, the highest bit set where more follow.
void put_number(std::string& out, std::uint64_t number);
void put_text(std::string& out, std::string_view text);  ///< its length, then its bytes

/// Reads what put_… wrote. The first thing that is wrong makes it fail for good; what is read then is 0 or empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  std::uint64_t number();
  std::string_view text() { return bytes(number()); }
  std::string_view bytes(std::uint64_t count);
  Hash hash();
  bool at_end() const { return rest_.empty(); }
  bool failed() const { return failed_; }
  std::size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

std::string compress(std::string_view bytes);
/// An Error where it is no zstd, or would become longer than `limit`.
Result<std::string> decompress(std::string_view bytes, std::size_t limit);

}  // namespace gorgone::content
