#pragma once
#include <optional>
#include <shell/failure.hpp>
#include <span>
#include <string>
#include <vector>

namespace troupe::shell {

/// The bytes of several files one after the other, `-` being standard input. With `lines`, a file that does not end
/// with a new line gets one before the next file, so that no two records run together. Owned by one import, read by the
/// HTTP client's upload.
class import_source {
 public:
  /// Opens all of them, so that an unreadable one is refused before anything is sent.
  static outcome<import_source> open(const std::vector<std::string>& files, bool lines);
  ~import_source();
  import_source(import_source&& other) noexcept;
  import_source& operator=(import_source&&) = delete;
  import_source(const import_source&) = delete;

  /// Fills at most the span; 0 at the end of the last file.
  result<std::size_t> read_some(std::span<char> out);

  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  /// What read_some will give in all, new lines between files included; nothing when one of them is no regular file, so
  /// that its end is not known.
  [[nodiscard]] std::optional<std::uint64_t> bytes_total() const { return bytes_total_; }

 private:
  import_source() = default;
  struct file {
    std::string name;
    int fd;
    std::optional<std::uint64_t>
        left;  ///< of a regular file, as large as it was when it was opened: what is appended meanwhile is not imported
  };
  std::vector<file> files_;
  bool lines_ = false;
  std::size_t current_ = 0;
  char last_ = '\n';
  std::uint64_t bytes_read_ = 0;
  std::optional<std::uint64_t> bytes_total_;
};

}  // namespace troupe::shell
