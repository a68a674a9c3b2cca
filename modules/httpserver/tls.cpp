#include "tls.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace gorgone::httpserver {

namespace {

namespace ssl = boost::asio::ssl;

Error wrong(const char* option, const std::string& file, const std::string& why, const char* expected) {
  return {fmt::format("{}: got \"{}\", {}, expected {} (no default)", option, file, why, expected)};
}

/// Why a file cannot be opened, which OpenSSL tells less clearly; empty where it can.
std::string cannot_open(const std::string& file) {
  auto* opened = std::fopen(file.c_str(), "rb");
  if (!opened) return std::strerror(errno);
  std::fclose(opened);
  return {};
}

}  // namespace

Result<std::shared_ptr<ssl::context>> make_tls_context(const Options& options) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  context->set_options(ssl::context::default_workarounds | ssl::context::single_dh_use);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);

  const char* certificate = "a certificate in PEM that can be read";
  const char* key = "a private key in PEM that can be read, belongs to ssl_cert_file and opens with passphrase";
  if (auto why = cannot_open(options.certificate_file); !why.empty())
    return wrong("ssl_cert_file", options.certificate_file, why, certificate);
  if (auto why = cannot_open(options.key_file); !why.empty()) return wrong("ssl_key_file", options.key_file, why, key);

  boost::system::error_code error;
  context->use_certificate_chain_file(options.certificate_file, error);
  if (error) return wrong("ssl_cert_file", options.certificate_file, error.message(), certificate);
  auto passphrase = [text = options.passphrase](std::size_t, ssl::context::password_purpose) { return text; };
  context->set_password_callback(passphrase, error);
  if (!error) context->use_private_key_file(options.key_file, ssl::context::pem, error);
  if (error) return wrong("ssl_key_file", options.key_file, error.message(), key);
  return context;
}

}  // namespace gorgone::httpserver
