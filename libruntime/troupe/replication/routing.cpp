#include <troupe/base/checksum.hpp>
#include <troupe/replication/routing.hpp>

namespace troupe::replication {

partition_index partition_of_key(bytes_view key, std::uint32_t partitions) noexcept {
  return partition_index{static_cast<std::uint32_t>(xxh3_64(key) % partitions)};
}

partition_index partition_of_place(const uuid& producer, std::uint64_t sequence, std::uint64_t index,
                                   std::uint32_t partitions) noexcept {
  char place[24];
  store_le(place, producer.octets);
  store_le(place + 16, sequence);
  const auto first = xxh3_64({place, sizeof place});
  return partition_index{static_cast<std::uint32_t>((first % partitions + index / spread_run) % partitions)};
}

}  // namespace troupe::replication
