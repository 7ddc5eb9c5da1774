#include <algorithm>
#include <cstring>
#include <string>
#include <troupe/base/checksum.hpp>
#include <troupe/format/batch.hpp>

namespace troupe::format {
namespace {

// Byte offsets within the header; doc/formats/segment.md draws them.
constexpr std::size_t at_length = 0, at_crc = 4, at_segment = 8, at_first_offset = 16, at_high_water_mark = 24,
                      at_append_time = 32, at_producer = 40, at_sequence = 56, at_count = 64, at_codec = 68,
                      at_zero = 69;

std::uint32_t crc_of(const char* raw, bytes_view payload) noexcept {
  auto crc = crc32c({raw, at_crc});
  crc = crc32c({raw + at_segment, batch_header_bytes - at_segment}, crc);
  return crc32c(payload, crc);
}

error bad(segment_id segment, std::uint64_t position, std::string_view what) {
  return {errc::corrupted, "segment " + to_string(segment) + ", batch at position " + std::to_string(position) + ": " +
                               std::string(what)};
}

bool all_zero(bytes_view data) noexcept {
  return data.empty() || (data[0] == 0 && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

}  // namespace

void encode_batch_header(batch_header& header, bytes_view payload, char* out) noexcept {
  header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  std::memset(out, 0, batch_header_bytes);
  store_le(out + at_length, header.payload_bytes);
  store_le(out + at_segment, header.segment.value);
  store_le(out + at_first_offset, header.first_offset.value);
  store_le(out + at_high_water_mark, header.high_water_mark.value);
  store_le(out + at_append_time, header.append_time_unix_ms);
  std::memcpy(out + at_producer, header.producer.octets.data(), header.producer.octets.size());
  store_le(out + at_sequence, header.producer_sequence);
  store_le(out + at_count, header.count);
  store_le(out + at_codec, header.codec);
  header.crc = crc_of(out, payload);
  store_le(out + at_crc, header.crc);
}

bytes encode_batch(batch_header header, bytes_view payload) {
  bytes out(batch_header_bytes, '\0');
  encode_batch_header(header, payload, out.data());
  out.append(payload);
  return out;
}

result<batch_header> decode_batch_header(bytes_view data, segment_id segment) {
  const auto refuse = [](std::string what) { return error{errc::corrupted, "batch header: " + what}; };
  if (data.size() < batch_header_bytes) return refuse("cut off after " + std::to_string(data.size()) + " bytes");
  const char* raw = data.data();
  batch_header header;
  header.segment.value = load_le<std::uint64_t>(raw + at_segment);
  if (header.segment != segment)
    return refuse("belongs to segment " + to_string(header.segment) + ", not " + to_string(segment));
  header.payload_bytes = load_le<std::uint32_t>(raw + at_length);
  header.crc = load_le<std::uint32_t>(raw + at_crc);
  header.first_offset.value = load_le<std::uint64_t>(raw + at_first_offset);
  header.high_water_mark.value = load_le<std::uint64_t>(raw + at_high_water_mark);
  header.append_time_unix_ms = load_le<std::int64_t>(raw + at_append_time);
  std::memcpy(header.producer.octets.data(), raw + at_producer, header.producer.octets.size());
  header.producer_sequence = load_le<std::uint64_t>(raw + at_sequence);
  header.count = load_le<std::uint32_t>(raw + at_count);
  const auto codec = load_le<std::uint8_t>(raw + at_codec);
  if (codec > static_cast<std::uint8_t>(batch_codec::producers))
    return refuse("unknown codec " + std::to_string(codec));
  header.codec = static_cast<batch_codec>(codec);
  if (!all_zero({raw + at_zero, batch_header_bytes - at_zero})) return refuse("reserved bytes are not zero");
  if (header.payload_bytes > batch_payload_bytes_max)
    return refuse("claims " + std::to_string(header.payload_bytes) + " bytes of payload");
  if ((header.count == 0) != (header.codec == batch_codec::producers))
    return refuse(header.count == 0 ? "holds no records" : "is a producer table and says that it holds records");
  return header;
}

bool batch_crc_fits(const char* raw, bytes_view payload) noexcept {
  return crc_of(raw, payload) == load_le<std::uint32_t>(raw + at_crc);
}

batch_cursor::batch_cursor(bytes_view batches, segment_id segment, std::uint64_t from, std::uint64_t to,
                           crc_check check) noexcept
    : batches_(batches),
      segment_(segment),
      position_(from),
      to_(std::min<std::uint64_t>(to, batches.size())),
      check_(check) {}

result<bool> batch_cursor::next(batch_view& out) { return step(out, check_ == crc_check::every_batch); }
result<bool> batch_cursor::skip(batch_view& out) { return step(out, false); }

result<bool> batch_cursor::step(batch_view& out, bool check) {
  while (position_ < to_) {
    const auto rest = batches_.substr(static_cast<std::size_t>(position_));
    const auto header = decode_batch_header(rest, segment_);
    if (!header) return bad(segment_, position_, header.error().message());
    if (header->payload_bytes > rest.size() - batch_header_bytes)
      return bad(segment_, position_,
                 "cut off: " + std::to_string(header->payload_bytes) + " bytes of payload claimed, " +
                     std::to_string(rest.size() - batch_header_bytes) + " there");
    const auto payload = rest.substr(batch_header_bytes, header->payload_bytes);
    if (check && !batch_crc_fits(rest.data(), payload)) return bad(segment_, position_, "its checksum does not fit");
    out.header = *header;
    out.payload = payload;
    out.position = position_;
    position_ = out.end();
    if (tables_ || header->codec != batch_codec::producers) return true;
  }
  return false;
}

scan_result scan_batches(bytes_view batches, segment_id segment, record_offset known_high_water_mark) {
  scan_result scan;
  scan.high_water_mark = known_high_water_mark;
  batch_cursor cursor(batches, segment);
  cursor.give_tables();
  batch_view batch;
  for (;;) {
    const auto more = cursor.next(batch);
    if (!more) {
      scan.state = scan_state::torn;
      scan.reason = more.error().message();
      break;
    }
    if (!*more) break;
    if (batch.header.first_offset.value != scan.records) {
      scan.state = scan_state::torn;
      scan.reason = bad(segment, batch.position,
                        "begins with record " + to_string(batch.header.first_offset) + " where " +
                            std::to_string(scan.records) + " was expected")
                        .message();
      break;
    }
    scan.intact_bytes = batch.end();
    scan.records += batch.header.count;
    scan.high_water_mark = std::max(scan.high_water_mark, batch.header.high_water_mark);
    scan.append_time_unix_ms = std::max(scan.append_time_unix_ms, batch.header.append_time_unix_ms);
  }
  const auto rest = batches.substr(static_cast<std::size_t>(scan.intact_bytes));
  if (all_zero(rest)) {  // preallocated, never written
    scan.state = scan_state::whole;
    scan.reason.clear();
  }
  // A batch can begin at any byte, so look at each; the segment's id and a plausible offset keep this cheap.
  bool good_later = false;
  for (std::size_t i = 0; scan.state != scan_state::whole && i + batch_header_bytes <= rest.size(); ++i) {
    if (load_le<std::uint64_t>(rest.data() + i + at_segment) != segment.value) continue;
    const auto header = decode_batch_header(rest.substr(i), segment);
    if (!header || header->first_offset.value < scan.records) continue;
    if (header->payload_bytes > rest.size() - i - batch_header_bytes) continue;
    if (!batch_crc_fits(rest.data() + i, rest.substr(i + batch_header_bytes, header->payload_bytes))) continue;
    good_later = true;
    scan.high_water_mark = std::max(scan.high_water_mark, header->high_water_mark);
    i += batch_header_bytes + header->payload_bytes - 1;
  }
  if (good_later) {
    scan.state = scan_state::damaged;
    scan.reason += "; good batches follow it";
  } else if (scan.records < scan.high_water_mark.value) {
    scan.state = scan_state::damaged;
    if (!scan.reason.empty()) scan.reason += "; ";
    scan.reason += "segment " + to_string(segment) + " holds " + std::to_string(scan.records) +
                   " intact records, but those below " + to_string(scan.high_water_mark) + " were durable";
  }
  return scan;
}

}  // namespace troupe::format
