// The compiled part of Asio's TLS; Asio itself is in the core.
#include <boost/asio/ssl/impl/src.hpp>
