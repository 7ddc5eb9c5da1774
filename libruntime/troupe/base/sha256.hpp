#pragma once
#include <string>
#include <troupe/base/bytes.hpp>

namespace troupe {

/// SHA-256 as 64 lower-case hexadecimal digits: the name of a module's content.
std::string sha256_hex(bytes_view data);

}  // namespace troupe
