#pragma once
#include <cstdint>
#include <optional>
#include <shell/failure.hpp>
#include <string>

namespace troupe::shell {

/// Whole lines, to be appended together.
struct record_batch {
  std::string lines;             ///< each ends with \n
  std::uint64_t records = 0;     ///< 0: the end
  std::uint64_t first_line = 0;  ///< its number in the input, from 1
};

/// Cuts a file, a pipe or what is typed into batches. A batch is about 256 KiB, or what has come when nothing more
/// comes for 20 ms: so a pipe that is silent holds no record back. Owned by one append.
class record_batches {
 public:
  static constexpr std::size_t batch_bytes = 256 << 10;
  static constexpr std::size_t line_bytes_max = 1 << 20;  ///< a larger one no partition takes at once

  /// `file` may be -, standard input.
  static outcome<record_batches> open(const std::string& file);
  ~record_batches();
  record_batches(record_batches&& other) noexcept;
  record_batches& operator=(record_batches&&) = delete;
  record_batches(const record_batches&) = delete;

  /// Waits for some. `cancelled`: Ctrl-C.
  result<record_batch> next();

  [[nodiscard]] bool is_terminal() const;
  /// Of a regular file.
  [[nodiscard]] std::optional<std::uint64_t> bytes_total() const { return bytes_total_; }

 private:
  record_batches(std::string name, int fd) : name_(std::move(name)), fd_(fd) {}
  result<bool> read_more();
  record_batch cut(std::size_t bytes);

  std::string name_;
  int fd_;
  std::optional<std::uint64_t> bytes_total_;
  std::string buffer_;        ///< what no batch has yet
  std::size_t complete_ = 0;  ///< of it: up to the last \n
  std::uint64_t lines_ = 0;   ///< in batches so far
  bool at_end_ = false;
};

}  // namespace troupe::shell
