#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <troupe/storage/batch_walk.hpp>
#include <troupe/storage/segment_store.hpp>

namespace troupe::storage {
namespace {

constexpr std::string_view suffix = ".seg";
constexpr std::string_view suffix_unfinished = ".new";  ///< behind the other one

/// The id in «17.seg»; nothing for any other name.
bool parse_name(std::string_view name, segment_id& id) {
  if (name.size() <= suffix.size() || !name.ends_with(suffix)) return false;
  name.remove_suffix(suffix.size());
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), id.value);
  return parsed.ec == std::errc{} && parsed.ptr == name.data() + name.size() && std::to_string(id.value) == name;
}

}  // namespace

std::string segment_store::path(segment_id id) const { return directory_ + "/" + to_string(id) + std::string(suffix); }

result<segment_writer> segment_store::create(segment_id id, const segment_info& info) {
  TROUPE_TRY(file f, file::open(*operations_, path(id), O_RDWR | O_CREAT | O_EXCL));
  return begin(segment_writer(*operations_, directory_, std::move(f), id), info);
}

result<segment_writer> segment_store::create_replacement(segment_id id, const segment_info& info) {
  TROUPE_TRY(file f, file::open(*operations_, path(id) + std::string(suffix_unfinished), O_RDWR | O_CREAT | O_TRUNC));
  segment_writer writer(*operations_, directory_, std::move(f), id);
  writer.replaces_ = path(id);
  return begin(std::move(writer), info);
}

/// From here on the writer owns the file: whatever fails, it removes it.
result<segment_writer> segment_store::begin(segment_writer writer, const segment_info& info) {
  const auto id = writer.id();
  const format::segment_header header{info.cluster, info.replica, info.dataset, info.partition,         id,
                                      info.epoch,   info.schema,  info.format,  info.created_at_unix_ms};
  if (info.expected_bytes != 0)
    TROUPE_TRY_VOID(writer.file_.reserve(0, format::segment_header_bytes + info.expected_bytes, true));
  if (info.expected_bytes >= direct_bytes_min) writer.direct_ = direct_output::begin(writer.file_);
  const auto encoded = format::encode_segment_header(header);
  const bytes_view first[] = {encoded};
  TROUPE_TRY_VOID(writer.write(first, 0));
  return writer;
}

result<segment_reader> segment_store::open(segment_id id) const {
  return segment_reader::open(*operations_, path(id), id);
}

namespace {

constexpr std::size_t look_bytes = 1 << 20;
/// A batch of an open segment may end in so many zeros of its own: an append is no larger.
constexpr std::uint64_t zeros_kept = 2 << 20;

bool is_zero(bytes_view data) {
  return data.empty() || (data[0] == 0 && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

/// Behind the last byte that is not zero, in pieces of look_bytes. Room that was reserved and never written reads as
/// zeros; where the file system tells it from data it is not read.
result<std::uint64_t> end_of_data(const file& f, std::uint64_t from, std::uint64_t size) {
  auto end = from;
  bytes piece;
  for (auto at = f.next_data(from, size); at < size; at = f.next_data(at + piece.size(), size)) {
    TROUPE_TRY(piece, f.read(static_cast<std::size_t>(std::min<std::uint64_t>(look_bytes, size - at)), at));
    if (!is_zero(piece)) end = at + piece.size();
  }
  return end;
}

/// The scan of a file in which nothing is wrong, as almost all are: in pieces, so that its size costs no memory. A take
/// over waits for this.
std::optional<format::scan_result> scan_whole(const file& f, segment_id id, std::uint64_t batches_bytes,
                                              record_offset known_high_water_mark) {
  format::scan_result scan;
  scan.high_water_mark = known_high_water_mark;
  bool in_order = true;
  // It ends with an error where the zeros begin; whether they are zeros is looked at below.
  (void)walk_batches(f, id, 0, batches_bytes, [&](const format::batch_header& header, bytes_view raw) -> result<bool> {
    in_order = header.first_offset.value == scan.records;
    if (!in_order) return false;
    scan.intact_bytes += raw.size();
    scan.records += header.count;
    scan.high_water_mark = std::max(scan.high_water_mark, header.high_water_mark);
    scan.append_time_unix_ms = std::max(scan.append_time_unix_ms, header.append_time_unix_ms);
    return true;
  });
  if (!in_order || scan.records < scan.high_water_mark.value) return std::nullopt;
  const auto size = format::segment_header_bytes + batches_bytes;
  const auto end = end_of_data(f, format::segment_header_bytes + scan.intact_bytes, size);
  if (!end || *end != format::segment_header_bytes + scan.intact_bytes) return std::nullopt;
  return scan;
}

}  // namespace

result<segment_store::inspection> segment_store::inspect(segment_id id, record_offset known_high_water_mark,
                                                         std::uint64_t written) const {
  inspection found;
  std::uint64_t batches_bytes = 0;
  TROUPE_TRY(const file f, file::open(*operations_, path(id), O_RDONLY));
  TROUPE_TRY(const std::uint64_t size, f.size());
  if (size < format::segment_header_bytes) {
    // Cut off while it was created: nothing was ever acknowledged of it, unless somebody knows better.
    found.scan = format::scan_batches({}, id, known_high_water_mark);
    if (found.scan.state == format::scan_state::whole) {
      found.scan.state = format::scan_state::torn;
      found.scan.reason = path(id) + " ends inside its header";
    }
    return found;
  }
  if (const auto sealed = open(id)) {
    found.sealed = true;
    batches_bytes = sealed->summary().file_bytes;
    auto clean = scan_whole(f, id, batches_bytes, known_high_water_mark);
    if (clean && clean->intact_bytes == batches_bytes) {
      found.scan = std::move(*clean);
      return found;
    }
  } else if (sealed.error().code() == errc::failed_precondition) {
    TROUPE_TRY(const bytes raw_header, f.read(format::segment_header_bytes, 0));
    const auto header = format::decode_segment_header(raw_header);
    if (!header) return header.error().with_context(path(id));
    if (header->segment != id)
      return error{errc::corrupted, path(id) + ": the file says that it is segment " + to_string(header->segment)};
    const auto looked_at = std::min(size - format::segment_header_bytes, written);
    if (auto clean = scan_whole(f, id, looked_at, known_high_water_mark)) {
      found.scan = std::move(*clean);
      return found;
    }
    const auto end = format::segment_header_bytes + looked_at;
    TROUPE_TRY(const std::uint64_t data, end_of_data(f, format::segment_header_bytes, end));
    batches_bytes = std::min(end, data + zeros_kept) - format::segment_header_bytes;
  } else {
    return sealed.error();
  }
  TROUPE_TRY(const bytes batches, f.read(static_cast<std::size_t>(batches_bytes), format::segment_header_bytes));
  found.scan = format::scan_batches(batches, id, known_high_water_mark);
  if (found.sealed && found.scan.state == format::scan_state::torn) found.scan.state = format::scan_state::damaged;
  return found;
}

result<void> segment_store::remove(segment_id id) {
  if (operations_->unlink(path(id).c_str()) != 0 && errno != ENOENT)
    return error::from_errno("remove", path(id), errno);
  return ok();
}

namespace {
result<std::vector<std::string>> names_in(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (!directory) return error::from_errno("list", path, errno);
  std::vector<std::string> names;
  errno = 0;
  while (const auto* entry = ::readdir(directory.get())) {
    names.emplace_back(entry->d_name);
    errno = 0;
  }
  if (errno != 0) return error::from_errno("list", path, errno);
  return names;
}
}  // namespace

result<std::size_t> segment_store::remove_unfinished() {
  TROUPE_TRY(const auto names, names_in(directory_));
  std::size_t removed = 0;
  segment_id id;
  for (const std::string_view name : names) {
    if (!name.ends_with(suffix_unfinished) || !parse_name(name.substr(0, name.size() - suffix_unfinished.size()), id))
      continue;
    const auto file_path = directory_ + "/" + std::string(name);
    if (operations_->unlink(file_path.c_str()) != 0) return error::from_errno("remove", file_path, errno);
    ++removed;
  }
  return removed;
}

result<std::vector<segment_id>> segment_store::list() const {
  TROUPE_TRY(const auto names, names_in(directory_));
  std::vector<segment_id> ids;
  segment_id id;
  for (const auto& name : names)
    if (parse_name(name, id)) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace troupe::storage
