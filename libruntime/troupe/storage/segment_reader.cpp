#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <troupe/base/limits.hpp>
#include <troupe/storage/segment_reader.hpp>
#include <utility>

namespace troupe::storage {
namespace {

/// How much one pread fetches: a batch of usual size and a little, for a caller may well stop after the first.
constexpr std::size_t read_ahead_bytes = limits::batch_bytes + (64 << 10);

}  // namespace

result<segment_reader> segment_reader::open(file_operations& operations, const std::string& path, segment_id id) {
  TROUPE_TRY(file f, file::open(operations, path, O_RDONLY));
  const auto load = [&]() -> result<segment_reader> {
    TROUPE_TRY(const std::uint64_t size, f.size());
    if (size < format::segment_header_bytes + format::footer_trailer_bytes)
      return error{errc::failed_precondition, "it has " + std::to_string(size) + " bytes and was never sealed"};
    TROUPE_TRY(const bytes raw_header, f.read(format::segment_header_bytes, 0));
    TROUPE_TRY(const format::segment_header header, format::decode_segment_header(raw_header));
    if (header.segment != id)
      return error{errc::corrupted, "the file says that it is segment " + to_string(header.segment)};
    TROUPE_TRY(const bytes trailer, f.read(format::footer_trailer_bytes, size - format::footer_trailer_bytes));
    TROUPE_TRY(const std::uint64_t footer_bytes, format::decode_footer_trailer(trailer));
    if (footer_bytes > size - format::segment_header_bytes)
      return error{errc::corrupted, "its footer claims to be longer than the file"};
    TROUPE_TRY(const bytes raw_footer, f.read(static_cast<std::size_t>(footer_bytes), size - footer_bytes));
    TROUPE_TRY(format::segment_footer footer, format::decode_segment_footer(raw_footer));
    if (footer.segment != id || footer.summary.file_bytes != size - format::segment_header_bytes - footer_bytes)
      return error{errc::corrupted, "header, footer and size of the file disagree"};
    return segment_reader(std::move(f), header, std::move(footer));
  };
  auto loaded = load();
  if (!loaded) return loaded.error().with_context(path);
  return loaded;
}

result<void> segment_reader::read_raw(std::uint64_t position, char* out, std::size_t size) const {
  if (position > summary().file_bytes || size > summary().file_bytes - position)
    return error{errc::invalid_argument, path() + ": [" + std::to_string(position) + ", +" + std::to_string(size) +
                                             ") is not inside its batches of " + std::to_string(summary().file_bytes) +
                                             " bytes"};
  return file_.read(out, size, format::segment_header_bytes + position);
}

result<format::batch_header> segment_reader::header_at(std::uint64_t position) const {
  char raw[format::batch_header_bytes];
  if (summary().file_bytes - position < sizeof raw)
    return error{errc::corrupted, path() + ": a batch at position " + std::to_string(position) + " is cut off"};
  TROUPE_TRY_VOID(read_raw(position, raw, sizeof raw));
  auto header = format::decode_batch_header({raw, sizeof raw}, header_.segment);
  if (header && header->payload_bytes > summary().file_bytes - position - sizeof raw)
    return error{errc::corrupted,
                 path() + ": the batch at position " + std::to_string(position) + " goes beyond the end"};
  if (!header) return header.error().with_context(path() + ", position " + std::to_string(position));
  return header;
}

result<format::index_entry> segment_reader::first_at_or_after(std::uint64_t position) const {
  auto entry = footer_.before(position);
  while (entry.position < position && entry.position < summary().file_bytes) {
    TROUPE_TRY(const format::batch_header header, header_at(entry.position));
    entry.position += format::batch_header_bytes + header.payload_bytes;
    entry.first_offset.value = header.first_offset.value + header.count;
  }
  return entry;
}

result<batch_range> segment_reader::range(std::uint64_t from, std::uint64_t to) const {
  const auto end = summary().file_bytes;
  TROUPE_TRY(const format::index_entry first, first_at_or_after(std::min(from, end)));
  TROUPE_TRY(const format::index_entry last, first_at_or_after(std::clamp(to, std::min(from, end), end)));
  if (last.first_offset < first.first_offset)
    return error{errc::corrupted, path() + ": offsets go back before position " + std::to_string(last.position)};
  return batch_range{first.position, last.position, first.first_offset,
                     last.first_offset.value - first.first_offset.value};
}

result<std::uint64_t> segment_reader::position_of(record_offset offset) const {
  if (offset.value >= summary().records)
    return error{errc::invalid_argument, path() + " has " + std::to_string(summary().records) +
                                             " records, none with offset " + to_string(offset)};
  auto position = footer_.before(offset).position;
  while (position < summary().file_bytes) {
    TROUPE_TRY(const format::batch_header header, header_at(position));
    if (offset.value < header.first_offset.value + header.count) return position;
    position += format::batch_header_bytes + header.payload_bytes;
  }
  return error{errc::corrupted, path() + ": no batch holds the record with offset " + to_string(offset)};
}

result<void> segment_reader::read_batches(std::uint64_t from, std::uint64_t to, const batch_callback& each) const {
  return walk(from, to, false, each);
}

result<void> segment_reader::walk(std::uint64_t from, std::uint64_t to, bool with_tables,
                                  const batch_callback& each) const {
  TROUPE_TRY(const format::index_entry first, first_at_or_after(std::min(from, summary().file_bytes)));
  const auto end = summary().file_bytes;
  to = std::min(to, end);
  bytes buffer;
  auto position = first.position;
  auto size = read_ahead_bytes;
  while (position < to) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(size, end - position));
    if (buffer.size() < want) buffer.resize(want);
    TROUPE_TRY_VOID(read_raw(position, buffer.data(), want));
    format::batch_cursor cursor({buffer.data(), want}, header_.segment, 0, to - position);
    cursor.give_tables();
    format::batch_view batch;
    std::size_t used = 0;
    while (used < want && position + used < to) {
      // A batch that is cut off by the end of the buffer is read again from its beginning.
      const auto rest = want - used;
      std::size_t needed = format::batch_header_bytes;
      if (rest >= needed) {
        const auto header = format::decode_batch_header({buffer.data() + used, rest}, header_.segment);
        if (!header) return header.error().with_context(path() + ", position " + std::to_string(position + used));
        needed += header->payload_bytes;
      }
      if (needed > end - position - used)
        return error{errc::corrupted,
                     path() + ": the batch at position " + std::to_string(position + used) + " goes beyond the end"};
      if (needed > rest) {
        size = std::max(read_ahead_bytes, needed);
        break;
      }
      const auto more = cursor.next(batch);
      if (!more) return more.error().with_context(path() + ", from position " + std::to_string(position));
      batch.position = position + used;
      used += needed;
      if (batch.header.codec == format::batch_codec::producers && !with_tables) continue;
      TROUPE_TRY(const bool go_on, each(batch));
      if (!go_on) return ok();
    }
    position += used;
  }
  return ok();
}

result<void> segment_reader::verify() const {
  format::segment_builder found(header_.segment);
  TROUPE_TRY_VOID(walk(0, summary().file_bytes, true, [&](const format::batch_view& batch) -> result<bool> {
    if (batch.header.first_offset != found.next_offset())
      return error{errc::corrupted, path() + ": the batch at position " + std::to_string(batch.position) +
                                        " begins with record " + to_string(batch.header.first_offset) + ", not " +
                                        to_string(found.next_offset())};
    found.add(batch.header, batch.payload.data() - format::batch_header_bytes, batch.payload);
    return true;
  }));
  const auto footer = found.footer();
  if (footer != footer_)
    return error{errc::corrupted, path() + ": its batches (" + std::to_string(footer.summary.records) +
                                      " records, digest " + footer.summary.digest.to_string() +
                                      ") are not those of its footer (" + std::to_string(summary().records) +
                                      " records, digest " + summary().digest.to_string() + ")"};
  return ok();
}

mapped_segment::mapped_segment(mapped_segment&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), view_(std::move(other.view_)) {}

mapped_segment& mapped_segment::operator=(mapped_segment&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(view_, other.view_);
  return *this;
}

mapped_segment::~mapped_segment() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

result<mapped_segment> mapped_segment::open(const std::string& path, segment_id id) {
  TROUPE_TRY(const file f, file::open(file_operations::system(), path, O_RDONLY));
  TROUPE_TRY(const std::uint64_t size, f.size());
  if (size == 0) return error{errc::failed_precondition, path + " is empty and was never sealed"};
  mapped_segment mapped;
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, f.descriptor(), 0);
  if (data == MAP_FAILED) return error::from_errno("map", path, errno);
  mapped.data_ = data;
  mapped.size_ = static_cast<std::size_t>(size);
  auto view = format::segment_view::of({static_cast<const char*>(data), mapped.size_});
  if (!view) return view.error().with_context(path);
  if (view->header.segment != id)
    return error{errc::corrupted, path + ": the file says that it is segment " + to_string(view->header.segment)};
  mapped.view_ = std::move(*view);
  return mapped;
}

void mapped_segment::will_read(std::uint64_t from, std::uint64_t to) const noexcept {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto begin =
      std::min<std::uint64_t>(format::segment_header_bytes + std::min<std::uint64_t>(from, size_), size_) / page * page;
  const auto end = std::min<std::uint64_t>(format::segment_header_bytes + std::min<std::uint64_t>(to, size_), size_);
  if (begin >= end) return;
  char* start = static_cast<char*>(data_) + begin;
  // Advice only: an error changes nothing but speed.
  ::madvise(start, end - begin, MADV_SEQUENTIAL);
  ::madvise(start, end - begin, MADV_WILLNEED);
}

}  // namespace troupe::storage
