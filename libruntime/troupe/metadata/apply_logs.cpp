#include <algorithm>
#include <troupe/base/limits.hpp>
#include <troupe/base/text.hpp>
#include <troupe/metadata/checks.hpp>
#include <troupe/metadata/state.hpp>

/// Datasets that grow: who leads a partition, which segment is open, what was sealed. doc/design/protocols.md,
/// section 2.
namespace troupe::metadata {
namespace {

std::string place_name(const dataset& d, partition_index p) {
  return "partition " + to_string(p) + " of dataset " + d.name;
}

bool distinct(const std::vector<replica_ref>& refs) {
  std::set<member_id> seen;
  return std::all_of(refs.begin(), refs.end(), [&](const auto& r) { return seen.insert(r.member).second; });
}

}  // namespace

result<void> state::check_settings(const std::string& name, std::uint32_t copies, const log_settings& log) const {
  const auto wrong = [&](std::string what) {
    return error{errc::invalid_argument, "dataset " + name + ": " + std::move(what)};
  };
  if (copies < 1 || copies > copies_max)
    return wrong(std::to_string(copies) + " copies: it must be 1 to " + std::to_string(copies_max));
  if (log.min_copies < 1 || log.min_copies > copies)
    return wrong(std::to_string(log.min_copies) + " copies at least: it must be 1 to the number of copies, " +
                 std::to_string(copies));
  if (log.sync > sync_policy::seal) return wrong("its sync policy is not known to this build");
  if (log.keep_age_ms < 0) return wrong("an age to keep records for cannot be negative");
  if (log.key_field.size() > 128) return wrong("the name of its key field is longer than 128 bytes");
  return ok();
}

result<response> state::on(const create_dataset& c, std::int64_t now) {
  TROUPE_TRY_VOID(check_name("dataset", c.name));
  TROUPE_TRY_VOID(checks::format(c.format));
  TROUPE_TRY_VOID(checks::schema(c.schema, "dataset " + c.name));
  if (c.partitions < 1 || c.partitions > limits::partitions_max)
    return error{errc::invalid_argument, "dataset " + c.name + " with " + std::to_string(c.partitions) +
                                             " partitions: it must be 1 to " + std::to_string(limits::partitions_max)};
  dataset d;
  d.copies = c.copies;
  if (d.copies == 0)
    d.copies =
        std::count_if(members_.begin(), members_.end(), [&](const auto& m) { return is_live(m.first); }) > 1 ? 2 : 1;
  d.log = c.log;
  if (d.log.min_copies == 0) d.log.min_copies = std::max(1U, d.copies - 1);
  TROUPE_TRY_VOID(check_settings(c.name, d.copies, d.log));
  if (!d.log.key_field.empty()) {
    const auto& fields = c.schema.fields;
    if (std::none_of(fields.begin(), fields.end(), [&](const auto& f) { return f.name == d.log.key_field; }))
      return error{errc::invalid_argument, "dataset " + c.name + " has no field " + d.log.key_field +
                                               " that could be its key: name one of its schema"};
  }
  TROUPE_TRY_VOID(check_name_free(c.name, false));

  d.id = dataset_id{next_dataset_++};
  d.name = c.name;
  d.format = c.format;
  d.schema = c.schema;
  d.created_at_unix_ms = now;
  d.state = dataset_state::ready;
  d.partitions.resize(c.partitions);
  ready_names_[d.name] = d.id;
  const auto id = d.id;
  datasets_.emplace(id, std::move(d));
  return response{.dataset = id};
}

result<response> state::on(const alter_dataset& c, std::int64_t) {
  const auto* found = find_dataset(c.name);
  if (found == nullptr) return error{errc::not_found, "no dataset is called " + checks::shorten(c.name)};
  auto copies = c.copies.value_or(found->copies);
  auto log = found->log;
  log.min_copies = c.min_copies.value_or(log.min_copies);
  if (c.copies && !c.min_copies) log.min_copies = std::min(log.min_copies, std::max(1U, copies));
  log.sync = c.sync.value_or(log.sync);
  log.keep_age_ms = c.keep_age_ms.value_or(log.keep_age_ms);
  log.keep_bytes = c.keep_bytes.value_or(log.keep_bytes);
  TROUPE_TRY_VOID(check_settings(c.name, copies, log));
  if (c.schema) {
    TROUPE_TRY_VOID(checks::schema(*c.schema, "dataset " + c.name));
    const auto &had = found->schema.fields, &has = c.schema->fields;
    bool fits = has.size() >= had.size() && std::equal(had.begin(), had.end(), has.begin());
    for (std::size_t i = had.size(); fits && i < has.size(); ++i) fits = has[i].type == field_type::optional;
    if (!fits)
      return error{errc::failed_precondition,
                   "the schema of dataset " + c.name + " may only get more optional fields at its end"};
  }
  auto& d = datasets_.at(found->id);
  d.copies = copies;
  d.log = log;
  if (c.schema) d.schema = *c.schema;
  return response{.dataset = d.id};
}

result<state::partition_place> state::growing_partition(dataset_id id, partition_index p) {
  const auto at = datasets_.find(id);
  if (at == datasets_.end() || at->second.state != dataset_state::ready)
    return error{errc::not_found, "dataset " + to_string(id) + " is not there (any more)"};
  if (p.value >= at->second.partitions.size())
    return error{errc::invalid_argument, "dataset " + at->second.name + " has no partition " + to_string(p)};
  return partition_place{&at->second, &at->second.partitions[p.value]};
}

result<state::partition_place> state::led_partition(dataset_id id, partition_index p, epoch e,
                                                    const replica_ref& leader) {
  TROUPE_TRY(const auto place, growing_partition(id, p));
  const auto& log = place.here->log;
  if (log.epoch != e || log.leader != leader)
    return error{errc::aborted, place_name(*place.of, p) + " has another leader by now: epoch " + to_string(log.epoch) +
                                    ", not " + to_string(e)};
  return place;
}

result<response> state::on(const take_over& c, std::int64_t) {
  TROUPE_TRY(const auto place, growing_partition(c.dataset, c.partition));
  auto& log = place.here->log;
  const auto name = place_name(*place.of, c.partition);
  if (log.epoch != c.expected)
    return error{errc::aborted, name + " is at epoch " + to_string(log.epoch) + ", not " + to_string(c.expected)};
  if (!is_current(c.leader))
    return error{errc::failed_precondition,
                 "member " + to_string(c.leader.member) + " is not alive in that incarnation and cannot lead " + name};
  if (log.leader && log.leader->member != c.leader.member && !c.old_leader_gone && is_current(*log.leader) &&
      !find_member(log.leader->member)->draining)
    return error{errc::failed_precondition,
                 name + " is led by node " + find_member(log.leader->member)->name + ", whose lease runs"};
  log.epoch = log.epoch.next();
  log.leader = c.leader;
  return response{.dataset = c.dataset, .epoch = log.epoch};
}

result<response> state::on(const release_partition& c, std::int64_t) {
  TROUPE_TRY(const auto place, led_partition(c.dataset, c.partition, c.epoch, c.leader));
  if (c.to && !is_current(*c.to))
    return error{errc::failed_precondition, "member " + to_string(c.to->member) + ", who should lead " +
                                                place_name(*place.of, c.partition) + ", is gone"};
  place.here->log.leader = c.to;
  return response{.dataset = c.dataset, .epoch = place.here->log.epoch};
}

result<void> state::check_seal(const sealed_segment& s, const partition& p) const {
  const auto name = "segment " + to_string(s.id);
  if (!p.log.open || p.log.open->id != s.id) return error{errc::aborted, name + " is not the open one (any more)"};
  if (s.holders.empty()) {
    // Only when every replica was given up for good; whoever removed the last one accepted the loss.
    const auto& replicas = p.log.open->replicas;
    const bool all_gone =
        std::all_of(replicas.begin(), replicas.end(), [&](const auto& r) { return find_member(r.member) == nullptr; });
    if (!all_gone || s.records != 0) return error{errc::invalid_argument, name + " would be sealed without a holder"};
  }
  if (!distinct(s.holders)) return error{errc::invalid_argument, "a member holds " + name + " twice"};
  for (const auto& holder : s.holders) {
    const auto& replicas = p.log.open->replicas;
    if (std::none_of(replicas.begin(), replicas.end(), [&](const auto& r) { return r.member == holder.member; }))
      return error{errc::invalid_argument,
                   "member " + to_string(holder.member) + " is no replica of " + name + " and cannot hold it"};
    if (!is_current(holder))
      return error{errc::aborted, "member " + to_string(holder.member) + " was lost since it closed " + name};
  }
  if (s.bytes > s.file_bytes || s.file_bytes > bytes_max || s.records > s.file_bytes)
    return error{errc::invalid_argument, name + " says of itself what cannot be"};
  return ok();
}

result<void> state::check_replicas(const std::vector<replica_ref>& replicas, const dataset& d) const {
  if (replicas.size() < d.log.min_copies)
    return error{errc::failed_precondition, "dataset " + d.name + " needs " + std::to_string(d.log.min_copies) +
                                                " replicas, not " + std::to_string(replicas.size())};
  if (replicas.size() > d.copies || !distinct(replicas))
    return error{errc::failed_precondition,
                 "dataset " + d.name + " has " + std::to_string(d.copies) + " copies, each on another node"};
  for (const auto& r : replicas)
    if (!is_current(r))
      return error{errc::aborted, "member " + to_string(r.member) + ", a replica to be, is gone or was started again"};
  return ok();
}

result<response> state::on(const seal_and_open& c, std::int64_t) {
  TROUPE_TRY(const auto place, led_partition(c.dataset, c.partition, c.epoch, c.leader));
  auto& p = *place.here;
  const auto name = place_name(*place.of, c.partition);
  if (!is_current(c.leader))
    return error{errc::aborted, "member " + to_string(c.leader.member) + ", the leader of " + name + ", is gone"};
  if (c.seal) {
    TROUPE_TRY_VOID(check_seal(*c.seal, p));
    if (p.segments.size() >= segments_of_dataset_max)
      return error{errc::resource_exhausted, name + " has as many segments as it may have"};
  } else if (p.log.open) {
    return error{errc::failed_precondition, name + " has an open segment, which has to be sealed first"};
  }
  if (!c.replicas.empty()) TROUPE_TRY_VOID(check_replicas(c.replicas, *place.of));

  if (c.seal) {
    const auto& s = *c.seal;
    if (s.records != 0) {
      segment sealed{s.id, s.bytes, s.file_bytes, s.records, s.digest, {}, p.log.open->epoch, s.last_append_unix_ms};
      for (const auto& holder : s.holders) sealed.holders.push_back(holder.member);
      segments_.emplace(s.id,
                        segment_place{c.dataset, c.partition.value, static_cast<std::uint32_t>(p.segments.size())});
      p.segments.push_back(std::move(sealed));
    }
    open_segments_.erase(s.id);
    p.log.open.reset();
  }
  p.log.epoch = p.log.epoch.next();
  response answer{.dataset = c.dataset, .epoch = p.log.epoch};
  if (!c.replicas.empty()) {
    answer.first_segment = segment_id{next_segment_++};
    p.log.open = open_segment{answer.first_segment, p.log.epoch, c.replicas};
    open_segments_.emplace(answer.first_segment, std::pair(c.dataset, c.partition));
  }
  return answer;
}

result<response> state::on(const trim_partition& c, std::int64_t) {
  TROUPE_TRY(const auto place, growing_partition(c.dataset, c.partition));
  auto& p = *place.here;
  const auto last =
      std::find_if(p.segments.begin(), p.segments.end(), [&](const segment& s) { return s.id == c.last; });
  if (last == p.segments.end())
    return error{errc::not_found,
                 place_name(*place.of, c.partition) + " has no sealed segment " + to_string(c.last) + " (any more)"};
  if (is_read(c.dataset, c.partition))
    return error{errc::failed_precondition,
                 place_name(*place.of, c.partition) + " is read by a job: its segments stay until that ends"};
  for (auto at = p.segments.begin(); at != std::next(last); ++at) {
    p.log.trimmed_records += at->records;
    segments_.erase(at->id);
  }
  p.segments.erase(p.segments.begin(), std::next(last));
  for (std::uint32_t i = 0; i < p.segments.size(); ++i) segments_.at(p.segments[i].id).position = i;
  return response{.dataset = c.dataset};
}

}  // namespace troupe::metadata
