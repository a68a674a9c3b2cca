#pragma once
// Tar files out of an input, with right checksums: the fuzzer would not find them. Pure.

#include "tests/fuzz/fuzz.hpp"

#include <string>

namespace gorgone::fuzz {

/// Members until the input ends: kind, mode, name, link and content each as the input says. In names and links `@` stands for `outside`
/// in full, so that absolute ones lead somewhere.
std::string make_tar(Input& input, const std::string& outside);

}  // namespace gorgone::fuzz
