#include <algorithm>
#include <cstring>
#include <string>
#include <troupe/base/checksum.hpp>
#include <troupe/format/log_entry.hpp>

namespace troupe::format {
namespace {

constexpr bytes_view log_magic{"TROUPLOG", 8};
constexpr bytes_view state_magic{"TROUPHST", 8};
constexpr bytes_view snapshot_magic{"TROUPSNP", 8};
constexpr std::size_t hard_state_bytes = 40;

void append_uuid(bytes& out, const uuid& id) {
  out.append(reinterpret_cast<const char*>(id.octets.data()), id.octets.size());
}
uuid load_uuid(const char* in) noexcept {
  uuid id;
  std::memcpy(id.octets.data(), in, id.octets.size());
  return id;
}

error refuse(errc code, std::string_view what, std::string_view why) {
  return {code, std::string(what) + ": " + std::string(why)};
}

/// Magic, crc of all but the last four bytes, then version at 8.
result<void> check_frame(bytes_view data, bytes_view magic, std::size_t size, std::string_view what) {
  if (data.size() < size || data.substr(0, magic.size()) != magic)
    return refuse(errc::corrupted, what, "cut off or something else");
  if (crc32c(data.substr(0, size - 4)) != load_le<std::uint32_t>(data.data() + size - 4))
    return refuse(errc::corrupted, what, "its checksum does not fit");
  const auto version = load_le<std::uint32_t>(data.data() + 8);
  if (version < metadata_log_version)
    return refuse(errc::unsupported, what,
                  "version " + std::to_string(version) + ", of a troupe before 0.1; export the data with that one");
  if (version > metadata_log_version)
    return refuse(errc::unsupported, what, "version " + std::to_string(version) + "; use a newer troupe");
  return ok();
}

void seal_frame(bytes& out, std::size_t size) {
  out.resize(size - 4, '\0');
  append_le(out, crc32c(out));
}

std::uint32_t entry_crc(const char* raw, bytes_view payload) noexcept {
  return crc32c(payload, crc32c({raw + 8, log_entry_header_bytes - 8}, crc32c({raw, 4})));
}

bool never_written(bytes_view data) noexcept {
  return std::all_of(data.begin(), data.end(), [](char c) { return c == 0; });
}

}  // namespace

bytes encode_log_file_header(const log_file_header& header) {
  bytes out(log_magic);
  append_le(out, metadata_log_version);
  append_le(out, std::uint32_t{0});
  append_uuid(out, header.cluster.value);
  append_le(out, header.first.value);
  seal_frame(out, log_file_header_bytes);
  return out;
}

result<log_file_header> decode_log_file_header(bytes_view data) {
  TROUPE_TRY_VOID(check_frame(data, log_magic, log_file_header_bytes, "header of the metadata log"));
  log_file_header header;
  header.cluster.value = load_uuid(data.data() + 16);
  header.first.value = load_le<std::uint64_t>(data.data() + 32);
  if (header.first.value == 0) return refuse(errc::corrupted, "header of the metadata log", "indices begin with 1");
  return header;
}

void append_log_entry_header(bytes& out, const log_entry_view& entry) {
  const auto begin = out.size();
  append_le(out, static_cast<std::uint32_t>(entry.payload.size()));
  append_le(out, std::uint32_t{0});
  append_le(out, entry.index.value);
  append_le(out, entry.term.value);
  append_le(out, entry.durable.value);
  store_le(out.data() + begin + 4, entry_crc(out.data() + begin, entry.payload));
}

void append_log_entry(bytes& out, const log_entry_view& entry) {
  append_log_entry_header(out, entry);
  out.append(entry.payload);
}

result<log_entry_view> decode_log_entry(bytes_view data) {
  constexpr std::string_view what = "log entry";
  if (data.size() < log_entry_header_bytes) return refuse(errc::corrupted, what, "cut off");
  const char* raw = data.data();
  const auto size = load_le<std::uint32_t>(raw);
  if (size > log_entry_bytes_max || size > data.size() - log_entry_header_bytes)
    return refuse(errc::corrupted, what, "claims " + std::to_string(size) + " bytes");
  const auto payload = data.substr(log_entry_header_bytes, size);
  if (entry_crc(raw, payload) != load_le<std::uint32_t>(raw + 4))
    return refuse(errc::corrupted, what, "its checksum does not fit");
  return log_entry_view{term{load_le<std::uint64_t>(raw + 16)}, log_index{load_le<std::uint64_t>(raw + 8)},
                        log_index{load_le<std::uint64_t>(raw + 24)}, payload};
}

result<log_scan> scan_log(bytes_view entries, log_index first) {
  log_scan scan;
  auto next = first;
  while (scan.intact_bytes < entries.size()) {
    const auto entry = decode_log_entry(entries.substr(static_cast<std::size_t>(scan.intact_bytes)));
    if (!entry || entry->index != next) break;
    scan.entries.push_back({scan.intact_bytes, static_cast<std::uint32_t>(entry->payload.size()), entry->term});
    scan.intact_bytes += log_entry_header_bytes + entry->payload.size();
    next = next.next();
  }
  const auto rest = entries.substr(static_cast<std::size_t>(scan.intact_bytes));
  if (never_written(rest)) return scan;  // preallocated, never written
  scan.torn = true;
  // Was the bad entry acknowledged? A later good one says so when it was written after the bad one had been synced. An
  // entry takes at least its header, so an index that is too far ahead for its position is chance.
  for (std::size_t i = 0; i + log_entry_header_bytes <= rest.size(); ++i) {
    const auto index = load_le<std::uint64_t>(rest.data() + i + 8);
    if (index < next.value || index - next.value > i / log_entry_header_bytes + 1) continue;
    const auto entry = decode_log_entry(rest.substr(i));
    if (!entry || entry->durable < next) continue;
    return error{errc::corrupted,
                 "entry " + to_string(next) + " at byte " + std::to_string(scan.intact_bytes) +
                     " of the log's entries is damaged, though it was synced before entry " + to_string(entry->index) +
                     " was written; restore this member's data directory, or remove it so that it joins as a new one"};
  }
  return scan;
}

bytes encode_hard_state(const hard_state& state) {
  bytes out(state_magic);
  append_le(out, metadata_log_version);
  append_le(out, state.term.value);
  append_uuid(out, state.voted_for.value);
  seal_frame(out, hard_state_bytes);
  return out;
}

result<hard_state> decode_hard_state(bytes_view data) {
  TROUPE_TRY_VOID(check_frame(data, state_magic, hard_state_bytes, "hard state"));
  if (data.size() != hard_state_bytes) return refuse(errc::corrupted, "hard state", "something follows it");
  return hard_state{term{load_le<std::uint64_t>(data.data() + 12)}, member_id{load_uuid(data.data() + 20)}};
}

bytes encode_snapshot_header(const snapshot_view& snapshot) {
  bytes out(snapshot_magic);
  append_le(out, metadata_log_version);
  append_le(out, std::uint32_t{0});
  append_uuid(out, snapshot.cluster.value);
  append_le(out, snapshot.index.value);
  append_le(out, snapshot.term.value);
  append_le(out, static_cast<std::uint64_t>(snapshot.state.size()));
  append_le(out, crc32c(snapshot.state));
  seal_frame(out, snapshot_header_bytes);
  return out;
}

result<snapshot_view> decode_snapshot(bytes_view file) {
  constexpr std::string_view what = "metadata snapshot";
  TROUPE_TRY_VOID(check_frame(file, snapshot_magic, snapshot_header_bytes, what));
  snapshot_view snapshot;
  snapshot.cluster.value = load_uuid(file.data() + 16);
  snapshot.index.value = load_le<std::uint64_t>(file.data() + 32);
  snapshot.term.value = load_le<std::uint64_t>(file.data() + 40);
  snapshot.state = file.substr(snapshot_header_bytes);
  if (load_le<std::uint64_t>(file.data() + 48) != snapshot.state.size())
    return refuse(errc::corrupted, what, "its length does not fit");
  if (load_le<std::uint32_t>(file.data() + 56) != crc32c(snapshot.state))
    return refuse(errc::corrupted, what, "the checksum of its state does not fit");
  return snapshot;
}

}  // namespace troupe::format
