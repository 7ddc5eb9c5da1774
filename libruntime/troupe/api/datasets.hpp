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

struct partition_summary {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> copies;  ///< names of the nodes that hold every segment of it
  std::vector<segment_summary> segments;
};
BOOST_DESCRIBE_STRUCT(partition_summary, (), (records, bytes, copies, segments))

/// GET /api/v1/datasets/NAME; also the answer (201) to POST /api/v1/datasets/NAME, whose body is what to import
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
};
BOOST_DESCRIBE_STRUCT(dataset, (),
                      (name, id, format, schema, state, copies, records, bytes, created_at, made_by, partitions))

/// GET /api/v1/datasets/NAME/records?limit=N: one a line (application/x-ndjson)
struct dataset_record {
  partition_index partition;
  record_offset offset;  ///< within the partition
  json::value record;    ///< a string for lines and bytes, an object for records
};
BOOST_DESCRIBE_STRUCT(dataset_record, (), (partition, offset, record))

}  // namespace troupe::api
