#pragma once
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>
#include <vector>

namespace troupe::data {

/// The modules of this node as files `HASH.so` in the data directory's `modules/`, HASH the SHA-256 of the content in
/// 64 lower-case digits. A file under its final name is whole: it was written beside it, synced and renamed.
/// Thread-safe; every call may wait for the disk, so none belongs on an I/O thread.
class module_store {
 public:
  /// Creates the folder when it is missing and removes what a crash left half-written.
  static result<module_store> open(std::filesystem::path directory);
  module_store(module_store&& other) noexcept;
  module_store& operator=(module_store&&) = delete;

  /// Stores a module and returns its hash; storing it again is no error. `resource_exhausted` when the disk is full,
  /// `io_error` with errno's words.
  result<std::string> put(bytes_view content);
  /// As put, for bytes that came from elsewhere: `corrupted` when they are not the module that `hash` names.
  result<void> put_verified(const std::string& hash, bytes_view content);

  [[nodiscard]] bool has(const std::string& hash) const;
  /// Where the file is, or would be. `hash` must be 64 hexadecimal digits: `invalid_argument` otherwise, so that no
  /// name leads out of the folder.
  [[nodiscard]] result<std::filesystem::path> path(const std::string& hash) const;
  /// The content, checked against its hash. `not_found`, `corrupted` (the damaged file is removed: a peer may have a
  /// good one), `io_error`.
  [[nodiscard]] result<bytes> read(const std::string& hash) const;
  [[nodiscard]] std::vector<std::string> list() const;
  /// Workers that have it loaded keep it. Removing what is not there is no error.
  result<void> remove(const std::string& hash);

 private:
  explicit module_store(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path directory_;
  mutable std::mutex mutex_;  ///< one writer at a time: two puts of one module share a temporary name
};

}  // namespace troupe::data
