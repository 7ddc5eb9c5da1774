#pragma once
#include <cstddef>
#include <string>

namespace troupe {

/// Bytes no one can guess, from the operating system. For identities and tokens; protocol logic gets its randomness
/// handed in.
void fill_random(void* data, std::size_t size);

/// `octets` random bytes as lower-case hexadecimal.
std::string random_hex(std::size_t octets);

}  // namespace troupe
