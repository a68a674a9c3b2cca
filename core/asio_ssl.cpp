// The one place where Asio's TLS is compiled, for every module that speaks it.
#include <boost/asio/ssl/impl/src.hpp>
