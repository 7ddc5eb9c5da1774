#pragma once
#include <map>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/storage/file.hpp>

namespace troupe::storage {

/// The promises that this member's replicas made to fences: logs/promises. A file of checksummed entries that is
/// written anew when most of them are forgotten. One thread. doc/formats/promises.md.
class promise_log {
 public:
  /// `directory` is there. A torn tail is cut: it was never answered. `corrupted`: an entry before others is wrong; the
  /// member must not guess and has to be given an empty data directory.
  static result<promise_log> open(file_operations& operations, std::string directory);

  [[nodiscard]] const std::map<segment_id, epoch>& promises() const noexcept { return promises_; }
  /// Durable when it returns; a failed fsync ends the process. `resource_exhausted` when the disk is full.
  result<void> keep(segment_id segment, epoch at_least);
  /// The segment is sealed or gone. Not synced: a promise too many does no harm.
  result<void> forget(segment_id segment);

 private:
  promise_log(file_operations& operations, std::string directory)
      : operations_(&operations), directory_(std::move(directory)) {}
  result<void> append(segment_id segment, epoch at);
  result<void> rewrite();

  file_operations* operations_;
  std::string directory_;
  file file_;
  std::uint64_t size_ = 0;
  std::uint64_t entries_ = 0;
  std::map<segment_id, epoch> promises_;
};

}  // namespace troupe::storage
