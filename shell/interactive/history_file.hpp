#pragma once
#include <string>
#include <troupe/base/result.hpp>
#include <vector>

/// What was typed, a line each, the oldest first: readable by its owner only. Several shells append to it at once.
namespace troupe::shell::history_file {

/// At most the last 10,000; an absent file has none.
result<std::vector<std::string>> load();
/// Appends in one write, so that lines of two shells never mix. A line that repeats the last one, or begins with a
/// space, is the caller's to leave out.
result<void> append(const std::string& line);

}  // namespace troupe::shell::history_file
