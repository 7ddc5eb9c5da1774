#pragma once
#include <memory>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/base/schema.hpp>
#include <troupe/format/batch.hpp>
#include <troupe/format/segment.hpp>
#include <troupe/storage/file.hpp>
#include <troupe/storage/segment_reader.hpp>
#include <troupe/storage/segment_writer.hpp>
#include <vector>

namespace troupe::storage {

/// The segment files of a node: DIR/ID.seg, one per segment. Knows no metadata. Has no state of its own beyond the
/// paths, so that any disk thread may call it; the caller sees to it that one segment is not created and removed at
/// once.
class segment_store {
 public:
  segment_store(std::string directory, file_operations& operations = file_operations::system())
      : directory_(std::move(directory)), operations_(&operations) {}

  /// Starts a file. `already_exists` when there is one (also an unsealed one of a crash: remove it first),
  /// `resource_exhausted` when the disk is full.
  result<segment_writer> create(segment_id id, const segment_info& info);

  /// Starts a file that takes the place of ID.seg, if there is one, when it is sealed and not before: until then it is
  /// ID.seg.new. `resource_exhausted` as above.
  result<segment_writer> create_replacement(segment_id id, const segment_info& info);

  /// Opens a sealed segment. `not_found`; `failed_precondition` when it was never sealed; `corrupted` when header or
  /// footer are damaged.
  [[nodiscard]] result<segment_reader> open(segment_id id) const;

  /// What can be said about a file in whatever state: for a restart, and for a fence. Reads all of it; of a file that
  /// is not sealed the first `written` bytes of batches only, when somebody knows that no more were ever written there.
  struct inspection {
    bool sealed = false;
    format::scan_result scan;
  };
  [[nodiscard]] result<inspection> inspect(segment_id id, record_offset known_high_water_mark = {},
                                           std::uint64_t written = ~0ull) const;

  /// Removes a file. A missing one is not an error: removal is repeated after crashes. Not synced: a name that comes
  /// back is removed again.
  result<void> remove(segment_id id);

  /// Removes the replacements that a crash left unfinished; how many. At start only.
  result<std::size_t> remove_unfinished();

  /// Every segment that has a file here, ascending, sealed or not.
  [[nodiscard]] result<std::vector<segment_id>> list() const;

  [[nodiscard]] std::string path(segment_id id) const;
  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

 private:
  result<segment_writer> begin(segment_writer writer, const segment_info& info);

  std::string directory_;
  file_operations* operations_;
};

}  // namespace troupe::storage
