#pragma once
// The way to the central: name, address, HTTP proxy, TLS, WebSocket. On the loop.

#include <gorgone/web_socket.hpp>

#include "options.hpp"

namespace gorgone::pullwss {

/// An Error names the layer that failed and what was expected. `tls` is empty where the connection is plain; `secret` is what the central
/// knows this node again by.
asio::awaitable<Result<std::shared_ptr<WebSocket>>> dial(asio::io_context& loop, const Options& options, TlsContext tls,
                                                         const std::string& secret);

}  // namespace gorgone::pullwss
