#pragma once
#include <cstdint>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/base/uuid.hpp>

/// A batch is the unit of append, of checksum and of split: a header of 72 bytes and its payload.
/// doc/formats/segment.md draws it.
namespace troupe::format {

/// How the payload of a batch is packed. Numbers on disk: append only.
enum class batch_codec : std::uint8_t {
  raw,        ///< lines, records or bytes as they are
  producers,  ///< no records: what the writers before this segment had written last (producer_table.hpp)
};

inline constexpr std::size_t batch_header_bytes = 72;
/// Of one payload: the largest record and what a batch may hold before it. Larger claims are damage.
inline constexpr std::size_t batch_payload_bytes_max = (64 << 20) + (1 << 20);

/// What stands before every payload. `length` and `crc` are computed by `encode_batch_header`.
struct batch_header {
  segment_id segment;
  record_offset first_offset;            ///< of its first record, within the segment
  std::uint32_t count = 0;               ///< records in it, at least 1; 0 exactly for a producer table
  record_offset high_water_mark;         ///< records below it are known to be durable on every replica
  std::int64_t append_time_unix_ms = 0;  ///< the leader's clock; never goes back within a partition
  uuid producer;                         ///< nil: none
  std::uint64_t producer_sequence = 0;
  batch_codec codec = batch_codec::raw;
  std::uint32_t payload_bytes = 0;  ///< length of the payload
  std::uint32_t crc = 0;            ///< CRC-32C over everything but itself, payload included
  friend bool operator==(const batch_header&, const batch_header&) = default;
};

/// Writes the 72 bytes of the header for this payload to `out`; fills in `payload_bytes` and `crc`.
void encode_batch_header(batch_header& header, bytes_view payload, char* out) noexcept;

/// A whole batch as one string, for tests and small things; hot paths write header and payload without joining them.
bytes encode_batch(batch_header header, bytes_view payload);

/// Reads a header and checks that it makes sense for this segment (id, codec, length, count); not yet the crc, which
/// needs the payload. `corrupted` otherwise. `data` holds at least the 72 bytes or it is refused too.
result<batch_header> decode_batch_header(bytes_view data, segment_id segment);

/// True when the crc of the header fits header and payload. `raw` are the header's 72 bytes.
bool batch_crc_fits(const char* raw, bytes_view payload) noexcept;

/// A batch as it lies in somebody's bytes: `payload` lives as long as those.
struct batch_view {
  batch_header header;
  bytes_view payload;
  std::uint64_t position = 0;  ///< of its header within the bytes that the cursor goes over

  [[nodiscard]] std::uint64_t end() const noexcept { return position + batch_header_bytes + payload.size(); }
};

enum class crc_check : std::uint8_t {
  every_batch,
  none,  ///< for bytes that were checked before, as after a digest was compared
};

/// Goes over the batches in bytes in memory or mapped, and checks each as it comes. `batches` begins at a batch's
/// border: the batches region of a segment file, or a range of whole batches that came over the network. Allocates
/// nothing; belongs to one thread.
///
///   batch_cursor cursor(region, id);
///   batch_view batch;
///   for (;;) {
///     TROUPE_TRY(bool more, cursor.next(batch));
///     if (!more) break;
///     use(batch.payload);
///   }
class batch_cursor {
 public:
  /// Gives the batches that begin in [from, to) of `batches`; `from` must be a batch's border (segment_view::cursor
  /// finds one).
  batch_cursor(bytes_view batches, segment_id segment, std::uint64_t from = 0, std::uint64_t to = ~0ull,
               crc_check check = crc_check::every_batch) noexcept;

  /// From here on producer tables come too; who reads records does not want them.
  void give_tables() noexcept { tables_ = true; }

  /// True: `out` is the next batch. False: no further batch begins below `to`. `corrupted`, with the position: header,
  /// crc or length are wrong; the cursor stays where it is.
  result<bool> next(batch_view& out);

  /// As `next`, but only hops over the batch: its header is checked, its payload is not touched.
  result<bool> skip(batch_view& out);

  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

 private:
  result<bool> step(batch_view& out, bool check);

  bytes_view batches_;
  segment_id segment_;
  std::uint64_t position_;
  std::uint64_t to_;
  crc_check check_;
  bool tables_ = false;
};

/// What is intact of a segment that was never sealed, or that is suspected to be damaged.
enum class scan_state : std::uint8_t {
  whole,    ///< every byte belongs to a good batch (zeros of a preallocated tail aside)
  torn,     ///< a bad tail: unsure, to be cut; never decides a seal alone
  damaged,  ///< a bad batch with good ones after it, or below a known high-water mark: keep the file, repair it from a
            ///< peer
};

struct scan_result {
  scan_state state = scan_state::whole;
  std::uint64_t intact_bytes = 0;        ///< up to the end of the last batch of the good prefix
  std::uint64_t records = 0;             ///< in the good prefix
  record_offset high_water_mark;         ///< the highest seen in any good batch
  std::int64_t append_time_unix_ms = 0;  ///< the latest in the good prefix
  std::string reason;                    ///< a sentence when not whole
};

/// Looks at all of `batches`. `known_high_water_mark`: what the caller knows from elsewhere to be durable.
scan_result scan_batches(bytes_view batches, segment_id segment, record_offset known_high_water_mark = {});

}  // namespace troupe::format
