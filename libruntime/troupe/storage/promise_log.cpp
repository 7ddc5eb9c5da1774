#include <fcntl.h>

#include <algorithm>
#include <string>
#include <troupe/base/checksum.hpp>
#include <troupe/storage/promise_log.hpp>

namespace troupe::storage {
namespace {

// doc/formats/promises.md: a header of 16 bytes, entries of 24: segment, epoch (0: forgotten), crc, zero.
constexpr std::string_view name = "promises";
constexpr bytes_view magic{"TROUPPRM", 8};
constexpr std::uint32_t version = 1;
constexpr std::size_t header_bytes = 16, entry_bytes = 24;
constexpr std::uint64_t rewrite_above = 4096;  ///< entries, most of them forgotten
constexpr std::size_t file_bytes_max = std::size_t{1} << 30;

void append_entry(bytes& out, segment_id segment, epoch at) {
  const auto begin = out.size();
  append_le(out, segment.value);
  append_le(out, at.value);
  append_le(out, crc32c(bytes_view(out).substr(begin)));
  append_le(out, std::uint32_t{0});
}

bytes encode_header() {
  bytes out(magic);
  append_le(out, version);
  append_le(out, crc32c(out));
  return out;
}

bool entry_fits(const char* raw) {
  return crc32c({raw, 16}) == load_le<std::uint32_t>(raw + 16) && load_le<std::uint32_t>(raw + 20) == 0 &&
         load_le<std::uint64_t>(raw) != 0;
}

}  // namespace

result<promise_log> promise_log::open(file_operations& operations, std::string directory) {
  promise_log log(operations, std::move(directory));
  const auto path = log.directory_ + "/" + std::string(name);
  auto content = read_file(operations, path, file_bytes_max);
  if (!content && content.error().code() != errc::not_found) return content.error();
  if (!content || content->empty()) {
    TROUPE_TRY_VOID(log.rewrite());
    return log;
  }
  if (content->size() < header_bytes || bytes_view(*content).substr(0, header_bytes) != encode_header())
    return error{errc::corrupted, path +
                                      " does not begin as the promises of a replica: give this node an empty data "
                                      "directory, its copies are repaired from others"};
  std::size_t intact = header_bytes;
  for (; intact + entry_bytes <= content->size(); intact += entry_bytes) {
    const char* raw = content->data() + intact;
    if (!entry_fits(raw)) break;
    const segment_id segment{load_le<std::uint64_t>(raw)};
    const epoch at{load_le<std::uint64_t>(raw + 8)};
    ++log.entries_;
    if (at.value == 0)
      log.promises_.erase(segment);
    else
      log.promises_[segment] = std::max(log.promises_[segment], at);
  }
  for (auto later = intact + entry_bytes; later + entry_bytes <= content->size(); later += entry_bytes)
    if (entry_fits(content->data() + later))
      return error{errc::corrupted, path + " is damaged at byte " + std::to_string(intact) +
                                        ": a promise may be gone. Give this node an empty data directory, its copies "
                                        "are repaired from others"};
  TROUPE_TRY(log.file_, file::open(operations, path, O_RDWR));
  if (intact != content->size()) {
    TROUPE_TRY_VOID(log.file_.truncate(intact));
    log.file_.sync();
  }
  log.size_ = intact;
  return log;
}

result<void> promise_log::append(segment_id segment, epoch at) {
  bytes entry;
  append_entry(entry, segment, at);
  if (auto written = file_.write(entry, size_); !written) {
    (void)file_.truncate(size_).has_value();  // a torn end would be cut at the next start as well
    return written;
  }
  size_ += entry.size();
  ++entries_;
  return ok();
}

result<void> promise_log::keep(segment_id segment, epoch at_least) {
  const auto known = promises_.find(segment);
  if (known != promises_.end() && known->second >= at_least) return ok();
  TROUPE_TRY_VOID(append(segment, at_least));
  file_.sync();
  promises_[segment] = at_least;
  return ok();
}

result<void> promise_log::forget(segment_id segment) {
  if (promises_.erase(segment) == 0) return ok();
  if (entries_ > rewrite_above && entries_ > 4 * promises_.size()) return rewrite();
  return append(segment, epoch{});
}

result<void> promise_log::rewrite() {
  bytes content = encode_header();
  for (const auto& [segment, at] : promises_) append_entry(content, segment, at);
  const bytes_view parts[] = {content};
  TROUPE_TRY(file_, replace_file_open(*operations_, directory_, name, parts));
  size_ = content.size();
  entries_ = promises_.size();
  return ok();
}

}  // namespace troupe::storage
