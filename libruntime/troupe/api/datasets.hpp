#pragma once
#include <troupe/api/json.hpp>
#include <troupe/api/list.hpp>
#include <troupe/base/schema.hpp>

namespace troupe::api {

enum class dataset_state : std::uint8_t { creating, ready, deleting };
BOOST_DESCRIBE_ENUM(dataset_state, creating, ready, deleting)

/// GET /api/v1/datasets, an item
struct dataset_summary {
  std::string name;
  dataset_id id;
  data_format format = data_format::lines;
  dataset_state state = dataset_state::ready;
  std::uint32_t copies = 1;  ///< that it shall have
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  ///< of the payload, of one copy
  std::uint32_t partition_count = 0;
  timestamp created_at;
  std::optional<job_id> made_by;  ///< null: imported
};
BOOST_DESCRIBE_STRUCT(dataset_summary, (),
                      (name, id, format, state, copies, records, bytes, partition_count, created_at, made_by))

struct segment_summary {
  segment_id id;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::string digest;               ///< XXH3-128, 32 digits
  std::vector<std::string> copies;  ///< names of the nodes that hold one
};
BOOST_DESCRIBE_STRUCT(segment_summary, (), (id, records, bytes, digest, copies))

/// Records of a partition have offsets: `begin_offset` is the first that retention has left, those below `end_offset`
/// may be read.
struct partition_summary {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;          ///< of sealed segments
  std::vector<std::string> copies;  ///< names of the nodes that hold every sealed segment of it
  std::vector<segment_summary> segments;
  // The appendable end
  troupe::epoch epoch;                ///< 0: nobody has appended to it yet
  std::optional<std::string> leader;  ///< name of the node that takes appends
  record_offset begin_offset, end_offset;
  std::optional<segment_id> open_segment;  ///< the one that is appended to
  std::vector<std::string> replicas;       ///< names of the nodes that hold it
  std::string refusing;                    ///< why appends are refused now; empty when they are not
  std::uint64_t under_replicated = 0;      ///< sealed segments that have fewer live copies than wanted
  std::uint64_t under_replicated_bytes = 0;
  std::uint64_t lost = 0;  ///< sealed segments without any copy
};
BOOST_DESCRIBE_STRUCT(partition_summary, (),
                      (records, bytes, copies, segments, epoch, leader, begin_offset, end_offset, open_segment,
                       replicas, refusing, under_replicated, under_replicated_bytes, lost))

enum class sync_policy : std::uint8_t {
  batch,  ///< a record is acknowledged when it is on the disks of all replicas
  seal,   ///< when all replicas have written it: a loss of power everywhere may take the newest records
};
BOOST_DESCRIBE_ENUM(sync_policy, batch, seal)

/// GET /api/v1/datasets/NAME; also the answer (201) to POST /api/v1/datasets/NAME, whose body is what to import, to PUT
/// (create) and to PATCH (alter)
struct dataset {
  std::string name;
  dataset_id id;
  data_format format = data_format::lines;
  std::vector<field> schema;  ///< empty unless format is records
  dataset_state state = dataset_state::ready;
  std::uint32_t copies = 1;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  timestamp created_at;
  std::optional<job_id> made_by;
  std::vector<partition_summary> partitions;
  // How it grows
  std::uint32_t min_copies = 1;  ///< with fewer live replicas than this, appends are refused
  sync_policy sync = sync_policy::batch;
  std::string key_field;         ///< chooses a record's partition; empty: spread evenly
  std::int64_t keep_age_ms = 0;  ///< 0: for ever
  std::uint64_t keep_bytes = 0;  ///< of each partition; 0: all
  // How its copies are: sums over the partitions
  std::uint64_t under_replicated = 0;
  std::uint64_t under_replicated_bytes = 0;
  std::uint64_t lost = 0;
  std::vector<std::string> notes;  ///< what could not be found out now, and why
};
BOOST_DESCRIBE_STRUCT(dataset, (),
                      (name, id, format, schema, state, copies, records, bytes, created_at, made_by, partitions,
                       min_copies, sync, key_field, keep_age_ms, keep_bytes, under_replicated, under_replicated_bytes,
                       lost, notes))

}  // namespace troupe::api
