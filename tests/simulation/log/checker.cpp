#include <tests/simulation/log/checker.hpp>
#include <troupe/format/segment.hpp>

namespace troupe::simulation::log {

namespace {
constexpr std::size_t record_head = 21;  // producer, sequence, index, filler's size
std::string text(const record_name& n) {
  return "record " + std::to_string(n.index) + " of append " + std::to_string(n.sequence) + " of producer " +
         std::to_string(n.producer);
}
std::string text(const replication::partition_key& where) { return "partition " + to_string(where.partition); }
}  // namespace

bytes write_record(const record_name& name, std::size_t filler) {
  bytes out;
  append_le(out, name.producer);
  append_le(out, name.sequence);
  append_le(out, name.index);
  append_le(out, static_cast<std::uint8_t>(filler & 0xff));
  out.append(filler & 0xff, static_cast<char>('a' + name.sequence % 26));
  return out;
}

std::optional<std::vector<record_name>> read_records(bytes_view payload, std::uint32_t count) {
  std::vector<record_name> names;
  while (!payload.empty()) {
    if (payload.size() < record_head) return std::nullopt;
    const char* raw = payload.data();
    names.push_back({load_le<std::uint64_t>(raw), load_le<std::uint64_t>(raw + 8), load_le<std::uint32_t>(raw + 16)});
    const std::size_t size = record_head + load_le<std::uint8_t>(raw + 20);
    if (payload.size() < size) return std::nullopt;
    payload.remove_prefix(size);
  }
  if (names.size() != count) return std::nullopt;
  return names;
}

void checker::says_durable(const segment_files& disk, segment_id id, const replication::extent& durable,
                           const std::string& who) {
  const auto* f = disk.find(id);
  if (f == nullptr) {
    if (durable.bytes != 0) fail(who + " calls durable what it has no file of: segment " + to_string(id));
  } else if (format::segment_header_bytes + durable.bytes > f->synced) {
    fail(who + " calls " + std::to_string(durable.bytes) + " bytes of segment " + to_string(id) +
         " durable, and a loss of power would leave " +
         std::to_string(f->synced - std::min(f->synced, format::segment_header_bytes)));
  }
}

void checker::answers_fence(const segment_files& disk, segment_id id, const member_id& from,
                            const replication::fence_response& r, const std::string& who) {
  if (r.why != replication::refusal::none) return;
  const auto kept = disk.promises.find(id);
  if (kept == disk.promises.end() || kept->second < r.promised)
    fail(who + " promises epoch " + to_string(r.promised) + " for segment " + to_string(id) +
         ", and a start would forget it");
  floors_[id][from] = r.floor;  // of its present start: what an earlier one knew may have rotted since
}

void checker::visible(segment_id id, record_offset mark, sim_time) {
  auto& known = visible_[id];
  known = std::max(known, mark);
}

void checker::applied(const metadata::command& what, const result<metadata::response>& answer,
                      const metadata::state& after) {
  if (!answer) return;
  if (const auto* c = std::get_if<metadata::seal_and_open>(&what)) {
    const replication::partition_key where{c->dataset, c->partition};
    if (c->seal) {
      ++segments_sealed_;
      const auto mark = visible_.find(c->seal->id);
      const auto* d = after.find_dataset(c->dataset);
      for (const auto& [member, floor] : floors_[c->seal->id])
        if (c->seal->records < floor.value && after.find_member(member) != nullptr && !failure_)
          failure_ = "segment " + to_string(c->seal->id) + " was sealed at " + std::to_string(c->seal->records) +
                     " records, and a copy had told of " + to_string(floor) + " on all disks";
      const auto told = mark != visible_.end() ? mark->second.value : 0;
      if (forgiven_.contains(c->seal->id)) {
        // Acknowledged under policy `seal`, perhaps before any reader was told.
        std::uint64_t base = d->partitions[c->partition.value].log.trimmed_records;
        for (const auto& g : d->partitions[c->partition.value].segments) base += g.records;
        if (c->seal->records != 0) base -= c->seal->records;  // the sealed one is the last of them, or was empty
        auto end = base + told;
        for (const auto& [who, said] : acknowledged_)
          if (said.where == where) end = std::max(end, said.first + said.count);
        if (end > base + c->seal->records) lost_[where].emplace_back(base + c->seal->records, end);
      } else if (c->seal->records < told) {
        fail("segment " + to_string(c->seal->id) + " was sealed at " + std::to_string(c->seal->records) +
             " records, and readers had been told of " + to_string(mark->second));
      }
    }
    auto& last = epochs_[where];
    if (answer->epoch <= last) fail("the epoch of " + text(where) + " does not grow");
    last = answer->epoch;
  } else if (const auto* t = std::get_if<metadata::take_over>(&what)) {
    auto& last = epochs_[{t->dataset, t->partition}];
    if (answer->epoch <= last) fail("the epoch of a partition does not grow");
    last = answer->epoch;
  }
}

void checker::opened(const replication::effects::create_file& what, const metadata::state& truth,
                     const std::string& who) {
  const auto* open = truth.find_open(what.segment);
  if (open != nullptr && open->epoch != what.epoch)
    fail(who + " opens segment " + to_string(what.segment) + " at epoch " + to_string(what.epoch) +
         ", metadata at epoch " + to_string(open->epoch));
}

void checker::acknowledge(std::uint64_t producer, std::uint64_t sequence, const replication::partition_key& where,
                          const replication::effects::appended& what, sim_time) {
  records_acknowledged_ += what.count;
  acknowledged_[{producer, sequence}] = {where, what.first_offset.value, what.count};
}

void checker::read(const replication::partition_key& where, std::uint64_t offset,
                   const std::vector<record_name>& names) {
  auto& known = reads_[where];
  for (const auto& name : names) {
    const auto [at, is_new] = known.try_emplace(offset, name);
    if (!is_new && at->second != name && lost_[where].empty())
      return fail("offset " + std::to_string(offset) + " of " + text(where) + " was " + text(at->second) +
                  " and then " + text(name));
    ++offset;
  }
}

void checker::verify(const metadata::state& truth, const std::map<member_id, const segment_files*>& disks) {
  for (const auto& [id, d] : truth.datasets())
    for (std::uint32_t p = 0; p < d.partitions.size(); ++p)
      verify_partition({id, partition_index{p}}, d.partitions[p], disks);
}

void checker::verify_partition(const replication::partition_key& where, const metadata::partition& p,
                               const std::map<member_id, const segment_files*>& disks) {
  std::unordered_map<std::uint64_t, record_name> found;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::pair<std::uint64_t, std::uint32_t>> places;
  std::map<std::uint64_t, std::uint64_t> last_sequence;
  auto offset = p.log.trimmed_records;
  std::int64_t last_time = 0;
  const auto take = [&](bytes_view region, segment_id id) {
    format::batch_cursor cursor(region, id);
    format::batch_view batch;
    for (;;) {
      const auto more = cursor.next(batch);
      if (!more) return fail("segment " + to_string(id) + ": " + more.error().message());
      if (!*more) return;
      if (batch.header.append_time_unix_ms < last_time)
        return fail("append times of " + text(where) + " go back in segment " + to_string(id));
      last_time = batch.header.append_time_unix_ms;
      const auto names = read_records(batch.payload, batch.header.count);
      if (!names) return fail("a batch of segment " + to_string(id) + " is not what was appended");
      const auto& first = names->front();
      if (first.producer != 0) {
        if (!places.emplace(std::pair(first.producer, first.sequence), std::pair(offset, batch.header.count)).second)
          return fail(text(first) + " stands twice in " + text(where) + ", the second time at offset " +
                      std::to_string(offset));
        auto& last = last_sequence[first.producer];
        if (first.sequence <= last) return fail(text(first) + " comes after sequence " + std::to_string(last));
        last = first.sequence;
      }
      for (const auto& name : *names) found.emplace(offset++, name);
    }
  };
  for (const auto& g : p.segments) {
    const bytes* example = nullptr;
    for (const auto holder : g.holders) {
      const auto disk = disks.find(holder);
      if (disk == disks.end()) continue;
      const auto* f = disk->second->find(g.id);
      if (f == nullptr) return fail("a holder of segment " + to_string(g.id) + " has no file of it");
      const auto region = whole_batches(f->content, g.id);
      if (!region) return fail("a copy of segment " + to_string(g.id) + " is damaged: " + region.error().message());
      if (xxh3_128(*region) != g.digest)
        return fail("a copy of segment " + to_string(g.id) + " has another digest than metadata");
      if (example != nullptr &&
          example->substr(format::segment_header_bytes) != bytes_view(f->content).substr(format::segment_header_bytes))
        return fail("copies of segment " + to_string(g.id) + " differ");
      if (example == nullptr) {
        example = &f->content;
        const auto before = offset;
        take(*region, g.id);
        if (failure_) return;
        if (offset - before != g.records) return fail("segment " + to_string(g.id) + " has another count of records");
      }
    }
    if (example == nullptr) return fail("no copy of segment " + to_string(g.id) + " is left: records are lost");
  }
  if (p.log.open) {
    // Rot in an open segment shows when a fence asks; the other copies have to agree.
    std::vector<const segment_file*> copies;
    std::size_t shortest = ~std::size_t{0};
    for (const auto& r : p.log.open->replicas) {
      const auto disk = disks.find(r.member);
      const auto* f = disk == disks.end() ? nullptr : disk->second->find(p.log.open->id);
      if (f == nullptr || !f->flips.empty()) continue;
      copies.push_back(f);
      shortest = std::min(shortest, f->content.size());
    }
    const auto region = [&](const segment_file* f) {
      return bytes_view(f->content).substr(format::segment_header_bytes, shortest - format::segment_header_bytes);
    };
    for (const auto* f : copies)
      if (region(f) != region(copies.front()))
        return fail("copies of the open segment " + to_string(p.log.open->id) + " differ");
    if (!copies.empty()) take(bytes_view(copies.front()->content).substr(format::segment_header_bytes), p.log.open->id);
    if (failure_) return;
  }
  const auto forgiven = lost_.contains(where);
  for (const auto& [who, said] : acknowledged_) {
    if (said.where != where || said.first + said.count <= p.log.trimmed_records) continue;
    const auto at = places.find(who);
    const auto what = "append " + std::to_string(who.second) + " of producer " + std::to_string(who.first);
    if (at == places.end()) {
      if (forgiven) continue;
      return fail(what + " was acknowledged at offset " + std::to_string(said.first) + " of " + text(where) +
                  " and is lost");
    }
    if ((at->second.first != said.first || at->second.second != said.count) && !forgiven)
      return fail(what + " was acknowledged at offset " + std::to_string(said.first) + " of " + text(where) +
                  " and stands at " + std::to_string(at->second.first));
  }
  if (forgiven) return;
  for (const auto& [at, name] : reads_[where]) {
    if (at < p.log.trimmed_records) continue;
    const auto known = found.find(at);
    if (known == found.end() || known->second != name)
      return fail("offset " + std::to_string(at) + " of " + text(where) + " was read as " + text(name) +
                  ", and it is not there");
  }
}

}  // namespace troupe::simulation::log
