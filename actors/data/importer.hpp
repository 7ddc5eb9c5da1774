#pragma once
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <troupe/format/text_layout.hpp>
#include <troupe/metadata/model.hpp>

namespace troupe::data {

struct import_options {
  std::string dataset;
  /// lines; or records, which are read from text: then `text` says how, and `schema` what they are.
  data_format format = data_format::lines;
  troupe::schema schema{};
  format::text_layout text{};
  std::uint32_t copies = 0;  ///< 0: two, or one where there is only one alive member. More than alive members: refused
  std::uint32_t partitions = 0;  ///< 0: one for each 64 MiB
  std::optional<std::uint64_t>
      size_bytes;        ///< of the whole input when it is known: partitions are then equal ranges of it
  bool replace = false;  ///< an existing dataset of that name gives way at commit; without it: `already_exists`
};

struct import_progress {
  std::uint64_t bytes = 0;  ///< taken from the source
  std::uint64_t records = 0;
  std::uint64_t segments_sealed = 0;
};

struct import_result {
  dataset_id dataset;
  std::uint64_t bytes = 0;  ///< stored; one more than read when the last record had no newline
  std::uint64_t records = 0;
  std::uint32_t partitions = 0;
  std::uint64_t segments = 0;
};

/// Turns a stream of bytes into a dataset that appears whole at `finish`, or not at all. Made by
/// data_plane::start_import, used by one caller, one call at a time, from any executor: the work is done on the data
/// plane's own threads. Memory is bounded by `limits::batch_bytes` times a small window, and by the longest record.
///
/// Once a call has failed the import is aborted: every later call gives the same error. Dropping the importer aborts
/// it.
class importer {
 public:
  virtual ~importer() = default;

  /// Takes all of `data` and returns when there is room for more: this is the backpressure. `data` may go once it
  /// returns. `invalid_argument` for a record longer than limits::record_bytes_max, with the byte where it begins.
  virtual boost::asio::awaitable<result<void>> write(bytes_view data) = 0;

  /// One source ends here and another may follow: a last record without a newline gets one.
  virtual boost::asio::awaitable<result<void>> end_of_source() = 0;

  /// Seals what is open and commits the dataset in metadata.
  virtual boost::asio::awaitable<result<import_result>> finish() = 0;

  /// Removes everything again, in metadata and on all members that can be reached. Done when metadata has it (or can't
  /// be reached).
  virtual boost::asio::awaitable<void> abort() = 0;

  /// Rows that were no records and were left out (text.skip_wrong), as they stand, since the last call. Between calls.
  [[nodiscard]] virtual bytes take_rejected() = 0;

  /// From any thread, at any time.
  [[nodiscard]] virtual import_progress progress() const = 0;
};

}  // namespace troupe::data
