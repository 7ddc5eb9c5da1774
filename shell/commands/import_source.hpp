#pragma once
#include <optional>
#include <shell/commands/decompressor.hpp>
#include <shell/failure.hpp>
#include <span>
#include <string>
#include <vector>

namespace troupe::shell {

/// How several files become one text.
struct import_reading {
  bool lines =
      true;  ///< a file that does not end with a new line gets one before the next: no two records run together
  bool counts_lines = false;  ///< for place_of_line: rows may be wrong, lines of text are not
  bool header = false;        ///< each file begins with a row of names; that of the first stays
};

/// The bytes of several files one after the other, `-` being standard input. Compressed ones (gzip, zstd) as they were
/// before. Owned by one import, read by the HTTP client's upload.
class import_source {
 public:
  /// Opens all of them, so that an unreadable one is refused before anything is sent.
  static outcome<import_source> open(const std::vector<std::string>& files, import_reading how);
  ~import_source();
  import_source(import_source&& other) noexcept;
  import_source& operator=(import_source&&) = delete;
  import_source(const import_source&) = delete;

  /// Fills at most the span; 0 at the end of the last file.
  result<std::size_t> read_some(std::span<char> out);

  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  /// What read_some will give in all, new lines between files included; nothing when one of them is no regular file or
  /// is compressed, so that its end is not known.
  [[nodiscard]] std::optional<std::uint64_t> bytes_total() const { return bytes_total_; }
  /// «FILE, line 7» of a line of what was read, counted from 1.
  [[nodiscard]] std::string place_of_line(std::uint64_t line) const;

 private:
  import_source() = default;
  struct file {
    std::string name;
    int fd;
    std::optional<std::uint64_t>
        left;  ///< of a regular file, as large as it was when it was opened: what is appended meanwhile is not imported
    bool looked_at = false;  ///< whether it is compressed
    std::optional<decompressor> packed{};
    std::string first{};             ///< read while it was looked at
    bool header_due = false;         ///< of a file after the first
    bool header_quoted = false;      ///< within a quoted cell of it
    std::uint64_t header_lines = 0;  ///< that were left out
    std::uint64_t first_line = 0;    ///< of all that is read; 0 before
  };

  result<std::size_t> read_stored(file& f, std::span<char> out);
  result<std::size_t> read_file(file& f, std::span<char> out);
  std::size_t skip_header(file& f, std::span<char> read);

  std::vector<file> files_;
  import_reading how_;
  std::size_t current_ = 0;
  char last_ = '\n';
  std::uint64_t bytes_read_ = 0;
  std::uint64_t lines_read_ = 0;
  std::optional<std::uint64_t> bytes_total_;
};

}  // namespace troupe::shell
