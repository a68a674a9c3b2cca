#pragma once
// Owners of what OpenSSL allocates, for the files that speak to it.

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace gorgone::wire {

struct OpensslFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
};

using Pkey = std::unique_ptr<EVP_PKEY, OpensslFree>;
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, OpensslFree>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, OpensslFree>;
using Cipher = std::unique_ptr<EVP_CIPHER, OpensslFree>;
using Bio = std::unique_ptr<BIO, OpensslFree>;
using Number = std::unique_ptr<BIGNUM, OpensslFree>;

inline const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

/// A number of an RSA key, such as OSSL_PKEY_PARAM_RSA_N.
inline Number number_of(const EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &number) != 1) throw std::runtime_error("an RSA key lacks one of its numbers");
  return Number{number};
}

}  // namespace gorgone::wire
