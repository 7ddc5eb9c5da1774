#include <algorithm>
#include <troupe/base/codec.hpp>
#include <troupe/base/invariant.hpp>
#include <troupe/base/version.hpp>
#include <troupe/metadata/checks.hpp>
#include <troupe/metadata/state.hpp>

namespace troupe::metadata {
namespace {

constexpr std::uint64_t snapshot_magic = 0x3150'4e53'4154'454dULL;  // «METASNP1»

struct reserved_range {
  segment_id first;
  std::uint64_t count = 0;
  dataset_id dataset;
};
BOOST_DESCRIBE_STRUCT(reserved_range, (), (first, count, dataset))

struct remembered_answer {
  request_id id;
  errc code = errc::none;
  std::string message;
  metadata::response response;
};
BOOST_DESCRIBE_STRUCT(remembered_answer, (), (id, code, message, response))

/// The order of a snapshot's bytes, after magic and feature level. Append only.
struct snapshot_image {
  log_index applied;
  std::uint64_t next_dataset = 1;
  std::uint64_t next_segment = 1;
  std::uint64_t next_job = 1;
  std::vector<member> members;
  std::vector<dataset> datasets;
  std::vector<reserved_range> reservations;
  std::vector<module_info> modules;
  std::vector<job> jobs;
  std::map<dataset_id, bool> replaces;
  std::vector<remembered_answer> answers;
  std::set<member_id> removed;
};
BOOST_DESCRIBE_STRUCT(snapshot_image, (),
                      (applied, next_dataset, next_segment, next_job, members, datasets, reservations, modules, jobs,
                       replaces, answers, removed))

template <class Map>
auto find_in(const Map& map, const typename Map::key_type& key) -> decltype(&map.begin()->second) {
  const auto at = map.find(key);
  return at == map.end() ? nullptr : &at->second;
}

template <class Map>
auto values_of(const Map& map) {
  std::vector<typename Map::mapped_type> out;
  out.reserve(map.size());
  for (const auto& [key, value] : map) out.push_back(value);
  return out;
}

template <class T, class Map>
bool fill(std::vector<T>&& values, Map& map) {
  for (auto& v : values) {
    const auto id = v.id;
    if (!map.emplace(id, std::move(v)).second) return false;
  }
  return true;
}

}  // namespace

result<response> state::apply(log_index index, const envelope& what) {
  TROUPE_INVARIANT(index == applied_.next(), "entry " + to_string(index) + " after " + to_string(applied_));
  applied_ = index;
  if (const auto* known = answer_of(what.id)) return *known;
  auto answer = std::visit([&](const auto& c) { return on(c, what.at_unix_ms); }, what.command);
  remember(what.id, answer);
  return answer;
}

result<response> state::on(const noop&, std::int64_t) { return response{}; }

const result<response>* state::answer_of(request_id id) const {
  const auto at = answer_numbers_.find(id);
  return at == answer_numbers_.end() ? nullptr : &answers_[static_cast<std::size_t>(at->second - first_answer_)].second;
}

void state::remember(request_id id, const result<response>& answer) {
  if (id.is_nil()) return;  // a proposer that will not retry
  answer_numbers_.emplace(id, first_answer_ + answers_.size());
  answers_.emplace_back(id, answer);
  if (answers_.size() <= answers_remembered_max) return;
  answer_numbers_.erase(answers_.front().first);
  answers_.pop_front();
  ++first_answer_;
}

bytes state::snapshot() const {
  snapshot_image image;
  image.applied = applied_;
  image.next_dataset = next_dataset_;
  image.next_segment = next_segment_;
  image.next_job = next_job_;
  image.members = values_of(members_);
  image.datasets = values_of(datasets_);
  for (const auto& [first, r] : reservations_) image.reservations.push_back({first, r.count, r.dataset});
  image.modules = modules_;
  image.jobs = values_of(jobs_);
  image.replaces = replaces_;
  image.removed = removed_;
  image.answers.reserve(answers_.size());
  for (const auto& [id, answer] : answers_) {
    if (answer)
      image.answers.push_back({id, errc::none, {}, *answer});
    else
      image.answers.push_back({id, answer.error().code(), answer.error().message(), {}});
  }
  bytes out;
  codec::writer writer(out);
  writer.put(snapshot_magic);
  writer.put(feature_level);
  writer.put(image);
  writer.put(access_);
  return out;
}

result<state> state::restore(bytes_view snapshot) {
  codec::reader reader(snapshot);
  std::uint64_t magic = 0;
  std::uint32_t level = 0;
  if (!reader.get(magic) || magic != snapshot_magic || !reader.get(level))
    return error{errc::corrupted, "the metadata snapshot does not begin as one"};
  if (level > feature_level)
    return error{errc::unsupported, "the metadata snapshot has feature level " + std::to_string(level) +
                                        ", this build knows " + std::to_string(feature_level) +
                                        ": start a newer troupe-node"};
  if (level < feature_level)
    return error{errc::unsupported, "the metadata snapshot has feature level " + std::to_string(level) +
                                        ", this build reads " + std::to_string(feature_level) +
                                        " only: it was written before jobs had stages; start the older troupe-node"};
  snapshot_image image;
  access_state access;
  // A snapshot that was made before there were users ends here.
  if (!reader.get(image) || (!reader.at_end() && !reader.get(access)) || !reader.at_end())
    return error{errc::corrupted,
                 "the metadata snapshot's " + std::to_string(snapshot.size()) + " bytes do not decode"};
  state s;
  s.applied_ = image.applied;
  s.next_dataset_ = image.next_dataset;
  s.next_segment_ = image.next_segment;
  s.next_job_ = image.next_job;
  bool good = fill(std::move(image.members), s.members_) && fill(std::move(image.datasets), s.datasets_) &&
              fill(std::move(image.jobs), s.jobs_);
  for (const auto& r : image.reservations)
    good = good && s.reservations_.emplace(r.first, reservation{r.count, r.dataset}).second;
  if (!good) return error{errc::corrupted, "the metadata snapshot has an id twice"};
  s.modules_ = std::move(image.modules);
  s.replaces_ = std::move(image.replaces);
  s.removed_ = std::move(image.removed);
  s.access_ = std::move(access);
  for (auto& a : image.answers) {
    if (a.code == errc::none)
      s.remember(a.id, std::move(a.response));
    else
      s.remember(a.id, error{a.code, std::move(a.message)});
  }
  s.rebuild_indexes();
  TROUPE_TRY_VOID(s.check_sound());
  return s;
}

void state::rebuild_indexes() {
  for (const auto& [id, d] : datasets_) {
    if (d.state == dataset_state::ready) ready_names_.emplace(d.name, id);
    if (d.state == dataset_state::creating) creating_names_.emplace(d.name, id);
    index_segments(d);
  }
  for (const auto& [id, j] : jobs_)
    if (j.state == job_state::queued || j.state == job_state::running) running_.insert(id);
}

const member* state::find_member(member_id id) const { return find_in(members_, id); }

const member* state::find_member(std::string_view name) const {
  for (const auto& [id, m] : members_)
    if (m.name == name) return &m;
  return nullptr;
}

std::set<member_id> state::distrusted() const {
  auto out = removed_;
  for (const auto& [id, why] : access_.revoked) out.insert(id);
  return out;
}

const dataset* state::find_dataset(dataset_id id) const { return find_in(datasets_, id); }

const dataset* state::find_dataset(std::string_view name) const {
  const auto at = ready_names_.find(name);
  return at == ready_names_.end() ? nullptr : find_dataset(at->second);
}

const dataset* state::find_creating(std::string_view name) const {
  const auto at = creating_names_.find(name);
  return at == creating_names_.end() ? nullptr : find_dataset(at->second);
}

const job* state::find_job(job_id id) const { return find_in(jobs_, id); }

const segment* state::find_segment(segment_id id) const {
  const auto at = segments_.find(id);
  if (at == segments_.end()) return nullptr;
  const auto& place = at->second;
  return &find_dataset(place.dataset)->partitions[place.partition].segments[place.position];
}

const open_segment* state::find_open(segment_id id) const {
  const auto at = open_segments_.find(id);
  if (at == open_segments_.end()) return nullptr;
  return &*find_dataset(at->second.first)->partitions[at->second.second.value].log.open;
}

std::vector<member_id> state::holders_of(segment_id id) const {
  if (const auto* sealed = find_segment(id)) return sealed->holders;
  std::vector<member_id> replicas;
  if (const auto* open = find_open(id))
    for (const auto& r : open->replicas) replicas.push_back(r.member);
  return replicas;
}

const partition* state::find_partition(dataset_id id, partition_index p) const {
  const auto* d = find_dataset(id);
  if (d == nullptr || d->state != dataset_state::ready || p.value >= d->partitions.size()) return nullptr;
  return &d->partitions[p.value];
}

std::optional<dataset_id> state::owner_of(segment_id id) const {
  if (const auto at = segments_.find(id); at != segments_.end()) return at->second.dataset;
  if (const auto at = open_segments_.find(id); at != open_segments_.end()) return at->second.first;
  auto after = reservations_.upper_bound(id);
  if (after == reservations_.begin()) return std::nullopt;
  const auto& [first, r] = *std::prev(after);
  return id.value - first.value < r.count ? std::optional(r.dataset) : std::nullopt;
}

bool state::is_read(dataset_id id) const {
  for (const auto running : running_) {
    const auto& inputs = jobs_.at(running).inputs;
    if (std::find(inputs.begin(), inputs.end(), id) != inputs.end()) return true;
  }
  return false;
}

bool state::is_read(dataset_id id, partition_index p) const {
  for (const auto running : running_) {
    const auto& j = jobs_.at(running);
    for (std::size_t i = 0; i < j.inputs.size() && i < j.snapshot.size(); ++i) {
      if (j.inputs[i] != id || p.value >= j.snapshot[i].partitions.size()) continue;
      const auto& read = j.snapshot[i].partitions[p.value];
      if (read.segments != 0 || read.open) return true;
    }
  }
  return false;
}

}  // namespace troupe::metadata
