#include <algorithm>
#include <troupe/consensus/raft.hpp>

/// Linearizable reads (§6.4): by a round of heartbeats, or within the leader's lease; at any member.
namespace troupe::consensus {

result<void> raft::read(time_point now, read_id id) {
  now_ = now;
  const bool leads = role_ == role::leader;
  if (stopped_ || (!leads && leader_.is_nil()))
    return error{errc::unavailable, "no leader of the metadata is known here now"};
  if (reads_.size() + asked_.size() >= options_.reads_waiting_max)
    return error{errc::resource_exhausted, "too many reads wait; try again later"};
  if (leads) {
    start_read(id.value, options_.self);
  } else {
    const auto wire = next_asked_++;
    asked_.emplace(wire, asked_read{id, now + 2 * options_.election_timeout, std::nullopt});
    send(leader_, read_request{wire});
  }
  return ok();
}

void raft::start_read(std::uint64_t id, const member_id& from) {
  waiting_read read{id, from, std::max(commit_, term_start_), 0};
  if (planted(planted_bug::read_before_own_term)) read.index = commit_;
  if (planted(planted_bug::stale_leader_reads) || lease_valid(now_)) {
    read.index = commit_;
    return answer_read(read, true);
  }
  reads_.push_back(read);
}

void raft::start_read_round() {
  // One round at a time: reads that come meanwhile share the next.
  if (reads_.empty() || reads_.back().round != 0) return;
  if (reads_.front().round > majority_round()) return;
  broadcast_heartbeat(now_);
  for (auto& read : reads_)
    if (read.round == 0) read.round = round_;
}

std::uint64_t raft::majority_round() const {
  std::vector<std::uint64_t> rounds;
  for (const auto& id : members().voters) {
    const auto found = peers_.find(id);
    rounds.push_back(is_self(id) ? round_ : found == peers_.end() ? 0 : found->second.round);
  }
  const auto nth = rounds.begin() + static_cast<std::ptrdiff_t>(members().majority() - 1);
  std::nth_element(rounds.begin(), nth, rounds.end(), std::greater<>{});
  return *nth;
}

bool raft::lease_valid(time_point now) const {
  if (options_.reads != read_mode::lease || lease_given_up_ || commit_ < term_start_) return false;
  // Followers promised, when they answered, not to elect anyone for an election timeout of their clocks. The promise
  // began at the earliest when the question left here.
  const auto whole = std::chrono::duration_cast<duration>(options_.election_timeout);
  const auto lease =
      planted(planted_bug::lease_too_long) ? 2 * whole : whole - whole * options_.clock_drift_ppm_max / 1'000'000;
  const auto round = majority_round();
  const auto sent =
      std::find_if(round_times_.begin(), round_times_.end(), [&](const auto& t) { return t.first == round; });
  return sent != round_times_.end() && now < sent->second + lease;
}

void raft::complete_reads() {
  if (reads_.empty()) return;
  const auto confirmed = majority_round();
  while (!reads_.empty() && reads_.front().round != 0 && reads_.front().round <= confirmed &&
         reads_.front().index <= commit_) {
    const auto read = reads_.front();
    reads_.pop_front();
    answer_read(read, true);
  }
}

void raft::answer_read(const waiting_read& r, bool granted) {
  if (!is_self(r.from)) return send(r.from, read_response{r.id, granted, r.index});
  if (granted)
    effects_.emplace_back(effects::read_ready{read_id{r.id}});
  else
    effects_.emplace_back(effects::read_failed{read_id{r.id}});
}

void raft::fail_reads() {
  for (const auto& read : std::exchange(reads_, {})) answer_read(read, false);
}

void raft::on(time_point /*now*/, const message& m, const read_request& r) {
  if (role_ != role::leader || reads_.size() >= options_.reads_waiting_max)
    return send(m.from, read_response{r.id, false, {}});
  start_read(r.id, m.from);
}

void raft::on(time_point /*now*/, const message& /*m*/, const read_response& r) {
  const auto found = asked_.find(r.id);
  if (found == asked_.end() || found->second.index) return;
  if (r.granted) {
    found->second.index = r.index;
    return complete_asked_reads();
  }
  effects_.emplace_back(effects::read_failed{found->second.id});
  asked_.erase(found);
}

void raft::complete_asked_reads() {
  std::erase_if(asked_, [&](const auto& read) {
    if (!read.second.index || *read.second.index > commit_) return false;
    effects_.emplace_back(effects::read_ready{read.second.id});
    return true;
  });
}

}  // namespace troupe::consensus
