#pragma once
#include <cstdint>
#include <span>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/base/uuid.hpp>
#include <vector>

/// Who wrote what last into a partition, so that a retry is known as one: in every footer, and as the first batch of
/// every segment that is appended to. doc/formats/segment.md draws both.
namespace troupe::format {

/// The last batch of one producer. The place names the segment that holds it, which may be an earlier one.
struct producer_entry {
  uuid producer;
  std::uint64_t last_sequence = 0;
  segment_id segment;
  record_offset first_offset;  ///< within that segment
  std::uint32_t count = 0;
  std::int64_t append_time_unix_ms = 0;
  friend bool operator==(const producer_entry&, const producer_entry&) = default;
};

inline constexpr std::size_t producer_entry_bytes = 56;
/// Of a partition: a new producer beyond it is refused until others have expired. A table fits a frame with room.
inline constexpr std::size_t producers_per_segment_max = 10'000;

/// Ascending by producer, each once.
using producer_table = std::vector<producer_entry>;

void append_producer_entry(bytes& out, const producer_entry& entry);
/// Of 56 bytes.
producer_entry load_producer_entry(const char* in) noexcept;

/// The payload of a batch of codec `producers`.
bytes encode_producer_table(const producer_table& table);
/// `corrupted` unless it ascends and is as long as it says.
result<producer_table> decode_producer_table(bytes_view payload);

bool ascending(const producer_table& table) noexcept;
const producer_entry* find(const producer_table& table, const uuid& producer) noexcept;
/// Takes the entry in; of two with the same producer the higher sequence stays.
void merge(producer_table& table, const producer_entry& entry);

}  // namespace troupe::format
