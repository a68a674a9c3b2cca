#pragma once
// The cipher of one session (docs/protocol.md, Messages): base64(AES-CBC(key, iv, plain)) with the same iv for every message,
// and between our own agents the same without base64 (docs/protocol.md, "Raw bytes").
// A value without state of its own beyond the key: sealing and opening may happen on any thread.

#include <gorgone/export.hpp>
#include <gorgone/result.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace gorgone::wire {

/// How a frame of a session looks: as deployed daemons know it, or as peers that have said "raw" take large data too.
enum class Form { base64, raw };

/// Raw bytes. `padding` as `external_com_padding` names it: 0 none, 1 PKCS#7 (the default), 2 a bit and zeroes (ISO 7816-4).
struct SessionKey {
  std::string key;
  std::string iv;
  int padding = 1;

  /// A new random key of `keysize` bytes (16, 24 or 32) and iv; an error names the configuration key that is wrong.
  GORGONE_API static Result<SessionKey> draw(int keysize, int padding);
  /// What a peer or the journal gave: a problem with sizes or padding, or nothing when AES can be done with it.
  GORGONE_API std::optional<Error> problem() const;

  friend bool operator==(const SessionKey&, const SessionKey&) = default;
};

class GORGONE_API SessionCipher {
 public:
  /// `key` must have no problem(): otherwise std::invalid_argument is thrown.
  explicit SessionCipher(SessionKey key);

  /// Base64 in one line, or in raw form the bytes themselves behind one that no base64 begins with and always with padding 1. With padding
  /// 0 the text is filled up with spaces to a full block, which JSON allows after its value.
  std::string seal(std::string text, Form form = Form::base64) const;
  /// Of either form. Nothing when `frame` was not sealed with this key, as far as the padding can tell; what opens is to be parsed with
  /// distrust.
  std::optional<std::string> open(std::string_view frame) const;

  const SessionKey& key() const { return key_; }

 private:
  SessionKey key_;
};

}  // namespace gorgone::wire
