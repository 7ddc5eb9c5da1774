#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>

namespace troupe::telemetry {

/// What a node remembers for people beyond its own life: events, lines that modules logged. Appended to and never
/// synced: after a crash of the machine the last records may be missing, after one of the process none that was
/// written. doc/formats/record_file.md is its page.
///
/// Above half of `bytes_max` a file becomes `PATH.old`, whose predecessor goes: the newest half is always there. One
/// thread.
class record_file {
 public:
  /// Makes the file if it is missing. `unsupported` when it is of a version that this program does not know.
  static result<record_file> open(std::string path, std::uint64_t bytes_max);
  record_file(record_file&& other) noexcept;
  record_file& operator=(record_file&& other) noexcept;
  record_file(const record_file&) = delete;
  record_file& operator=(const record_file&) = delete;
  ~record_file();

  /// A record in one write(2). What a full disk cut short is skipped by readers, and what comes later is read.
  result<void> append(bytes_view record);

  /// Records of `PATH.old` and of the file, oldest first; damaged bytes are skipped, a missing file has none.
  static result<void> read(const std::string& path, const std::function<void(bytes_view)>& each);
  /// Both files. What cannot be removed stays.
  static void remove(const std::string& path);

 private:
  record_file(std::string path, std::uint64_t bytes_max, int fd, std::uint64_t bytes)
      : path_(std::move(path)), bytes_max_(bytes_max), fd_(fd), bytes_(bytes) {}

  std::string path_;
  std::uint64_t bytes_max_ = 0;
  int fd_ = -1;
  std::uint64_t bytes_ = 0;
};

}  // namespace troupe::telemetry
