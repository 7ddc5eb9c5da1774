#pragma once
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <troupe/telemetry/log.hpp>

namespace troupe::transport {

/// Turns a flood of refusals into one line per interval with a count. Pure: times are handed in. Under the gate's lock.
///
///   refused 1204 connections (1190 said nothing in time, 14 are not a protocol of ours); the last was 127.0.0.1:4242:
///   it said nothing for 3 s
class refusals {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  explicit refusals(std::chrono::milliseconds interval) : limit_(interval) {}

  /// Notes one. `reason` is a short fixed text («said nothing in time»), `last` the sentence about this one. The line
  /// to print now, or nothing.
  std::optional<std::string> note(std::string_view reason, std::string last, time_point now);
  /// The line about what has come since the last one, when it is due.
  std::optional<std::string> flush(time_point now);
  [[nodiscard]] std::optional<time_point> due() const { return limit_.due(); }

 private:
  std::string line(std::uint64_t count);

  telemetry::rate_limit limit_;
  std::map<std::string, std::uint64_t, std::less<>> by_reason_;
  std::string last_;
};

}  // namespace troupe::transport
