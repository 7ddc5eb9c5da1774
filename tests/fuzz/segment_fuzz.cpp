/// Segment files and the batches in them: as on a disk after a crash, and as they come over the network.
///
/// Input: the first 96 bytes of a segment's header (the zeros up to its checksum would only be in the way), then the
/// rest of the file.
#include <algorithm>
#include <optional>
#include <string>
#include <support/fuzz.hpp>
#include <troupe/base/checksum.hpp>
#include <troupe/format/segment.hpp>

namespace troupe::fuzz {
namespace {

using namespace format;

constexpr segment_id segment_here{7};
constexpr std::size_t header_used_bytes = 96;
constexpr std::size_t batch_crc_at = 4;

/// With header zeros and a header's checksum that fits.
bytes file_of(bytes_view input) {
  bytes file(input.substr(0, std::min(input.size(), header_used_bytes)));
  file.resize(segment_header_bytes - 4, '\0');
  append_le(file, crc32c(file));
  if (input.size() > header_used_bytes) file += input.substr(header_used_bytes);
  return file;
}

/// Makes the checksums of batches and footer fit, too, so that what they protect is looked at.
bytes mended(bytes file) {
  auto end = file.size();
  if (end >= segment_header_bytes + footer_trailer_bytes)
    if (const auto footer_bytes = decode_footer_trailer(bytes_view(file).substr(end - footer_trailer_bytes));
        footer_bytes && *footer_bytes <= end - segment_header_bytes) {
      end -= static_cast<std::size_t>(*footer_bytes);
      store_le(file.data() + file.size() - 4,
               crc32c(bytes_view(file).substr(end, static_cast<std::size_t>(*footer_bytes) - 4)));
    }
  for (auto at = segment_header_bytes; at < end && end - at >= batch_header_bytes;) {
    const std::size_t payload_bytes = load_le<std::uint32_t>(file.data() + at);
    if (payload_bytes > end - at - batch_header_bytes) break;
    const auto batch = bytes_view(file).substr(at, batch_header_bytes + payload_bytes);
    const auto crc = crc32c(batch.substr(batch_crc_at + 4), crc32c(batch.substr(0, batch_crc_at)));
    store_le(file.data() + at + batch_crc_at, crc);
    at += batch.size();
  }
  return file;
}

/// Positions of the batches of [from, to), or nothing when one of them is bad.
std::optional<std::vector<std::uint64_t>> positions(result<batch_cursor> cursor, bool tables) {
  if (!cursor) return std::nullopt;
  if (tables) cursor->give_tables();
  std::vector<std::uint64_t> found;
  batch_view batch;
  std::uint64_t end = 0;
  for (;;) {
    const auto more = cursor->next(batch);
    if (!more) return std::nullopt;
    if (!*more) return found;
    TROUPE_INVARIANT(batch.position >= end, "a batch that begins before the last one's end");
    end = batch.end();
    found.push_back(batch.position);
  }
}

void check_file(bytes_view file) {
  if (const auto header = decode_segment_header(file)) {
    const auto again = decode_segment_header(encode_segment_header(*header));
    TROUPE_INVARIANT(again.has_value() && *again == *header, "a header changes when it is encoded again");
  }
  const auto view = segment_view::of(file);
  if (!view) return;
  const auto footer = decode_segment_footer(encode_segment_footer(view->footer));
  TROUPE_INVARIANT(footer.has_value() && *footer == view->footer, "a footer changes when it is encoded again");
  for (const auto check : {crc_check::every_batch, crc_check::none}) {
    // Splits that meet see every batch once, provided that the index points to batches.
    const auto borders = positions(batch_cursor(view->batches, view->header.segment, 0, ~0ULL, check), true);
    if (!borders) continue;
    TROUPE_INVARIANT(borders->empty() || borders->back() < view->batches.size(), "a batch outside of its region");
    if (!std::all_of(view->footer.index.begin(), view->footer.index.end(), [&](const index_entry& e) {
          return std::binary_search(borders->begin(), borders->end(), e.position);
        }))
      continue;
    const auto whole = positions(view->cursor(0, ~0ULL, check), false);
    const auto middle = view->batches.size() / 2;
    auto first = positions(view->cursor(0, middle, check), false);
    const auto second = positions(view->cursor(middle, ~0ULL, check), false);
    TROUPE_INVARIANT(whole && first && second, "a split of whole batches does not read");
    first->insert(first->end(), second->begin(), second->end());
    TROUPE_INVARIANT(*first == *whole, "splits that meet see other batches than the whole");
  }
}

/// Scans, then builds a footer over the intact prefix as a writer that takes over would.
void check_batches(bytes_view batches) {
  const auto scan = scan_batches(batches, segment_here);
  TROUPE_INVARIANT(scan.intact_bytes <= batches.size(), "intact beyond the end");
  TROUPE_INVARIANT((scan.state == scan_state::whole) == scan.reason.empty(), "a reason when not whole: " + scan.reason);
  const auto intact = batches.substr(0, static_cast<std::size_t>(scan.intact_bytes));
  segment_builder builder(segment_here);
  batch_cursor cursor(intact, segment_here);
  cursor.give_tables();
  batch_view batch;
  for (auto more = cursor.next(batch);; more = cursor.next(batch)) {
    TROUPE_INVARIANT(more.has_value(), "a batch of the intact prefix is bad: " + more.error().message());
    if (!*more) break;
    builder.add(batch.header, intact.data() + batch.position, batch.payload);
    if (batch.header.codec == batch_codec::producers)
      if (const auto table = decode_producer_table(batch.payload)) {
        const auto again = decode_producer_table(encode_producer_table(*table));
        TROUPE_INVARIANT(again.has_value() && *again == *table, "a producer table changes when it is encoded again");
      }
  }
  const auto footer = builder.footer();
  TROUPE_INVARIANT(footer.summary.file_bytes == intact.size() && footer.summary.records == scan.records,
                   "builder and scan count differently");
  const auto read = decode_segment_footer(encode_segment_footer(footer));
  TROUPE_INVARIANT(read.has_value(), "a footer that a writer makes is refused: " + read.error().message());
  TROUPE_INVARIANT(*read == footer, "a footer that a writer makes changes on its way");
}

bytes make_batch(segment_builder& builder, batch_codec codec, std::uint32_t count, bytes_view payload,
                 std::uint8_t producer) {
  batch_header b;
  b.segment = segment_here;
  b.first_offset = builder.next_offset();
  b.count = count;
  b.codec = codec;
  b.high_water_mark = record_offset{builder.next_offset().value / 2};
  b.producer = uuid{{producer}};
  b.producer_sequence = builder.file_bytes();
  bytes out(batch_header_bytes, '\0');
  encode_batch_header(b, payload, out.data());
  builder.add(b, out.data(), payload);
  return out += payload;
}

}  // namespace

void one_input(bytes_view input) {
  const auto file = file_of(input);
  check_file(file);
  check_batches(bytes_view(file).substr(segment_header_bytes));
  const auto good = mended(file);
  check_file(good);
  check_batches(bytes_view(good).substr(segment_header_bytes));
}

std::vector<bytes> seeds() {
  std::vector<bytes> made;
  for (const std::size_t batches : {0, 1, 5, 20}) {
    segment_header header;
    header.segment = segment_here;
    header.dataset = dataset_id{3};
    auto file = encode_segment_header(header).substr(0, header_used_bytes);
    segment_builder builder(segment_here);
    if (batches > 1) {
      const producer_table table{{uuid{{1}}, 5, segment_id{6}, record_offset{2}, 1, 1'000},
                                 {uuid{{9}}, 6, segment_id{6}, record_offset{3}, 2, 1'001}};
      file += make_batch(builder, batch_codec::producers, 0, encode_producer_table(table), 0);
    }
    for (std::size_t i = 0; i < batches; ++i)
      file += make_batch(builder, batch_codec::raw, 1 + static_cast<std::uint32_t>(i % 3),
                         bytes(batches == 5 ? 9'000 : i * 11, 'p'), static_cast<std::uint8_t>(i % 3));
    made.push_back(file + encode_segment_footer(builder.footer()));
    made.push_back(file + bytes(50, '\0'));
  }
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
