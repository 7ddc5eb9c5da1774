#pragma once
#include <chrono>
#include <string>

namespace troupe::shell {

/// «, 93 MiB/s»; nothing when no time has passed.
std::string rate_text(std::uint64_t bytes, double seconds);

class session;

/// A line on stderr that tells how far a long command is. On a terminal it is rewritten in place (at most ten times a
/// second) and wiped at the end; elsewhere a new line
/// appears when there is something new, at most every ten seconds. Nothing appears in the first 500 ms, so
/// quick commands stay quiet; nothing at all after `set progress off`.
class progress {
 public:
  explicit progress(session& s);
  ~progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  /// True when `show` would write: for texts that are dear to make.
  [[nodiscard]] bool due() const;
  void show(const std::string& text);
  /// Wipes the line, so that something else can be printed.
  void clear();
  [[nodiscard]] double seconds() const;

 private:
  using clock = std::chrono::steady_clock;
  bool enabled_;
  bool terminal_;
  bool visible_ = false;
  std::string told_;  ///< the last line, without a terminal
  clock::time_point begun_ = clock::now();
  clock::time_point next_;
};

/// «1.2 s», «3 min 20 s», «45 ms».
std::string format_duration(double seconds);
/// «1,234,567».
std::string format_count(std::uint64_t count);

}  // namespace troupe::shell
