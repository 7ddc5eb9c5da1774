#pragma once
#include <actors/replication/log_context.hpp>

namespace troupe::logs {

/// The part of an append that goes to one partition: whole records in the dataset's format.
struct append_part {
  partition_index partition;
  std::uint32_t count = 0;
  shared_bytes payload;
};

/// What routing must know of a dataset.
struct routing_rule {
  data_format format = data_format::lines;
  troupe::schema schema;
  std::string key_field;  ///< empty: spread
  std::uint32_t partitions = 1;
};

/// Divides records among partitions, by partition. `invalid_argument` when they are no records, or have no key.
result<std::vector<append_part>> split_records(const routing_rule& rule, const uuid& producer, std::uint64_t sequence,
                                               shared_bytes records);

/// The bytes of one field of a record as they stand there: what a key is hashed from. Nothing when the record does not
/// fit the schema.
std::optional<bytes_view> field_bytes(const troupe::schema& s, std::size_t index, bytes_view record);

}  // namespace troupe::logs
