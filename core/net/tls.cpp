#include <fmt/format.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <gorgone/tls.hpp>

namespace gorgone {
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

Result<TlsContext> make_tls_server(const TlsFiles& files) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  context->set_options(ssl::context::default_workarounds | ssl::context::single_dh_use);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
  // Who resumes a session brings it along, as a ticket: thousands of those who never come back are not kept.
  SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);

  const char* certificate = "a certificate in PEM that can be read";
  const char* key = "a private key in PEM that can be read, belongs to ssl_cert_file and opens with passphrase";
  if (auto why = cannot_open(files.certificate); !why.empty()) return wrong("ssl_cert_file", files.certificate, why, certificate);
  if (auto why = cannot_open(files.key); !why.empty()) return wrong("ssl_key_file", files.key, why, key);

  boost::system::error_code error;
  context->use_certificate_chain_file(files.certificate, error);
  if (error) return wrong("ssl_cert_file", files.certificate, error.message(), certificate);
  auto passphrase = [text = files.passphrase](std::size_t, ssl::context::password_purpose) { return text; };
  context->set_password_callback(passphrase, error);
  if (!error) context->use_private_key_file(files.key, ssl::context::pem, error);
  if (error) return wrong("ssl_key_file", files.key, error.message(), key);
  return context;
}

Result<TlsContext> make_tls_client(bool verify, const std::string& ca_file) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  boost::system::error_code error;
  context->set_verify_mode(verify ? ssl::verify_peer : ssl::verify_none, error);
  if (!verify) return context;
  // Without the system's own CAs a CA of one's own still serves.
  context->set_default_verify_paths(error);
  if (ca_file.empty()) return context;
  const char* expected = "certificates of CAs in PEM that can be read";
  if (auto why = cannot_open(ca_file); !why.empty()) return wrong("ssl_ca_file", ca_file, why, expected);
  context->load_verify_file(ca_file, error);
  if (error) return wrong("ssl_ca_file", ca_file, error.message(), expected);
  return context;
}

void expect_server(SSL* connection, const std::string& host, bool verify) {
  boost::system::error_code error;
  boost::asio::ip::make_address(host, error);
  const bool is_address = !error;
  // What SSL_set_tlsext_host_name() is, which casts in old style.
  std::string name = host;
  if (!is_address) SSL_ctrl(connection, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  if (!verify) return;
  auto* parameters = SSL_get0_param(connection);
  X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (is_address)
    X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str());
  else
    SSL_set1_host(connection, host.c_str());
}

std::string tls_failure(SSL* connection, const boost::system::error_code& error) {
  const auto check = SSL_get_verify_result(connection);
  if (check != X509_V_OK && (SSL_get_verify_mode(connection) & SSL_VERIFY_PEER))
    return std::string("the certificate is not accepted: ") + X509_verify_cert_error_string(check);
  if (error == ssl::error::stream_truncated || error == boost::asio::error::eof) return "the other side closed the connection";
  return error.message();
}

}  // namespace gorgone
