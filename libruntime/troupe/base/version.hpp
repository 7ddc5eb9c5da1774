#pragma once
#include <cstdint>

namespace troupe {

inline constexpr const char* version_text = "0.1.0";
/// Of the wire: a handshake offers [min, max], both sides use the highest common one.
inline constexpr std::uint16_t protocol_version_min = 1;
inline constexpr std::uint16_t protocol_version_max = 1;
/// Of the replicated commands: a node that meets a higher one stops and says so.
inline constexpr std::uint32_t feature_level = 3;

}  // namespace troupe
