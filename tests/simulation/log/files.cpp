#include <tests/simulation/log/files.hpp>
#include <troupe/format/segment.hpp>

namespace troupe::simulation::log {

using replication::extent;
using replication::inspection;
using replication::seal_outcome;

segment_file* segment_files::find(segment_id id) {
  const auto at = files_.find(id);
  return at == files_.end() ? nullptr : &at->second;
}

const segment_file* segment_files::find(segment_id id) const {
  const auto at = files_.find(id);
  return at == files_.end() ? nullptr : &at->second;
}

result<void> segment_files::create(const member_id& self, const replication::effects::create_file& what) {
  if (files_.contains(what.segment)) return error{errc::already_exists, "there is a file already"};
  format::segment_header header;
  header.cluster = cluster_;
  header.replica = self;
  header.dataset = what.where.dataset;
  header.partition = what.where.partition;
  header.segment = what.segment;
  header.epoch = what.epoch;
  header.format = what.how.format;
  header.created_at_unix_ms = what.how.created_at_unix_ms;
  auto& f = files_[what.segment];
  f.content = format::encode_segment_header(header);
  f.synced = f.content.size();
  return ok();
}

bool segment_files::append(segment_id id, std::uint64_t at_bytes, bytes_view batches) {
  auto* f = find(id);
  if (f == nullptr) return true;  // removed meanwhile
  const auto at = format::segment_header_bytes + at_bytes;
  if (at > f->content.size()) return false;
  f->cut(at);
  f->synced = std::min(f->synced, at);  // written over: a loss of power may take it
  f->content.append(batches);
  return true;
}

void segment_files::sync(segment_id id, std::size_t up_to) {
  if (auto* f = find(id)) f->synced = std::max(f->synced, std::min(up_to, f->content.size()));
}

std::size_t segment_files::size(segment_id id) const {
  const auto* f = find(id);
  return f == nullptr ? 0 : f->content.size();
}

bytes_view segment_files::region_of(const segment_file& f, segment_id id, bool& is_sealed) {
  const auto view = format::segment_view::of(f.content);
  is_sealed = view && view->header.segment == id;
  if (is_sealed) return view->batches;
  return f.content.size() < format::segment_header_bytes ? bytes_view()
                                                         : bytes_view(f.content).substr(format::segment_header_bytes);
}

inspection segment_files::inspect(segment_id id, record_offset floor) const {
  inspection found;
  const auto* f = find(id);
  if (f == nullptr) return found;
  found.exists = true;
  found.scan = format::scan_batches(region_of(*f, id, found.sealed), id, floor);
  if (f->content.size() < format::segment_header_bytes && found.scan.state == format::scan_state::whole)
    found.scan.state = format::scan_state::torn;
  if (f->content.size() >= format::segment_header_bytes && !format::decode_segment_header(f->content)) {
    found.scan = {};  // nothing of it can be used, as segment_store::inspect says
    found.scan.state = format::scan_state::damaged;
  }
  return found;
}

result<seal_outcome> segment_files::seal(segment_id id, const extent& length, bool verify) {
  auto* f = find(id);
  if (f == nullptr) return error{errc::not_found, "no such file"};
  if (verify) TROUPE_TRY_VOID(format::decode_segment_header(f->content));
  bool was_sealed = false;
  const auto flips = f->flips;
  if (!verify)
    for (const auto& [at, mask] : flips) f->content[at] = static_cast<char>(f->content[at] ^ mask);
  const auto flip_back = [&] {
    if (!verify)
      for (const auto& [at, mask] : f->flips) f->content[at] = static_cast<char>(f->content[at] ^ mask);
  };
  const auto region = region_of(*f, id, was_sealed);
  if (region.size() < length.bytes) {
    flip_back();
    return error{errc::corrupted, "it is shorter"};
  }
  // The running writer has the sums in memory and reads nothing back, unless it is asked to.
  format::segment_builder builder(id);
  format::batch_cursor cursor(region.substr(0, length.bytes), id, 0, ~0ull,
                              verify ? format::crc_check::every_batch : format::crc_check::none);
  cursor.give_tables();
  format::batch_view batch;
  seal_outcome out;
  for (;;) {
    const auto more = cursor.next(batch);
    if (!more || (*more && batch.header.first_offset != builder.next_offset())) {
      flip_back();
      return more ? error{errc::corrupted, "offsets do not follow"} : more.error();
    }
    if (!*more) break;
    builder.add(batch.header, batch.payload.data() - format::batch_header_bytes, batch.payload);
    out.last_append_unix_ms = std::max(out.last_append_unix_ms, batch.header.append_time_unix_ms);
  }
  const auto made = builder.footer();
  f->cut(made.summary.file_bytes == length.bytes ? format::segment_header_bytes + length.bytes : f->content.size());
  flip_back();
  if (made.summary.records != length.records || made.summary.file_bytes != length.bytes)
    return error{errc::corrupted, "no border of batches is there"};
  f->content.append(format::encode_segment_footer(made));
  f->synced = f->content.size();
  out.summary = made.summary;
  out.producers = made.producers;
  return out;
}

result<seal_outcome> segment_files::footer(segment_id id) const {
  const auto* f = find(id);
  if (f == nullptr) return error{errc::not_found, "no such file"};
  TROUPE_TRY(const auto view, format::segment_view::of(f->content));
  seal_outcome out;
  out.summary = view.footer.summary;
  out.producers = view.footer.producers;
  for (const auto& entry : out.producers)
    out.last_append_unix_ms = std::max(out.last_append_unix_ms, entry.append_time_unix_ms);
  return out;
}

result<bytes> segment_files::read(segment_id id, record_offset from, record_offset below, std::size_t bytes_max) const {
  const auto* f = find(id);
  if (f == nullptr) return error{errc::not_found, "no such file"};
  bool is_sealed = false;
  format::batch_cursor cursor(region_of(*f, id, is_sealed), id);
  format::batch_view batch;
  bytes out;
  for (;;) {
    const auto more = cursor.next(batch);
    if (!more) {
      if (out.empty()) return more.error();
      break;
    }
    if (!*more || batch.header.first_offset.value + batch.header.count > below.value) break;
    if (batch.header.first_offset.value + batch.header.count <= from.value) continue;
    if (!out.empty() && out.size() + batch.payload.size() > bytes_max) break;
    out.append(batch.payload.data() - format::batch_header_bytes, format::batch_header_bytes + batch.payload.size());
  }
  return out;
}

void segment_files::put(segment_id id, bytes whole) {
  auto& f = files_[id];
  f = {};
  f.content = std::move(whole);
  f.synced = f.content.size();
}

void segment_files::lose_power(random_source& random) {
  for (auto& [id, f] : files_) {
    const auto unsynced = f.content.size() - f.synced;
    if (unsynced == 0) continue;
    const auto kept = random.below(unsynced + 1);
    f.cut(f.synced + kept);
    if (kept != 0 && random.per_mille(300)) {
      const auto hole = f.synced + random.below(kept);
      const auto end = hole + random.below(f.content.size() - hole + 1);
      std::fill(f.content.begin() + static_cast<std::ptrdiff_t>(hole),
                f.content.begin() + static_cast<std::ptrdiff_t>(end), '\0');
    }
    if (random.per_mille(300)) f.content.append(random.below(100), '\0');  // room that was reserved
    f.synced = f.content.size();
  }
}

result<bytes_view> whole_batches(bytes_view file, segment_id id) {
  TROUPE_TRY(const auto view, format::segment_view::of(file));
  if (view.header.segment != id) return error{errc::corrupted, "another segment's file"};
  if (xxh3_128(view.batches) != view.footer.summary.digest) return error{errc::corrupted, "its digest does not fit"};
  return view.batches;
}

}  // namespace troupe::simulation::log
