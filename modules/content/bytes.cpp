#include "bytes.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <zstd.h>

#include <algorithm>
#include <stdexcept>

namespace gorgone::content {
namespace {

// The fastest: configurations shrink to a tenth with it, and what does not shrink costs next to nothing.
constexpr int compression_level = 1;
constexpr int bits_of_a_number = 64;

// Making these tables costs more than compressing a small piece with them.
struct Compressor {
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context{ZSTD_createCCtx(), &ZSTD_freeCCtx};
};

}  // namespace

std::string to_hex(const Hash& hash) {
  std::string hex;
  for (const auto byte : hash) fmt::format_to(std::back_inserter(hex), "{:02x}", byte);
  return hex;
}

std::string_view view_of(const Hash& hash) { return {reinterpret_cast<const char*>(hash.data()), hash.size()}; }

std::optional<Hash> hash_from(std::string_view bytes) {
  Hash hash;
  if (bytes.size() != hash.size()) return {};
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return hash;
}

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) throw std::runtime_error("this OpenSSL gives no SHA-256");
}

void Sha256::feed(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }

Hash Sha256::end() {
  Hash hash;
  EVP_DigestFinal_ex(context_.get(), hash.data(), nullptr);
  return hash;
}

Hash sha256(std::string_view bytes) {
  Sha256 sum;
  sum.feed(bytes);
  return sum.end();
}

void put_number(std::string& out, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) out += static_cast<char>(number | 0x80);
  out += static_cast<char>(number);
}

void put_text(std::string& out, std::string_view text) {
  put_number(out, text.size());
  out += text;
}

std::uint64_t Reader::number() {
  std::uint64_t number = 0;
  for (int shift = 0; shift < bits_of_a_number; shift += 7) {
    const auto next = bytes(1);
    if (failed_) return 0;
    const auto byte = static_cast<unsigned char>(next.front());
    number |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return number;
  }
  failed_ = true;
  return 0;
}

std::string_view Reader::bytes(std::uint64_t count) {
  if (failed_ || count > rest_.size()) {
    failed_ = true;
    return {};
  }
  const auto taken = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return taken;
}

Hash Reader::hash() { return hash_from(bytes(Hash{}.size())).value_or(Hash{}); }

std::string compress(std::string_view bytes) {
  thread_local Compressor compressor;
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const auto size = ZSTD_compressCCtx(compressor.context.get(), out.data(), out.size(), bytes.data(), bytes.size(), compression_level);
  if (ZSTD_isError(size)) throw std::runtime_error(std::string("zstd: ") + ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

Result<std::string> decompress(std::string_view bytes, std::size_t limit) {
  const auto said = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (said == ZSTD_CONTENTSIZE_ERROR || said == ZSTD_CONTENTSIZE_UNKNOWN) return Error{"is no zstd frame that says its length"};
  if (said > limit) return Error{fmt::format("would become {} bytes, expected {} at most", said, limit)};
  std::string out(said, '\0');
  const auto size = ZSTD_decompress(out.data(), out.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(size) || size != said) return Error{"is broken zstd"};
  return out;
}

}  // namespace gorgone::content
