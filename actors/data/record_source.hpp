#pragma once
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <troupe/format/record_text.hpp>
#include <troupe/metadata/model.hpp>
#include <vector>

namespace troupe::data {

/// Whole records of one partition, as they lie in the dataset (format of the dataset), checked.
struct record_run {
  bytes payload;
  std::uint64_t records = 0;
  partition_index partition;
  record_offset first;  ///< of the first record, within its partition
};

/// Reads a dataset in order: partition by partition, segment by segment. Each piece comes from this node when it has a
/// copy, else from another holder. A holder whose bytes are damaged, whose file is gone or who can't be reached is
/// passed over for the rest of the segment; damage is reported to metadata once. When no copy is left: `data_loss` (or
/// `unavailable` when a holder is only away) naming dataset, partition, segment and the first record that can't be
/// read.
///
/// Made by data_plane::open_dataset, which takes the segments as they are then. One caller, one call at a time, from
/// any executor.
class record_source {
 public:
  virtual ~record_source() = default;
  [[nodiscard]] virtual const metadata::dataset& dataset() const = 0;
  /// The next run, at most about 1 MiB unless one batch is larger; nothing at the end. `bytes_hint` asks for less (0:
  /// as much as is good for throughput).
  virtual boost::asio::awaitable<result<std::optional<record_run>>> next(std::size_t bytes_hint = 0) = 0;
};

using format::text_format;

/// A dataset as text, piece by piece; the pieces put together are the file. `lines` of a dataset of lines gives back
/// what was imported; of records, TSV. `json` is one object (or string) a line. CSV begins with a line of names.
class exporter {
 public:
  virtual ~exporter() = default;
  /// The next piece; empty at the end.
  virtual boost::asio::awaitable<result<bytes>> next() = 0;
};

/// One record as the shell shows it.
struct shown_record {
  std::uint32_t partition = 0;
  std::uint64_t offset = 0;
  std::string json;  ///< the record as a JSON value, without a newline
};

}  // namespace troupe::data
