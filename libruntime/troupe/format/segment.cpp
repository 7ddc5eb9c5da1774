#include <algorithm>
#include <cstring>
#include <string>
#include <troupe/base/codec.hpp>
#include <troupe/format/segment.hpp>

namespace troupe::format {
namespace {

constexpr bytes_view header_magic{"TROUPSEG", 8};
constexpr bytes_view footer_magic{"TROUPFTR", 8};
constexpr bytes_view trailer_magic{"FTR1", 4};
constexpr std::size_t header_crc_at = segment_header_bytes - 4;
constexpr std::size_t footer_fixed_bytes = 80;
constexpr std::size_t index_entry_bytes = 16;

void put_uuid(char* out, const uuid& id) noexcept { std::memcpy(out, id.octets.data(), id.octets.size()); }
uuid get_uuid(const char* in) noexcept {
  uuid id;
  std::memcpy(id.octets.data(), in, id.octets.size());
  return id;
}

index_entry before_in(const std::vector<index_entry>& index, record_offset offset) noexcept {
  const auto after = std::upper_bound(index.begin(), index.end(), offset,
                                      [](record_offset o, const index_entry& e) { return o < e.first_offset; });
  return after == index.begin() ? index_entry{} : *(after - 1);
}

}  // namespace

schema_id schema_id_of(const schema& s) {
  return s.fields.empty() ? schema_id{} : schema_id{xxh3_64(codec::encode(s))};
}

bytes encode_segment_header(const segment_header& header) {
  bytes out(segment_header_bytes, '\0');
  char* raw = out.data();
  std::memcpy(raw, header_magic.data(), header_magic.size());
  store_le(raw + 8, segment_version);
  store_le(raw + 12, static_cast<std::uint32_t>(segment_header_bytes));
  put_uuid(raw + 16, header.cluster.value);
  put_uuid(raw + 32, header.replica.value);
  store_le(raw + 48, header.dataset.value);
  store_le(raw + 56, header.segment.value);
  store_le(raw + 64, header.epoch.value);
  store_le(raw + 72, header.schema.value);
  store_le(raw + 80, header.created_at_unix_ms);
  store_le(raw + 88, header.partition.value);
  store_le(raw + 92, header.format);
  store_le(raw + header_crc_at, crc32c({raw, header_crc_at}));
  return out;
}

result<segment_header> decode_segment_header(bytes_view data) {
  const auto refuse = [](errc code, std::string what) { return error{code, "segment header: " + what}; };
  if (data.size() < segment_header_bytes)
    return refuse(errc::corrupted, "cut off after " + std::to_string(data.size()) + " bytes");
  const char* raw = data.data();
  if (data.substr(0, 8) != header_magic) return refuse(errc::corrupted, "this is not a segment file");
  if (crc32c({raw, header_crc_at}) != load_le<std::uint32_t>(raw + header_crc_at))
    return refuse(errc::corrupted, "its checksum does not fit");
  const auto version = load_le<std::uint32_t>(raw + 8);
  if (version != segment_version)
    return refuse(errc::unsupported, "version " + std::to_string(version) + ", this program reads " +
                                         std::to_string(segment_version) + "; use a newer troupe");
  segment_header header;
  header.cluster.value = get_uuid(raw + 16);
  header.replica.value = get_uuid(raw + 32);
  header.dataset.value = load_le<std::uint64_t>(raw + 48);
  header.segment.value = load_le<std::uint64_t>(raw + 56);
  header.epoch.value = load_le<std::uint64_t>(raw + 64);
  header.schema.value = load_le<std::uint64_t>(raw + 72);
  header.created_at_unix_ms = load_le<std::int64_t>(raw + 80);
  header.partition.value = load_le<std::uint32_t>(raw + 88);
  header.format = load_le<data_format>(raw + 92);
  if (load_le<std::uint32_t>(raw + 12) != segment_header_bytes || header.format > data_format::bytes)
    return refuse(errc::corrupted, "its fields make no sense");
  return header;
}

index_entry segment_footer::before(std::uint64_t position) const noexcept {
  const auto after = std::upper_bound(index.begin(), index.end(), position,
                                      [](std::uint64_t p, const index_entry& e) { return p < e.position; });
  return after == index.begin() ? index_entry{} : *(after - 1);
}

index_entry segment_footer::before(record_offset offset) const noexcept { return before_in(index, offset); }
index_entry segment_builder::before(record_offset offset) const noexcept { return before_in(index_, offset); }

bytes encode_segment_footer(const segment_footer& footer) {
  const auto size = footer_fixed_bytes + footer.index.size() * index_entry_bytes +
                    footer.producers.size() * producer_entry_bytes + footer_trailer_bytes;
  bytes out;
  out.reserve(size);
  out.append(footer_magic);
  append_le(out, footer_version);
  append_le(out, static_cast<std::uint32_t>(footer.index.size()));
  append_le(out, static_cast<std::uint32_t>(footer.producers.size()));
  append_le(out, std::uint32_t{0});
  append_le(out, footer.segment.value);
  append_le(out, footer.summary.file_bytes);
  append_le(out, footer.summary.payload_bytes);
  append_le(out, footer.summary.records);
  append_le(out, footer.summary.digest.low);
  append_le(out, footer.summary.digest.high);
  append_le(out, std::uint64_t{0});
  for (const auto& entry : footer.index) {
    append_le(out, entry.position);
    append_le(out, entry.first_offset.value);
  }
  for (const auto& entry : footer.producers) append_producer_entry(out, entry);
  append_le(out, static_cast<std::uint64_t>(size));
  out.append(trailer_magic);
  append_le(out, crc32c(out));
  return out;
}

result<std::uint64_t> decode_footer_trailer(bytes_view data) {
  if (data.size() != footer_trailer_bytes || data.substr(8, 4) != trailer_magic)
    return error{errc::failed_precondition, "the segment has no footer: it was never sealed, or its end is damaged"};
  const auto size = load_le<std::uint64_t>(data.data());
  if (size < footer_fixed_bytes + footer_trailer_bytes)
    return error{errc::corrupted, "segment footer: claims a size of " + std::to_string(size) + " bytes"};
  return size;
}

result<segment_footer> decode_segment_footer(bytes_view data) {
  const auto refuse = [](errc code, std::string what) { return error{code, "segment footer: " + what}; };
  if (data.size() < footer_fixed_bytes + footer_trailer_bytes || data.substr(0, 8) != footer_magic)
    return refuse(errc::corrupted, "cut off or not a footer");
  const char* raw = data.data();
  if (crc32c(data.substr(0, data.size() - 4)) != load_le<std::uint32_t>(raw + data.size() - 4))
    return refuse(errc::corrupted, "its checksum does not fit");
  const auto version = load_le<std::uint32_t>(raw + 8);
  if (version != footer_version)
    return refuse(errc::unsupported, "version " + std::to_string(version) + ", this program reads " +
                                         std::to_string(footer_version) + "; use another troupe");
  const std::uint64_t entries = load_le<std::uint32_t>(raw + 12), producers = load_le<std::uint32_t>(raw + 16);
  if (footer_fixed_bytes + entries * index_entry_bytes + producers * producer_entry_bytes + footer_trailer_bytes !=
          data.size() ||
      load_le<std::uint64_t>(raw + data.size() - footer_trailer_bytes) != data.size())
    return refuse(errc::corrupted, "its size does not fit its counts");
  segment_footer footer;
  footer.segment.value = load_le<std::uint64_t>(raw + 24);
  auto& summary = footer.summary;
  summary.file_bytes = load_le<std::uint64_t>(raw + 32);
  summary.payload_bytes = load_le<std::uint64_t>(raw + 40);
  summary.records = load_le<std::uint64_t>(raw + 48);
  summary.digest.low = load_le<std::uint64_t>(raw + 56);
  summary.digest.high = load_le<std::uint64_t>(raw + 64);
  if (summary.payload_bytes > summary.file_bytes || (summary.file_bytes == 0) != (entries == 0) ||
      (summary.file_bytes == 0 && summary.records != 0))
    return refuse(errc::corrupted, "its sums make no sense");
  const char* at = raw + footer_fixed_bytes;
  footer.index.resize(entries);
  for (auto& entry : footer.index) {
    entry = {load_le<std::uint64_t>(at), record_offset{load_le<std::uint64_t>(at + 8)}};
    at += index_entry_bytes;
  }
  const auto bad_pair = [](const index_entry& a, const index_entry& b) {
    return a.position >= b.position || a.first_offset >= b.first_offset;
  };
  if (entries != 0 && (footer.index.front() != index_entry{} || footer.index.back().position >= summary.file_bytes ||
                       footer.index.back().first_offset.value > summary.records ||
                       std::adjacent_find(footer.index.begin(), footer.index.end(), bad_pair) != footer.index.end()))
    return refuse(errc::corrupted, "its index does not ascend within the batches");
  footer.producers.resize(producers);
  for (auto& entry : footer.producers) {
    entry = load_producer_entry(at);
    at += producer_entry_bytes;
  }
  if (!ascending(footer.producers)) return refuse(errc::corrupted, "its producers do not ascend");
  return footer;
}

result<segment_view> segment_view::of(bytes_view whole_file) {
  segment_view view;
  TROUPE_TRY(view.header, decode_segment_header(whole_file));
  const auto behind_header = whole_file.substr(segment_header_bytes);
  if (behind_header.size() < footer_trailer_bytes) return decode_footer_trailer({}).error();
  TROUPE_TRY(const std::uint64_t footer_bytes,
             decode_footer_trailer(behind_header.substr(behind_header.size() - footer_trailer_bytes)));
  if (footer_bytes > behind_header.size())
    return error{errc::corrupted, "segment footer: claims to be longer than the file"};
  const auto batches_bytes = behind_header.size() - static_cast<std::size_t>(footer_bytes);
  TROUPE_TRY(view.footer, decode_segment_footer(behind_header.substr(batches_bytes)));
  if (view.footer.summary.file_bytes != batches_bytes || view.footer.segment != view.header.segment)
    return error{errc::corrupted,
                 "segment " + to_string(view.header.segment) + ": header, footer and size of the file disagree"};
  view.batches = behind_header.substr(0, batches_bytes);
  return view;
}

result<batch_cursor> segment_view::cursor(std::uint64_t from, std::uint64_t to, crc_check check) const {
  batch_cursor walk(batches, header.segment, footer.before(from).position, from);
  batch_view passed;
  for (;;) {
    TROUPE_TRY(const bool more, walk.skip(passed));
    if (!more) break;
  }
  return batch_cursor(batches, header.segment, walk.position(), to, check);
}

void segment_builder::add(const batch_header& header, const char* raw_header, bytes_view payload) {
  const bool far = index_.empty() || summary_.file_bytes >= index_.back().position + index_spacing_bytes;
  if (far && (index_.empty() || next_offset() > index_.back().first_offset))
    index_.push_back({summary_.file_bytes, next_offset()});
  digest_.update({raw_header, batch_header_bytes});
  digest_.update(payload);
  summary_.file_bytes += batch_header_bytes + payload.size();
  if (header.codec == batch_codec::producers) {
    // Its checksum fitted, and whoever wrote it encoded a table; what does not decode is left out on every copy alike.
    if (auto table = decode_producer_table(payload))
      for (const auto& entry : *table) merge(producers_, entry);
    return;
  }
  summary_.payload_bytes += payload.size();
  const auto first = next_offset();
  summary_.records += header.count;
  if (!header.producer.is_nil())
    merge(producers_,
          {header.producer, header.producer_sequence, segment_, first, header.count, header.append_time_unix_ms});
}

bool segment_builder::knows(const uuid& producer) const noexcept { return find(producers_, producer) != nullptr; }

segment_footer segment_builder::footer() const {
  segment_footer footer{segment_, summary_, index_, producers_};
  footer.summary.digest = digest_.finish();
  return footer;
}

}  // namespace troupe::format
