#include <algorithm>
#include <troupe/consensus/raft.hpp>

/// Elections: pre-vote (§9.6), votes (§3.4, §3.6.1), giving way (§3.10).
namespace troupe::consensus {

bool raft::loyal(time_point now) const {
  if (role_ == role::leader) return true;
  return heard_leader_ever_ && now - heard_leader_ < options_.election_timeout;
}

bool raft::log_is_current(const vote_request& r) const {
  if (planted(planted_bug::vote_without_log_check)) return true;
  return std::pair(r.last_term, r.last_index) >= std::pair(log_.last_term(), log_.last());
}

bool raft::electable() const {
  // Also one that the configuration in force has voted out, until that has committed: it may be the only one whose log
  // a majority accepts (§4.2.2). It does not count its own vote then.
  for (auto at = configurations_.rbegin(); at != configurations_.rend(); ++at) {
    if (at->members.is_voter(options_.self)) return true;
    if (at->index <= commit_) return false;
  }
  return false;
}

void raft::start_pre_vote(time_point now) {
  votes_ = {options_.self};
  set_role(role::pre_candidate, {});
  for (const auto& id : members().voters)
    if (!is_self(id)) send_in_term(id, vote_request{true, false, state_.term.next(), log_.last(), log_.last_term()});
  count_votes(now);
}

void raft::campaign(time_point now, bool forced) {
  state_.term = state_.term.next();
  state_.voted_for = options_.self;
  persist_state();
  held_.clear();
  votes_.clear();
  own_vote_ = state_number_;
  own_vote_pending_ = true;
  set_role(role::candidate, {});
  reset_election_timer(now);
  // Only when the term and the own vote are durable: or a restart would campaign twice in one term.
  for (const auto& id : members().voters)
    if (!is_self(id)) send_in_term(id, vote_request{false, forced, state_.term, log_.last(), log_.last_term()});
}

void raft::count_votes(time_point now) {
  std::size_t granted = 0;
  for (const auto& id : votes_) granted += members().is_voter(id) ? 1 : 0;
  if (granted < members().majority()) return;
  if (role_ == role::pre_candidate) return campaign(now, false);
  if (role_ == role::candidate && !own_vote_pending_) become_leader(now);
}

void raft::become_leader(time_point now) {
  term_start_ = log_.last().next();
  peers_.clear();
  reads_.clear();
  round_times_.clear();
  lease_given_up_ = false;
  uncommitted_bytes_ = 0;
  for (auto index = std::max(commit_.next(), log_.first()); index <= log_.last(); index = index.next())
    uncommitted_bytes_ += log_.find(index)->payload.size();
  set_role(role::leader, options_.self);
  refresh_peers();
  append_local({state_.term, term_start_, entry_kind::noop, {}});
  quorum_check_at_ = now + options_.election_timeout;
  broadcast_heartbeat(now);
}

void raft::on(time_point now, const message& m, const vote_request& r) {
  // Who hears a leader ignores candidates, their terms too: a member that was cut off or removed must not unseat it,
  // and the lease counts on it (§4.2.3).
  if (!r.forced && loyal(now)) return;
  if (m.term > state_.term) become_follower(now, m.term, {});
  if (m.term < state_.term) return send_in_term(m.from, vote_response{r.pre, false, r.for_term});
  if (r.pre) return send_in_term(m.from, vote_response{true, log_is_current(r), r.for_term});
  const bool free = state_.voted_for.is_nil() || state_.voted_for == m.from;
  if (!free || !log_is_current(r)) return send_in_term(m.from, vote_response{false, false, r.for_term});
  if (state_.voted_for != m.from) {
    state_.voted_for = m.from;
    persist_state();
  }
  reset_election_timer(now);
  if (planted(planted_bug::vote_before_fsync)) return send(m.from, vote_response{false, true, r.for_term});
  send_in_term(m.from, vote_response{false, true, r.for_term});
}

void raft::on(time_point now, const message& m, const vote_response& r) {
  if (m.term > state_.term) return become_follower(now, m.term, {});
  if (!r.granted || m.term < state_.term) return;
  const bool asked = r.pre ? role_ == role::pre_candidate && r.for_term == state_.term.next()
                           : role_ == role::candidate && r.for_term == state_.term;
  if (!asked) return;
  votes_.insert(m.from);
  count_votes(now);
}

void raft::on(time_point now, const message& m, const timeout_now& /*r*/) {
  if (m.term > state_.term) return become_follower(now, m.term, {});
  if (m.term < state_.term || role_ == role::leader || !electable() || disk_stalled(now)) return;
  campaign(now, true);
}

}  // namespace troupe::consensus
