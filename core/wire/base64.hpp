#pragma once
// The codec is public, for modules need it too.

#include <gorgone/base64.hpp>

namespace gorgone::wire {

using gorgone::base64_decode;
using gorgone::base64_encode;

}  // namespace gorgone::wire
