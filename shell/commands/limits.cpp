#include <shell/commands/limits.hpp>
#include <shell/language/duration.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace {

outcome<std::string> read_size(const arguments& given, const std::string& option) {
  auto typed = given.get(option);
  if (!typed.empty())
    if (const auto read = parse_bytes(typed); !read) return usage_failure(option + ": " + read.error().message());
  return typed;
}

}  // namespace

outcome<node_limits> read_limits(const arguments& given) {
  node_limits limits;
  TROUPE_TRY(limits.slots, given.number("--slots", 1, 1024));
  TROUPE_TRY(limits.memory, read_size(given, "--memory"));
  TROUPE_TRY(limits.task_memory, read_size(given, "--task-memory"));
  const std::string time = "--task-time-limit";
  if (given.get(time) == "none") {
    limits.task_time_ms = 0;
  } else if (given.has(time)) {
    TROUPE_TRY(limits.task_time_ms, read_duration(time, given.get(time)));
    if (*limits.task_time_ms == 0) return usage_failure(time + " of nothing lets no task run: write none for no limit");
  }
  return limits;
}

}  // namespace troupe::shell
