#pragma once
// Beast's parser of HTTP; to be included before all else of Beast that includes it. Boost 1.81 asserts that five bytes have come where the
// last chunk of a body, "0" and a line break, and fewer than two bytes behind it have: that is anybody's to send. It parses them well.

#define BOOST_DISABLE_ASSERTS
#include <boost/assert.hpp>
// The assertions of these headers are of no effect from here on.
#include <boost/beast/http/basic_parser.hpp>
#undef BOOST_DISABLE_ASSERTS
#include <boost/assert.hpp>
