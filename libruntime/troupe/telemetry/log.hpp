#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <troupe/base/result.hpp>

namespace troupe::telemetry {

enum class level : std::uint8_t { debug, info, warning, error };
std::string_view to_string(level l) noexcept;
/// Reads «debug», «info», «warning», «error».
result<level> parse_level(std::string_view text);

/// Lines for people and grep, each in one write(2), so that lines of several processes in one file don't mix:
///
///   2026-11-23T08:58:29.123Z warning gate: refused 17 connections in 10 s, the last from 127.0.0.1:4242: it said
///   nothing for 3 s
///
/// Control characters in a text are written as \xNN: nobody forges lines. Texts above 8 KiB are cut. Any thread. What
/// can't be written is dropped.
class logger {
 public:
  /// To stderr, from `info` up.
  logger() = default;
  ~logger();
  logger(const logger&) = delete;
  logger& operator=(const logger&) = delete;

  /// From now on to this file (appended to, made with mode 0640). Above `bytes_max` it is renamed to `path.1`, whose
  /// predecessor goes.
  result<void> to_file(const std::string& path, std::uint64_t bytes_max = std::uint64_t{64} << 20);
  /// From now on to this function, whole lines without a newline, one at a time. For tests.
  void to_function(std::function<void(std::string_view line)> f);
  void set_level(level least);

  /// `room` says who speaks: «gate», «metadata», «node».
  void write(level l, std::string_view room, std::string_view text);
  void debug(std::string_view room, std::string_view text) { write(level::debug, room, text); }
  void info(std::string_view room, std::string_view text) { write(level::info, room, text); }
  void warning(std::string_view room, std::string_view text) { write(level::warning, room, text); }
  void error(std::string_view room, std::string_view text) { write(level::error, room, text); }

 private:
  void write_file(std::string_view line);

  std::mutex mutex_;
  level least_ = level::info;
  int fd_ = -1;  ///< -1: stderr
  std::string path_;
  std::uint64_t bytes_ = 0;
  std::uint64_t bytes_max_ = 0;
  std::function<void(std::string_view)> function_;
};

/// Lets one event per interval through and counts the rest. Times are handed in. One thread, or under the owner's lock.
///
///   if (auto count = limiter.pass(now)) log.warning("gate", "refused " + std::to_string(*count) + " connections…");
class rate_limit {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  explicit rate_limit(std::chrono::milliseconds interval) : interval_(interval) {}

  /// Notes one event. How many are to be reported now, itself included, or nothing while the interval since the last
  /// report runs.
  std::optional<std::uint64_t> pass(time_point now);
  /// What is left to be reported when the interval is over and no further event came; else nothing.
  std::optional<std::uint64_t> flush(time_point now);
  /// When `flush` would give something; nothing while no event waits.
  [[nodiscard]] std::optional<time_point> due() const;

 private:
  std::chrono::milliseconds interval_;
  std::optional<time_point> reported_at_;
  std::uint64_t waiting_ = 0;
};

}  // namespace troupe::telemetry
