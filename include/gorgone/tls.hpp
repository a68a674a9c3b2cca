#pragma once
// TLS of servers and clients: certificates, keys, versions, and what failed in the operator's words. Contexts are made once, at a
// module's start; they are on any thread, what uses them on the loop.

#include <gorgone/export.hpp>
#include <gorgone/result.hpp>

#include <boost/asio/ssl/context.hpp>

#include <memory>
#include <string>

namespace gorgone {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;

/// The files of a server's TLS, as PEM.
struct TlsFiles {
  std::string certificate;  ///< followed by those that lead to its root
  std::string key;
  std::string passphrase;  ///< of the key; empty: it has none
};

/// TLS 1.2 or later. An Error begins with the option: `ssl_cert_file: got "…", …, expected …`.
GORGONE_API Result<TlsContext> make_tls_server(const TlsFiles& files);

/// TLS 1.2 or later. With `verify` a server's certificate must lead to a CA of the system or of the file `ca_file` (may be empty);
/// an Error names `ssl_ca_file`.
GORGONE_API Result<TlsContext> make_tls_client(bool verify, const std::string& ca_file);

/// Before a client's handshake: sends the server's name, and expects it in the certificate where that is verified.
GORGONE_API void expect_server(SSL* connection, const std::string& host, bool verify);

/// Why a handshake failed: the check of the certificate that did, or what the other side or OpenSSL says.
GORGONE_API std::string tls_failure(SSL* connection, const boost::system::error_code& error);

}  // namespace gorgone
