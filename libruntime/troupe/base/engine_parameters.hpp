#pragma once
#include <string_view>

/// Parameters of a job that are for troupe and not for its module; people cannot give them by name.
namespace troupe {

inline constexpr std::string_view engine_parameter_prefix = "troupe.";
/// «yes»: the job's workers may make sockets.
inline constexpr const char* network_parameter = "troupe.network";

}  // namespace troupe
