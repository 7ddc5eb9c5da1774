#include <algorithm>
#include <limits>
#include <troupe/base/invariant.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/base/text.hpp>
#include <troupe/metadata/checks.hpp>
#include <troupe/metadata/state.hpp>
#include <unordered_set>

/// The life of a dataset: reserved by an import or a job, visible at one commit, deleted when no running job reads it
/// any more.
namespace troupe::metadata {
namespace {

constexpr auto sum_max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

result<void> check_copies(std::uint32_t copies) {
  if (copies >= 1 && copies <= copies_max) return ok();
  return error{errc::invalid_argument,
               std::to_string(copies) + " copies: it must be 1 to " + std::to_string(copies_max)};
}

result<void> check_segment_ids(std::uint32_t count) {
  if (count >= 1 && count <= segment_ids_max) return ok();
  return error{errc::invalid_argument,
               std::to_string(count) + " segment ids: it must be 1 to " + std::to_string(segment_ids_max)};
}

}  // namespace

result<response> state::on(const begin_import& c, std::int64_t now) {
  TROUPE_TRY_VOID(check_name("dataset", c.name));
  TROUPE_TRY_VOID(checks::format(c.format));
  TROUPE_TRY_VOID(checks::schema(c.schema, "dataset " + c.name));
  TROUPE_TRY_VOID(check_copies(c.copies));
  TROUPE_TRY_VOID(check_segment_ids(c.segment_ids));
  const auto* importer = find_member(c.importer);
  if (importer == nullptr)
    return error{errc::not_found, "member " + to_string(c.importer) + ", the importer, is not known"};
  if (!is_live(c.importer))
    return error{errc::failed_precondition, "node " + importer->name + ", the importer, was found dead"};
  TROUPE_TRY_VOID(check_name_free(c.name, c.replace));

  dataset d;
  d.name = c.name;
  d.format = c.format;
  d.schema = c.schema;
  d.copies = c.copies;
  d.log.min_copies = std::max(1U, c.copies - 1);
  d.importer = c.importer;
  d.created_at_unix_ms = now;
  const auto id = add_creating(std::move(d)).id;
  replaces_[id] = c.replace;
  return response{.dataset = id, .first_segment = reserve(id, c.segment_ids)};
}

result<response> state::on(const allocate_segments& c, std::int64_t) {
  TROUPE_TRY_VOID(check_segment_ids(c.count));
  const auto* d = find_dataset(c.dataset);
  if (d == nullptr || d->state != dataset_state::creating || d->made_by)
    return error{errc::failed_precondition, "import " + to_string(c.dataset) +
                                                " is not going on: it was committed, or aborted when its node died"};
  return response{.dataset = d->id, .first_segment = reserve(d->id, c.count)};
}

result<response> state::on(const commit_import& c, std::int64_t now) {
  const auto* d = find_dataset(c.dataset);
  if (d == nullptr || d->state != dataset_state::creating || d->made_by)
    return error{errc::failed_precondition, "import " + to_string(c.dataset) +
                                                " is not going on: it was committed, or aborted when its node died"};
  if (c.partitions.empty() || c.partitions.size() > limits::partitions_max)
    return error{errc::invalid_argument, "dataset " + d->name + " with " + std::to_string(c.partitions.size()) +
                                             " partitions: it must be 1 to " + std::to_string(limits::partitions_max)};
  std::unordered_set<segment_id> seen;
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  for (const auto& p : c.partitions) {
    for (const auto& s : p.segments) {
      TROUPE_TRY_VOID(check_segment(s));
      if (!has_reserved(d->id, s.id))
        return error{errc::invalid_argument, "segment " + to_string(s.id) + " was not reserved for dataset " + d->name};
      if (!seen.insert(s.id).second)
        return error{errc::invalid_argument, "segment " + to_string(s.id) + " stands twice in dataset " + d->name};
      bytes += s.file_bytes;
      records += s.records;
      if (seen.size() > segments_of_dataset_max || bytes > sum_max || records > sum_max)
        return error{errc::resource_exhausted, "dataset " + d->name + " is larger than a dataset may be"};
    }
  }
  if (const auto* old = find_dataset(d->name); old != nullptr && !replaces_.at(d->id))
    return error{errc::already_exists, "a dataset " + d->name + " has come into being since this import began"};
  publish(c.dataset, c.partitions, now);
  return response{.dataset = c.dataset};
}

result<response> state::on(const abort_import& c, std::int64_t) {
  const auto* d = find_dataset(c.dataset);
  if (d == nullptr)
    return error{errc::not_found, "import " + to_string(c.dataset) + " is not known: it may have been aborted already"};
  if (d->state != dataset_state::creating || d->made_by)
    return error{errc::failed_precondition, "dataset " + to_string(c.dataset) + " is not an import that goes on"};
  drop_creating(c.dataset);
  return response{.dataset = c.dataset};
}

result<response> state::on(const delete_dataset& c, std::int64_t) {
  const auto* d = find_dataset(c.name);
  if (d == nullptr) {
    const bool written = find_creating(c.name) != nullptr;
    return error{errc::not_found, "no dataset is called " + checks::shorten(c.name) +
                                      (written ? " yet: it is still being written" : "")};
  }
  const auto id = d->id;
  retire(id);
  return response{.dataset = id};
}

result<response> state::on(const report_damage& c, std::int64_t) {
  const auto place = segments_.find(c.segment);
  if (place == segments_.end() || place->second.dataset != c.dataset)
    return error{errc::not_found, "dataset " + to_string(c.dataset) + " has no segment " + to_string(c.segment)};
  auto& d = datasets_.at(c.dataset);
  auto& s = d.partitions[place->second.partition].segments[place->second.position];
  if (std::find(s.holders.begin(), s.holders.end(), c.holder) == s.holders.end())
    return error{errc::not_found,
                 "member " + to_string(c.holder) + " does not count as a holder of segment " + to_string(c.segment)};
  if (s.made(c.holder) != c.made)
    return error{errc::aborted, "the copy of segment " + to_string(c.segment) + " on member " + to_string(c.holder) +
                                    " was made anew by entry " + to_string(s.made(c.holder)) +
                                    " since it was found damaged"};
  if (s.holders.size() == 1)
    return error{errc::failed_precondition, "the copy of segment " + to_string(c.segment) + " of dataset " + d.name +
                                                " is the last one and stays listed"};
  s.drop_holder(c.holder);
  return response{.dataset = c.dataset};
}

/// One writer a name: a second one learns at once that it would lose.
result<void> state::check_name_free(const std::string& name, bool replace) const {
  if (const auto* writing = find_creating(name)) {
    const auto by = writing->made_by ? "job " + to_string(*writing->made_by) : std::string("an import");
    return error{errc::already_exists,
                 "dataset " + name + " is being written by " + by + ": wait for it, or cancel it"};
  }
  if (find_dataset(name) != nullptr && !replace)
    return error{errc::already_exists,
                 "dataset " + name +
                     " exists already: choose another name, or delete it (import and run replace it with --replace)"};
  if (datasets_.size() >= datasets_max)
    return error{errc::resource_exhausted,
                 "the cluster has " + std::to_string(datasets_max) + " datasets already: delete some"};
  return ok();
}

result<void> state::check_segment(const segment& s) const {
  const auto name = "segment " + to_string(s.id);
  if (s.holders.empty() || s.holders.size() > copies_max)
    return error{errc::invalid_argument, name + " has " + std::to_string(s.holders.size()) +
                                             " holders: it must be 1 to " + std::to_string(copies_max)};
  for (auto at = s.holders.begin(); at != s.holders.end(); ++at) {
    if (find_member(*at) == nullptr)
      return error{errc::invalid_argument, "member " + to_string(*at) + ", a holder of " + name + ", is not known"};
    if (std::find(s.holders.begin(), at, *at) != at)
      return error{errc::invalid_argument, "member " + to_string(*at) + " holds " + name + " twice"};
  }
  if (s.bytes > sum_max || s.file_bytes > sum_max || s.records > sum_max)
    return error{errc::invalid_argument, name + " is larger than any file"};
  if (!s.remade.empty())
    return error{errc::invalid_argument,
                 name + " says that copies of it were made anew, which add_holder alone may say"};
  if (s.epoch.value != 0 || s.last_append_unix_ms != 0)
    return error{errc::invalid_argument, name + " says that it was appended to, which seal_and_open alone may say"};
  return ok();
}

dataset& state::add_creating(dataset d) {
  d.id = dataset_id{next_dataset_++};
  d.state = dataset_state::creating;
  creating_names_.emplace(d.name, d.id);
  return datasets_.emplace(d.id, std::move(d)).first->second;
}

segment_id state::reserve(dataset_id owner, std::uint64_t count) {
  const segment_id first{next_segment_};
  if (count == 0) return first;
  next_segment_ += count;
  reservations_.emplace(first, reservation{count, owner});
  return first;
}

bool state::has_reserved(dataset_id owner, segment_id id) const {
  return segments_.find(id) == segments_.end() && owner_of(id) == owner;
}

/// The step in which a dataset comes to be: the one it replaces goes in the same step, so that a reader finds the old
/// or the new, never none or both.
void state::publish(dataset_id id, std::vector<partition> partitions, std::int64_t now) {
  auto& d = datasets_.at(id);
  if (const auto* old = find_dataset(d.name)) retire(old->id);
  creating_names_.erase(d.name);
  ready_names_[d.name] = id;
  std::erase_if(reservations_, [&](const auto& r) { return r.second.dataset == id; });
  replaces_.erase(id);
  d.partitions = std::move(partitions);
  for (auto& p : d.partitions) p.log = {};  // appends to it begin with a take-over
  d.importer.reset();
  d.state = dataset_state::ready;
  d.created_at_unix_ms = now;
  index_segments(d);
}

/// A ready dataset gives its name free, and goes altogether unless a running job reads it.
void state::retire(dataset_id id) {
  auto& d = datasets_.at(id);
  TROUPE_INVARIANT(d.state == dataset_state::ready, "dataset " + d.name + " is not ready");
  ready_names_.erase(d.name);
  d.state = dataset_state::deleting;
  if (!is_read(id)) erase_dataset(id);
}

void state::drop_creating(dataset_id id) {
  const auto& d = datasets_.at(id);
  TROUPE_INVARIANT(d.state == dataset_state::creating, "dataset " + d.name + " is not being written");
  creating_names_.erase(d.name);
  replaces_.erase(id);
  std::erase_if(reservations_, [&](const auto& r) { return r.second.dataset == id; });
  datasets_.erase(id);
}

void state::erase_dataset(dataset_id id) {
  const auto at = datasets_.find(id);
  for (const auto& p : at->second.partitions) {
    for (const auto& s : p.segments) segments_.erase(s.id);
    if (p.log.open) open_segments_.erase(p.log.open->id);
  }
  datasets_.erase(at);
}

void state::index_segments(const dataset& d) {
  for (std::uint32_t p = 0; p < d.partitions.size(); ++p) {
    const auto& here = d.partitions[p];
    for (std::uint32_t i = 0; i < here.segments.size(); ++i)
      segments_.insert_or_assign(here.segments[i].id, segment_place{d.id, p, i});
    if (here.log.open) open_segments_.insert_or_assign(here.log.open->id, std::pair(d.id, partition_index{p}));
  }
}

}  // namespace troupe::metadata
