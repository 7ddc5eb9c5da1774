#pragma once
#include <cstdint>
#include <optional>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>

namespace troupe::data {

/// Cuts the stream of an import into batches of whole records. Pure; used by one import. The cuts depend on the bytes
/// and the boundaries only, not on the pieces they come in.
class batcher {
 public:
  struct batch {
    bytes payload;              ///< as the dataset's format has it
    std::uint64_t records = 0;  ///< in it
    std::uint64_t end = 0;      ///< bytes of the stream up to its end, added newlines included
  };

  virtual ~batcher() = default;

  /// The next batch must not reach past the first record border at or after this byte of the stream. It must lie after
  /// the last batch's end.
  virtual void set_boundary(std::optional<std::uint64_t> stream_bytes) = 0;

  /// Takes bytes from the front of `data` until a batch is complete or nothing is left: call again until the answer is
  /// empty. An error is the end of the import.
  virtual result<std::optional<batch>> take(bytes_view& data) = 0;

  /// The source ended, another may follow: an unfinished record ends here.
  virtual void end_of_source() = 0;
  /// What is left, as a batch, or nothing.
  virtual result<std::optional<batch>> finish() = 0;

  /// A used payload's memory for the next batch: fresh pages cost more than the copy.
  virtual void recycle(bytes&& used) = 0;

  /// Rows that were no records, as they stand, since the last call.
  virtual bytes take_rejected() { return {}; }
};

}  // namespace troupe::data
