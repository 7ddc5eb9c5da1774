#include <tests/simulation/log/world.hpp>

namespace troupe::simulation::log {

namespace {
constexpr sim_time heal_time = 2500 * millisecond;  ///< then no new appends
constexpr sim_time settle_time =
    3500 * millisecond;  ///< then everything has ended, is copied, and agrees, at the latest
constexpr sim_time look_every = 250 * millisecond;
}  // namespace

world::world(std::uint64_t seed, planted bug, bool trace, std::optional<swarm::kind> kind, bool with_jobs)
    : random_(seed * 2654435761u + 7), bug_(bug), events_(trace) {
  swarm_ = swarm::of(random_, kind);
  if (with_jobs) swarm_.add_jobs(random_, kind == swarm::kind::late_commits);
  cluster_.value.octets[0] = 1;
  if (swarm_.beyond_budget) check_.tolerate_losses();
  cut_.assign(swarm_.members, std::vector<bool>(swarm_.members, false));
  const auto voters = consensus::voters_wanted(swarm_.members);
  for (std::size_t i = 0; i < swarm_.members; ++i) {
    auto& m = members_.emplace_back();
    m.slot = i;
    m.id.value.octets[0] = static_cast<std::uint8_t>(i + 1);
    m.raft_disk = std::make_unique<disk>(cluster_);
    m.files = std::make_unique<segment_files>(cluster_);
    m.clock_offset = static_cast<sim_time>(random_.below(1'000'000)) * millisecond;
    m.clock_ppm = random_.between(-swarm_.skew_ppm, swarm_.skew_ppm);
    m.wall_off_ms = random_.between(-swarm_.wall_off_ms, swarm_.wall_off_ms);
    (i < voters ? first_voters_.voters : first_voters_.learners).insert(m.id);
  }
  for (std::size_t i = 0; i < swarm_.producers; ++i) {
    auto& p = producers_.emplace_back();
    p.number = i;
    p.id.octets[0] = static_cast<std::uint8_t>(i + 1);
    p.id.octets[15] = 7;
    p.where = {dataset_id{1}, partition_index{static_cast<std::uint32_t>(i % swarm_.partitions)}};
  }
  for (std::uint32_t i = 0; i < swarm_.partitions; ++i) readers_.push_back({{dataset_id{1}, partition_index{i}}, 0});
}

outcome world::run() {
  for (auto& m : members_) start(m);
  // Every member asks, in case one of them never gets to it; the name is free once.
  for (auto& m : members_) ask_for_dataset(m);
  for (auto& p : producers_) think(p);
  for (auto& r : readers_) time_.after(100 * millisecond, [this, &r] { read_on(r); });
  if (swarm_.jobs != 0) time_.after(500 * millisecond, [this] { want_jobs(); });
  time_.after(700 * millisecond, [this] { schedule_faults(); });
  const auto faults_end = 700 * millisecond + swarm_.fault_time;
  time_.at(faults_end, [this] { heal_all(); });
  time_.at(faults_end + heal_time / 2, [this] {
    draining_.clear();
    end_drains();
  });
  time_.at(faults_end + heal_time, [this] { stopping_ = true; });
  const auto end = faults_end + heal_time + settle_time;
  for (auto t = faults_end + heal_time + look_every; t < end; t += look_every)
    time_.at(t, [this] { settled_ = settled_ || !unsettled(); });
  while (!check_.failure() && !settled_ && time_.step(end)) {
  }
  if (!check_.failure()) check_at_end();
  out_.failure = check_.failure();
  out_.events = time_.events();
  out_.records = check_.records_acknowledged();
  out_.segments = check_.segments_sealed();
  out_.jobs = job_check_.succeeded();
  out_.simulated = time_.now();
  out_.configuration = swarm_.describe();
  out_.last_events = events_.last();
  return out_;
}

/// Whoever asked may have started again before metadata had a leader, and its request is lost: so it is said again
/// until nobody drains.
void world::end_drains() {
  if (stopping_) return;
  for (const auto& [id, who] : truth()->members())
    for (auto& m : members_)
      if (who.draining && m.up) propose(m, metadata::drain_member{id, false}, [](const auto&) {});
  time_.after(look_every, [this] { end_drains(); });
}

void world::ask_for_dataset(member& m) {
  metadata::create_dataset c;
  c.name = "clicks";
  c.format = data_format::bytes;
  c.partitions = swarm_.partitions;
  c.copies = swarm_.copies;
  c.log.min_copies = swarm_.min_copies;
  c.log.sync = swarm_.sync;
  c.log.keep_bytes = swarm_.keep_bytes;
  propose(m, c, [](const auto&) {});
}

void world::check_queues(member& m) {
  const auto of_replica = m.replica->queues();
  if (of_replica.orders > 5000 || of_replica.segments > 200 ||
      of_replica.readers_waiting > swarm_.replica.readers_waiting_max)
    check_.fail(m.name() + "'s replica has a queue without limit: " + std::to_string(of_replica.orders) +
                " orders to the disk, " + std::to_string(of_replica.segments) + " segments");
  for (const auto& [where, l] : m.leaders) {
    const auto q = l.leader->queues();
    if (q.queued_requests > swarm_.leader.queue_requests_max || q.queued_bytes > swarm_.leader.queue_bytes_max ||
        q.in_flight_bytes > swarm_.leader.in_flight_bytes_max + replication::batches_bytes_max)
      check_.fail(m.name() + " leads with a queue beyond its limit: " + std::to_string(q.queued_requests) +
                  " requests, " + std::to_string(q.queued_bytes) + " bytes, in flight " +
                  std::to_string(q.in_flight_bytes));
  }
}

/// What is still to come, as a sentence. Nothing: every append was acknowledged, everything is copied, led and read.
std::optional<std::string> world::unsettled() const {
  const metadata::state* first = nullptr;
  for (const auto& m : members_) {
    if (!m.up || !m.registered) return "a hang: " + m.name() + " is not a member at the end";
    if (first != nullptr && m.state->applied() != first->applied())
      return "a hang: " + m.name() + " has applied metadata to " + to_string(m.state->applied()) + ", not " +
             to_string(first->applied());
    if (first != nullptr && m.state->snapshot() != first->snapshot())
      return m.name() + "'s metadata differs at the end";
    if (first == nullptr) first = m.state.get();
  }
  for (const auto& p : producers_)
    if (p.operation != 0)
      return "a hang: append " + std::to_string(p.sequence) + " of producer " + std::to_string(p.number + 1) +
             " was never acknowledged";
  if (auto why = jobs_unsettled(*first)) return why;
  const auto wanted = std::min<std::size_t>(swarm_.copies, members_.size());
  for (const auto& [id, d] : first->datasets()) {
    for (std::uint32_t p = 0; p < d.partitions.size(); ++p) {
      const auto& here = d.partitions[p];
      auto end = here.log.trimmed_records;
      for (const auto& g : here.segments) {
        end += g.records;
        std::size_t live = 0;
        for (const auto h : g.holders) live += first->is_live(h) ? 1 : 0;
        if (live < wanted)
          return "a hang: segment " + to_string(g.id) + " has " + std::to_string(live) + " of " +
                 std::to_string(wanted) + " copies at the end";
      }
      if (!here.log.open) continue;
      const auto* leader = here.log.leader ? member_of(here.log.leader->member) : nullptr;
      const auto running =
          leader == nullptr ? decltype(leader->leaders.end())() : leader->leaders.find({id, partition_index{p}});
      if (leader == nullptr || running == leader->leaders.end() ||
          running->second.leader->state() != replication::log_leader::phase::leading)
        return "a hang: nobody leads partition " + std::to_string(p) + " at the end";
      if (here.log.open->replicas.size() < wanted)
        return "a hang: the open segment of partition " + std::to_string(p) + " has " +
               std::to_string(here.log.open->replicas.size()) + " replicas at the end";
      if (const auto prefix = running->second.leader->acknowledged()) end += prefix->records;
      if (readers_[p].offset < end)
        return "a hang: a reader of partition " + std::to_string(p) + " has come to " +
               std::to_string(readers_[p].offset) + " of " + std::to_string(end);
    }
  }
  return std::nullopt;
}

void world::check_at_end() {
  if (const auto why = unsettled()) return check_.fail(*why);
  std::map<member_id, const segment_files*> disks;
  for (const auto& m : members_) disks.emplace(m.id, m.files.get());
  check_.verify(*members_.front().state, disks);
}

}  // namespace troupe::simulation::log
