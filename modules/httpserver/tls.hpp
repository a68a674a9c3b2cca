#pragma once
// The server's side of TLS: certificate, key, versions. Made once, at the start.

#include "options.hpp"

#include <boost/asio/ssl/context.hpp>

#include <memory>

namespace gorgone::httpserver {

/// An Error names the option, its file and what is wrong with it.
Result<std::shared_ptr<boost::asio::ssl::context>> make_tls_context(const Options& options);

}  // namespace gorgone::httpserver
