/// The metadata log as a node finds it on its disk: the log file, its entries, the hard state, the snapshot, and what
/// consensus wraps around payloads and states.
#include <string>
#include <support/fuzz.hpp>
#include <troupe/base/checksum.hpp>
#include <troupe/consensus/messages.hpp>
#include <troupe/format/log_entry.hpp>

namespace troupe::fuzz {
namespace {

using namespace format;

constexpr log_index first_here{5};

void check_frames(bytes_view input) {
  if (const auto header = decode_log_file_header(input)) {
    const auto again = decode_log_file_header(encode_log_file_header(*header));
    TROUPE_INVARIANT(again.has_value() && *again == *header, "a log's header changes when it is encoded again");
  }
  if (const auto state = decode_hard_state(input)) {
    const auto again = decode_hard_state(encode_hard_state(*state));
    TROUPE_INVARIANT(again.has_value() && *again == *state, "a hard state changes when it is encoded again");
  }
  if (const auto snapshot = decode_snapshot(input)) {
    TROUPE_INVARIANT(snapshot->state.size() + snapshot_header_bytes == input.size(), "a state beyond its file");
    const auto file = encode_snapshot_header(*snapshot) + bytes(snapshot->state);
    const auto again = decode_snapshot(file);
    TROUPE_INVARIANT(again.has_value() && again->cluster == snapshot->cluster && again->index == snapshot->index &&
                         again->term == snapshot->term && again->state == snapshot->state,
                     "a snapshot changes when it is encoded again");
    consensus::snapshot found;
    if (consensus::decode_snapshot_state(snapshot->state, found)) {
      consensus::snapshot twice;
      TROUPE_INVARIANT(consensus::decode_snapshot_state(consensus::encode_snapshot_state(found), twice).has_value() &&
                           twice.members == found.members && *twice.state == *found.state,
                       "a snapshot's state changes when it is encoded again");
    }
  }
}

void check_entries(bytes_view input) {
  const auto scan = scan_log(input, first_here);
  if (!scan) return;
  TROUPE_INVARIANT(scan->intact_bytes <= input.size(), "intact beyond the end");
  std::uint64_t end = 0;
  bytes again;
  auto index = first_here;
  for (const auto& place : scan->entries) {
    TROUPE_INVARIANT(place.position == end, "entries do not meet");
    end = place.position + log_entry_header_bytes + place.payload_bytes;
    const auto entry = decode_log_entry(input.substr(static_cast<std::size_t>(place.position)));
    TROUPE_INVARIANT(entry.has_value() && entry->index == index && entry->term == place.term &&
                         entry->payload.size() == place.payload_bytes,
                     "an entry reads differently when it is read alone");
    append_log_entry(again, *entry);
    consensus::entry wrapped;
    wrapped.index = index;
    if (consensus::decode_payload(entry->payload, wrapped))
      TROUPE_INVARIANT(consensus::encode_payload(wrapped) == entry->payload, "a payload changes when encoded again");
    index = index.next();
  }
  TROUPE_INVARIANT(end == scan->intact_bytes, "the last entry is not the end");
  TROUPE_INVARIANT(again == input.substr(0, again.size()), "entries change when they are encoded again");
}

/// Checksums that fit: of entries one after the other, of a header or a hard state, of a snapshot.
bytes mended(bytes file) {
  for (std::size_t at = 0; file.size() - at >= log_entry_header_bytes;) {
    const std::size_t payload_bytes = load_le<std::uint32_t>(file.data() + at);
    if (payload_bytes > file.size() - at - log_entry_header_bytes) break;
    const auto entry = bytes_view(file).substr(at, log_entry_header_bytes + payload_bytes);
    const auto crc = crc32c(entry.substr(log_entry_header_bytes),
                            crc32c(entry.substr(8, log_entry_header_bytes - 8), crc32c(entry.substr(0, 4))));
    store_le(file.data() + at + 4, crc);
    at += entry.size();
  }
  return file;
}
bytes framed(bytes file, std::size_t frame_bytes) {
  if (file.size() < frame_bytes) return file;
  if (frame_bytes == snapshot_header_bytes && file[5] == 'S') {  // its state's size and checksum
    store_le(file.data() + 48, static_cast<std::uint64_t>(file.size() - frame_bytes));
    store_le(file.data() + 56, crc32c(bytes_view(file).substr(frame_bytes)));
  }
  store_le(file.data() + frame_bytes - 4, crc32c(bytes_view(file).substr(0, frame_bytes - 4)));
  return file;
}

}  // namespace

void one_input(bytes_view input) {
  check_frames(input);
  check_entries(input);
  check_entries(mended(bytes(input)));
  check_frames(framed(bytes(input), log_file_header_bytes));
  check_frames(framed(bytes(input), 40));
}

std::vector<bytes> seeds() {
  bytes log;
  std::vector<bytes> made;
  for (std::uint64_t i = first_here.value; i < 12; ++i) {
    const auto payload = bytes(1, static_cast<char>(i % 3)) + bytes(i * 3, 'e');
    append_log_entry(log, {term{i / 3}, log_index{i}, log_index{i / 2 * 2 - 1}, payload});
    made.push_back(log);
  }
  made.push_back(log + bytes(40, '\0'));
  made.push_back(
      encode_log_file_header({cluster_id::parse("00000000-0000-4000-8000-000000000001").value(), first_here}));
  made.push_back(encode_hard_state({term{3}, member_id{}}));
  consensus::snapshot s;
  s.members.voters.insert(member_id{uuid{{1}}});
  s.members.learners.insert(member_id{uuid{{2}}});
  s.state = std::make_shared<const bytes>("state");
  const auto state = consensus::encode_snapshot_state(s);
  made.push_back(encode_snapshot_header({cluster_id{}, log_index{5}, term{2}, state}) + state);
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
