#pragma once
#include <troupe/api/datasets.hpp>
#include <troupe/base/uuid.hpp>

/// Datasets that are made empty and appended to: doc/guide/logs.md.
namespace troupe::api {

/// Of one request that appends. More goes into several requests; larger ones make a retry dear.
inline constexpr std::size_t append_body_bytes_max = 8 << 20;

/// Header fields of an append: whose it is, and which of its requests. The same pair sent again is known as a retry and
/// adds nothing that is there.
inline constexpr const char* producer_field = "Troupe-Producer";  ///< a UUID
inline constexpr const char* sequence_field = "Troupe-Sequence";  ///< a number that grows with each new request
/// Of the answer to a read: the offset to go on from.
inline constexpr const char* next_offset_field = "Troupe-Next-Offset";

/// PUT /api/v1/datasets/NAME: makes an empty dataset
struct dataset_options {
  data_format format = data_format::lines;
  std::vector<field> schema;     ///< for format records
  std::string key_field;         ///< chooses a record's partition; empty: spread evenly
  std::uint32_t partitions = 1;  ///< stays as it is
  std::uint32_t copies = 0;      ///< 0: 2, or 1 on a single node
  std::uint32_t min_copies = 0;  ///< 0: one less than copies, at least 1
  sync_policy sync = sync_policy::batch;
  std::int64_t keep_age_ms = 0;  ///< 0: for ever
  std::uint64_t keep_bytes = 0;  ///< of each partition; 0: all
  static constexpr std::array<const char*, 0> required{};
};
BOOST_DESCRIBE_STRUCT(dataset_options, (),
                      (format, schema, key_field, partitions, copies, min_copies, sync, keep_age_ms, keep_bytes))

/// PATCH /api/v1/datasets/NAME: what is there changes, the rest stays
struct dataset_changes {
  std::optional<std::uint32_t> copies;
  std::optional<std::uint32_t> min_copies;
  std::optional<sync_policy> sync;
  std::optional<std::int64_t> keep_age_ms;
  std::optional<std::uint64_t> keep_bytes;
  std::optional<std::vector<field>> schema;  ///< the whole one; may only have more optional fields at its end
  static constexpr std::array<const char*, 0> required{};
};
BOOST_DESCRIBE_STRUCT(dataset_changes, (), (copies, min_copies, sync, keep_age_ms, keep_bytes, schema))

/// POST /api/v1/datasets/NAME/records answers a list of them, by partition, once all is durable. When only a part is,
/// the answer is 503 with an append_problem.
struct appended_part {
  partition_index partition;
  record_offset first_offset;  ///< within the partition
  std::uint32_t count = 0;
  bool duplicate = false;  ///< an earlier try had appended it
};
BOOST_DESCRIBE_STRUCT(appended_part, (), (partition, first_offset, count, duplicate))

/// A problem (RFC 9457) that says what became durable all the same. The same request with the same producer and
/// sequence completes the rest.
struct append_problem {
  std::string type = "about:blank";
  std::string title;
  unsigned status = 503;
  std::string detail;
  std::string code;
  std::vector<appended_part> durable;
};
BOOST_DESCRIBE_STRUCT(append_problem, (), (type, title, status, detail, code, durable))

/// GET /api/v1/datasets/NAME/records: one a line (application/x-ndjson)
struct dataset_record {
  partition_index partition;
  record_offset offset;                  ///< within the partition
  std::optional<timestamp> appended_at;  ///< null: imported, or written by a job
  json::value record;                    ///< a string for lines, base64 for bytes, an object for records
};
BOOST_DESCRIBE_STRUCT(dataset_record, (), (partition, offset, appended_at, record))

enum class copy_state : std::uint8_t {
  intact,
  damaged,      ///< its bytes are wrong: it counts no more, and is made again from another
  missing,      ///< it should be on that node and is not
  unreachable,  ///< the node did not answer
};
BOOST_DESCRIBE_ENUM(copy_state, intact, damaged, missing, unreachable)

struct verified_copy {
  std::string node;
  copy_state state = copy_state::intact;
  std::string why;  ///< a sentence unless intact
};
BOOST_DESCRIBE_STRUCT(verified_copy, (), (node, state, why))

struct verified_segment {
  segment_id id;
  partition_index partition;
  std::uint64_t records = 0;
  bool open = false;       ///< still appended to
  bool repairing = false;  ///< copies are missing, and somebody has what to make them from
  std::vector<verified_copy> copies;
};
BOOST_DESCRIBE_STRUCT(verified_segment, (), (id, partition, records, open, repairing, copies))

/// POST /api/v1/datasets/NAME/verify: every byte of every copy was read and checked
struct verification {
  std::string dataset;
  bool sound = true;  ///< every copy was reached and is intact
  std::uint32_t copies_wanted = 0;
  std::uint64_t segments = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes_checked = 0;  ///< of all copies
  std::uint64_t copies_intact = 0;
  std::uint64_t copies_bad = 0;
  std::uint64_t copies_unreachable = 0;
  std::uint64_t copies_missing_yet = 0;  ///< wanted and not made yet
  std::uint64_t segments_lost = 0;       ///< not one intact copy was found
  double seconds = 0;
  std::vector<verified_segment> wrong;  ///< at most 1000
};
BOOST_DESCRIBE_STRUCT(verification, (),
                      (dataset, sound, copies_wanted, segments, records, bytes_checked, copies_intact, copies_bad,
                       copies_unreachable, copies_missing_yet, segments_lost, seconds, wrong))

}  // namespace troupe::api
