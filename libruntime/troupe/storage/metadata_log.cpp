#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <troupe/storage/metadata_log.hpp>

namespace troupe::storage {
namespace {

constexpr std::string_view log_name = "log";
constexpr std::string_view state_name = "hard_state";
constexpr std::string_view snapshot_name = "snapshot";

/// The log file grows in such steps: an append inside of them need not change the file's size, which makes its
/// fdatasync cheaper.
constexpr std::uint64_t reserve_step_bytes = 1 << 20;
/// Designed maxima give some hundred megabytes of state; more than this is a damaged length.
constexpr std::size_t snapshot_bytes_max = std::size_t{4} << 30;
constexpr std::size_t log_file_bytes_max = std::size_t{16} << 30;

}  // namespace

result<metadata_log> metadata_log::open(std::string directory, const cluster_id& cluster, file_operations& operations) {
  TROUPE_TRY_VOID(make_directory(operations, directory));
  metadata_log log(std::move(directory), cluster, operations);
  TROUPE_TRY_VOID(log.load_files());
  TROUPE_TRY_VOID(log.load_log());
  return log;
}

result<void> metadata_log::load_files() {
  const auto state_path = directory_ + "/" + std::string(state_name);
  if (const auto raw = read_file(*operations_, state_path, 1 << 16)) {
    const auto state = format::decode_hard_state(*raw);
    if (!state) return state.error().with_context(state_path);
    state_ = *state;
  } else if (raw.error().code() != errc::not_found) {
    return raw.error();
  }
  TROUPE_TRY(const std::optional<log_snapshot> snapshot, load_snapshot());
  if (snapshot) {
    snapshot_index_ = snapshot->index;
    snapshot_term_ = snapshot->term;
  }
  return ok();
}

result<void> metadata_log::load_log() {
  const auto path = directory_ + "/" + std::string(log_name);
  auto opened = file::open(*operations_, path, O_RDWR);
  if (!opened) {
    if (opened.error().code() != errc::not_found) return opened.error();
    first_ = snapshot_index_.next();
    return rewrite(first_);
  }
  file_ = std::move(*opened);
  TROUPE_TRY(const std::uint64_t size, file_.size());
  if (size > log_file_bytes_max)
    return error{errc::resource_exhausted, path + " has " + std::to_string(size) + " bytes"};
  TROUPE_TRY(const bytes raw, file_.read(static_cast<std::size_t>(size), 0));
  const auto header = format::decode_log_file_header(raw);
  if (!header) return header.error().with_context(path);
  if (header->cluster != cluster_)
    return error{errc::failed_precondition,
                 path + " belongs to cluster " + to_string(header->cluster) + ", not " + to_string(cluster_)};
  const auto scan = format::scan_log(bytes_view(raw).substr(format::log_file_header_bytes), header->first);
  if (!scan) return scan.error().with_context(path);
  first_ = header->first;
  for (auto place : scan->entries) {
    place.position += format::log_file_header_bytes;
    entries_.push_back(place);
  }
  end_ = reserved_ = format::log_file_header_bytes + scan->intact_bytes;
  tail_was_cut_ = scan->torn;
  if (size > end_) {
    TROUPE_TRY_VOID(file_.truncate(end_));
    file_.sync();
  }
  if (first_ > snapshot_index_.next())
    return error{errc::corrupted,
                 path + " begins with entry " + to_string(first_) + ", but the snapshot ends with " +
                     to_string(snapshot_index_) +
                     "; restore this member's data directory, or remove it so that it joins as a new one"};
  // A snapshot of the leader's was saved, and the crash came before the log was made to agree with it.
  if (last() < snapshot_index_ || term_at(snapshot_index_) != snapshot_term_) {
    entries_.clear();
    return rewrite(snapshot_index_.next());
  }
  return ok();
}

term metadata_log::last_term() const noexcept { return entries_.empty() ? snapshot_term_ : entries_.back().term; }

std::optional<term> metadata_log::term_at(log_index index) const noexcept {
  if (index >= first_ && index <= last()) return place(index).term;
  if (index == snapshot_index_) return snapshot_term_;
  return std::nullopt;
}

result<void> metadata_log::append(std::span<const log_entry> group) {
  if (group.empty()) return ok();
  auto expected = last();
  auto term_before = last_term();
  std::uint64_t size = 0;
  for (const auto& entry : group) {
    expected = expected.next();
    if (entry.index != expected || entry.term < term_before || entry.payload.size() > format::log_entry_bytes_max)
      return error{errc::invalid_argument, "entry " + to_string(entry.index) + " of term " + to_string(entry.term) +
                                               " and " + std::to_string(entry.payload.size()) +
                                               " bytes cannot follow entry " + to_string(last()) + " of term " +
                                               to_string(last_term())};
    term_before = entry.term;
    size += format::log_entry_header_bytes + entry.payload.size();
  }
  bytes headers;
  headers.reserve(group.size() * format::log_entry_header_bytes);
  for (const auto& entry : group)
    format::append_log_entry_header(headers, {entry.term, entry.index, last(), entry.payload});
  std::vector<bytes_view> parts;
  parts.reserve(2 * group.size());
  for (std::size_t i = 0; i < group.size(); ++i) {
    parts.push_back(bytes_view(headers).substr(i * format::log_entry_header_bytes, format::log_entry_header_bytes));
    parts.push_back(group[i].payload);
  }
  if (end_ + size > reserved_) {
    const auto room = (end_ + size) / reserve_step_bytes * reserve_step_bytes + reserve_step_bytes;
    // Without the room it goes on as it did: the write below finds out whether the disk is full.
    if (file_.reserve(end_, room - end_, false)) reserved_ = room;
  }
  if (auto written = file_.write(parts, end_); !written) {
    // What came through is cut off again, so that the log is as before and no rest of it can be taken for an entry
    // later.
    reserved_ = end_;
    if (!file_.truncate(end_)) disk_failed("cutting off a failed append to", file_.path(), errno);
    file_.sync();
    return written;
  }
  file_.sync();
  for (const auto& entry : group) {
    entries_.push_back({end_, static_cast<std::uint32_t>(entry.payload.size()), entry.term});
    end_ += format::log_entry_header_bytes + entry.payload.size();
  }
  reserved_ = std::max(reserved_, end_);
  return ok();
}

result<std::vector<log_entry>> metadata_log::entries(log_index from, log_index to, std::size_t bytes_max) const {
  std::vector<log_entry> found;
  if (to < from) return found;
  if (from < first_ || to > last())
    return error{errc::not_found, "entries " + to_string(from) + " to " + to_string(to) +
                                      " are not in the log, which has " + to_string(first_) + " to " +
                                      to_string(last())};
  auto stop = from;
  std::uint64_t size = 0;
  for (; stop <= to && (stop == from || size + place(stop).payload_bytes <= bytes_max); stop = stop.next())
    size += place(stop).payload_bytes;
  const auto begin = place(from).position;
  const auto end = stop > last() ? end_ : place(stop).position;
  TROUPE_TRY(const bytes raw, file_.read(static_cast<std::size_t>(end - begin), begin));
  found.reserve(stop.value - from.value);
  for (auto index = from; index < stop; index = index.next()) {
    const auto entry =
        format::decode_log_entry(bytes_view(raw).substr(static_cast<std::size_t>(place(index).position - begin)));
    if (!entry || entry->index != index)
      return error{errc::corrupted, file_.path() + ": entry " + to_string(index) +
                                        " is damaged; it was intact when this process started or wrote it"};
    found.push_back({entry->term, entry->index, bytes(entry->payload)});
  }
  return found;
}

result<void> metadata_log::truncate_from(log_index index) {
  if (index > last()) return ok();
  if (index < first_ || index <= snapshot_index_)
    return error{errc::invalid_argument, "entry " + to_string(index) + " cannot be removed: the log begins with " +
                                             to_string(first_) + " and the snapshot ends with " +
                                             to_string(snapshot_index_)};
  const auto end = place(index).position;
  TROUPE_TRY_VOID(file_.truncate(end));
  file_.sync();
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(index.value - first_.value), entries_.end());
  end_ = reserved_ = end;
  return ok();
}

result<void> metadata_log::save_snapshot(log_index index, troupe::term term, bytes_view state) {
  if (index < snapshot_index_ || index.value == 0)
    return error{errc::invalid_argument, "a snapshot up to entry " + to_string(index) +
                                             " is older than the present one, up to " + to_string(snapshot_index_)};
  const auto header = format::encode_snapshot_header({cluster_, index, term, state});
  const bytes_view parts[] = {header, state};
  TROUPE_TRY_VOID(replace_file(*operations_, directory_, snapshot_name, parts));
  const bool log_agrees = index <= last() && index >= first_ && place(index).term == term;
  const bool log_is_behind_it = index.next() == first_;  // everything up to it was purged before
  snapshot_index_ = index;
  snapshot_term_ = term;
  if (log_agrees || log_is_behind_it) return ok();
  entries_.clear();
  return rewrite(index.next());
}

result<std::optional<log_snapshot>> metadata_log::load_snapshot() const {
  const auto path = directory_ + "/" + std::string(snapshot_name);
  const auto raw = read_file(*operations_, path, snapshot_bytes_max);
  if (!raw && raw.error().code() == errc::not_found) return std::optional<log_snapshot>{};
  if (!raw) return raw.error();
  const auto snapshot = format::decode_snapshot(*raw);
  if (!snapshot) return snapshot.error().with_context(path);
  if (snapshot->cluster != cluster_)
    return error{errc::failed_precondition,
                 path + " belongs to cluster " + to_string(snapshot->cluster) + ", not " + to_string(cluster_)};
  return std::optional<log_snapshot>(log_snapshot{snapshot->index, snapshot->term, bytes(snapshot->state)});
}

result<void> metadata_log::purge_before(log_index index) {
  if (index > snapshot_index_.next())
    return error{errc::invalid_argument, "entries below " + to_string(index) +
                                             " cannot be purged: the snapshot ends with " + to_string(snapshot_index_)};
  if (index <= first_) return ok();
  return rewrite(index);
}

result<void> metadata_log::rewrite(log_index first) {
  const auto header = format::encode_log_file_header({cluster_, first});
  bytes kept;
  const auto dropped = entries_.empty() ? 0 : static_cast<std::ptrdiff_t>(first.value - first_.value);
  const auto from = entries_.empty() || first > last() ? end_ : place(first).position;
  if (from < end_) {
    TROUPE_TRY(kept, file_.read(static_cast<std::size_t>(end_ - from), from));
  }
  const bytes_view parts[] = {header, kept};
  TROUPE_TRY(file_, replace_file_open(*operations_, directory_, log_name, parts));
  entries_.erase(entries_.begin(), entries_.begin() + dropped);
  for (auto& entry : entries_) entry.position = entry.position - from + format::log_file_header_bytes;
  first_ = first;
  end_ = reserved_ = format::log_file_header_bytes + kept.size();
  return ok();
}

result<void> metadata_log::save_state(const hard_state& state) {
  const auto encoded = format::encode_hard_state(state);
  const bytes_view part = encoded;
  TROUPE_TRY_VOID(replace_file(*operations_, directory_, state_name, {&part, 1}));
  state_ = state;
  return ok();
}

}  // namespace troupe::storage
