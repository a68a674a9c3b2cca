// The one place where Asio is compiled: every library shares its thread-local state (which loop runs on this thread).
#include <boost/asio/impl/src.hpp>
