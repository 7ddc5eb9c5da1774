#include <algorithm>
#include <cstring>
#include <string>
#include <troupe/format/producer_table.hpp>

namespace troupe::format {
namespace {

constexpr std::uint32_t table_version = 1;
constexpr std::size_t table_head_bytes = 8;

bool by_producer(const producer_entry& entry, const uuid& producer) noexcept { return entry.producer < producer; }

}  // namespace

void append_producer_entry(bytes& out, const producer_entry& entry) {
  out.append(reinterpret_cast<const char*>(entry.producer.octets.data()), entry.producer.octets.size());
  append_le(out, entry.last_sequence);
  append_le(out, entry.segment.value);
  append_le(out, entry.first_offset.value);
  append_le(out, entry.append_time_unix_ms);
  append_le(out, entry.count);
  append_le(out, std::uint32_t{0});
}

producer_entry load_producer_entry(const char* in) noexcept {
  producer_entry entry;
  std::memcpy(entry.producer.octets.data(), in, entry.producer.octets.size());
  entry.last_sequence = load_le<std::uint64_t>(in + 16);
  entry.segment.value = load_le<std::uint64_t>(in + 24);
  entry.first_offset.value = load_le<std::uint64_t>(in + 32);
  entry.append_time_unix_ms = load_le<std::int64_t>(in + 40);
  entry.count = load_le<std::uint32_t>(in + 48);
  return entry;
}

bytes encode_producer_table(const producer_table& table) {
  bytes out;
  out.reserve(table_head_bytes + table.size() * producer_entry_bytes);
  append_le(out, table_version);
  append_le(out, static_cast<std::uint32_t>(table.size()));
  for (const auto& entry : table) append_producer_entry(out, entry);
  return out;
}

result<producer_table> decode_producer_table(bytes_view payload) {
  const auto refuse = [](errc code, std::string what) { return error{code, "producer table: " + std::move(what)}; };
  if (payload.size() < table_head_bytes) return refuse(errc::corrupted, "cut off");
  const auto version = load_le<std::uint32_t>(payload.data());
  if (version != table_version)
    return refuse(errc::unsupported, "version " + std::to_string(version) + "; use a newer troupe");
  const std::size_t count = load_le<std::uint32_t>(payload.data() + 4);
  if (count > producers_per_segment_max || payload.size() != table_head_bytes + count * producer_entry_bytes)
    return refuse(errc::corrupted, "its " + std::to_string(payload.size()) + " bytes do not fit " +
                                       std::to_string(count) + " producers");
  producer_table table(count);
  for (std::size_t i = 0; i < count; ++i)
    table[i] = load_producer_entry(payload.data() + table_head_bytes + i * producer_entry_bytes);
  if (!ascending(table)) return refuse(errc::corrupted, "its producers do not ascend");
  return table;
}

bool ascending(const producer_table& table) noexcept {
  return std::adjacent_find(table.begin(), table.end(),
                            [](const auto& a, const auto& b) { return !(a.producer < b.producer); }) == table.end();
}

const producer_entry* find(const producer_table& table, const uuid& producer) noexcept {
  const auto at = std::lower_bound(table.begin(), table.end(), producer, by_producer);
  return at != table.end() && at->producer == producer ? &*at : nullptr;
}

void merge(producer_table& table, const producer_entry& entry) {
  const auto at = std::lower_bound(table.begin(), table.end(), entry.producer, by_producer);
  if (at == table.end() || at->producer != entry.producer)
    table.insert(at, entry);
  else if (entry.last_sequence > at->last_sequence)
    *at = entry;
}

}  // namespace troupe::format
