#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>

namespace troupe {

std::string to_hex(bytes_view data);
result<bytes> from_hex(std::string_view text);

/// «17.5 MiB»: for people; three significant digits, binary units.
std::string format_bytes(std::uint64_t bytes);

/// Reads «64MiB», «1g», «512»: an integer with an optional binary unit (b, k, m, g, t; «KiB» and «KB» alike mean 1024).
result<std::uint64_t> parse_bytes(std::string_view text);

/// Names of datasets, modules, jobs and clusters: `[a-z_][a-z0-9_.-]*`, at most 128 characters. `what` goes into the
/// error: «dataset».
result<void> check_name(std::string_view what, std::string_view name);

/// RFC 3339 in UTC with milliseconds: «2026-11-23T08:58:29.123Z». Milliseconds since 1970.
std::string format_time(std::int64_t unix_ms);

/// Equal without telling by its duration where they differ. For tokens.
bool equal_constant_time(std::string_view a, std::string_view b) noexcept;

}  // namespace troupe
