#include <troupe/replication/repair.hpp>

namespace troupe::replication {

std::vector<metadata::trim_partition> plan_retention(const metadata::state& s, std::int64_t now_unix_ms) {
  std::vector<metadata::trim_partition> out;
  for (const auto& [id, d] : s.datasets()) {
    if (d.state != metadata::dataset_state::ready || (d.log.keep_age_ms == 0 && d.log.keep_bytes == 0)) continue;
    for (std::uint32_t p = 0; p < d.partitions.size(); ++p) {
      const auto& segments = d.partitions[p].segments;
      if (segments.empty() || s.is_read(id, partition_index{p})) continue;
      std::uint64_t bytes = 0;
      for (const auto& g : segments) bytes += g.bytes;
      std::optional<segment_id> last;
      for (const auto& g : segments) {
        // Segments of an import have no append time: they are as old as the dataset.
        const auto at = g.last_append_unix_ms != 0 ? g.last_append_unix_ms : d.created_at_unix_ms;
        const bool old = d.log.keep_age_ms != 0 && at < now_unix_ms - d.log.keep_age_ms;
        // Never below keep_bytes: a segment goes when what follows it is enough.
        const bool surplus = d.log.keep_bytes != 0 && bytes - g.bytes >= d.log.keep_bytes;
        if (!old && !surplus) break;
        last = g.id;
        bytes -= g.bytes;
      }
      if (last) out.push_back({id, partition_index{p}, *last});
    }
  }
  return out;
}

}  // namespace troupe::replication
