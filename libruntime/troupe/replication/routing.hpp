#pragma once
#include <cstdint>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/uuid.hpp>

/// Which partition a record goes to. Fixed for ever: a retry, a restart and another node must come to the same answer.
namespace troupe::replication {

/// By its key's bytes: records of one key stay in order.
[[nodiscard]] partition_index partition_of_key(bytes_view key, std::uint32_t partitions) noexcept;

inline constexpr std::uint64_t spread_run = 256;  ///< records that stay together, so that batches are not tiny

/// Without a key: by producer, sequence and the record's place in the request, in runs of `spread_run`.
[[nodiscard]] partition_index partition_of_place(const uuid& producer, std::uint64_t sequence, std::uint64_t index,
                                                 std::uint32_t partitions) noexcept;

}  // namespace troupe::replication
