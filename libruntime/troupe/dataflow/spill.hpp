#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>
#include <vector>

namespace troupe::dataflow {

/// A file of spilled blocks, one after another. Written once by the store's disk thread, then read by anyone with pread
/// or a mapping; removed with its last block and last reader. Not synced: what it holds can be computed again.
class spill_file {
 public:
  /// Writes the pieces in order. io_error (or resource_exhausted for a full disk) removes what was begun.
  static result<std::unique_ptr<spill_file>> write(const std::filesystem::path& path,
                                                   const std::vector<bytes_view>& pieces);
  ~spill_file();
  spill_file(const spill_file&) = delete;
  spill_file& operator=(const spill_file&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] result<std::size_t> read(std::uint64_t offset, char* out, std::size_t size) const;

 private:
  spill_file(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::filesystem::path path_;
  int fd_;
  std::uint64_t size_ = 0;
};

/// Makes the directory if need be and removes every *.spill in it.
result<void> purge_spill_directory(const std::filesystem::path& directory);

}  // namespace troupe::dataflow
