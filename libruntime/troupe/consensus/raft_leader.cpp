#include <algorithm>
#include <string>
#include <troupe/consensus/raft.hpp>

/// What a leader does: a pipeline to every follower (§10.2), commit (§3.6.2), quorum checks, giving way.
namespace troupe::consensus {

namespace {
/// A part of a snapshot is sent again after so many heartbeats without an answer.
constexpr unsigned heartbeats_before_chunk_again = 5;
constexpr std::size_t round_times_kept = 64;
}  // namespace

result<void> raft::accepts_proposals(std::size_t bytes) const {
  if (stopped_ || role_ != role::leader)
    return error{errc::unavailable, "this member does not lead the metadata" +
                                        (leader_.is_nil() ? std::string("; no leader is known")
                                                          : "; " + leader_.value.short_string() + " does")};
  if (bytes > entry_bytes_max)
    return error{errc::invalid_argument, "a command of " + std::to_string(bytes) + " bytes; at most " +
                                             std::to_string(entry_bytes_max) + " are taken"};
  if (planted(planted_bug::proposals_not_limited)) return ok();
  if (log_.last().value - std::min(commit_, log_.last()).value >= options_.uncommitted_entries_max ||
      uncommitted_bytes_ + bytes > options_.uncommitted_bytes_max)
    return error{errc::resource_exhausted, "too many commands wait to be committed; try again later"};
  return ok();
}

result<log_index> raft::propose(time_point now, bytes command) {
  now_ = now;
  TROUPE_TRY_VOID(accepts_proposals(command.size()));
  const auto index = log_.last().next();
  uncommitted_bytes_ += command.size();
  append_local({state_.term, index, entry_kind::command, std::move(command)});
  replicate_ = true;
  return index;
}

void raft::replicate_all() {
  replicate_ = false;
  for (auto& [id, p] : peers_) fill_pipeline(id, p);
}

void raft::fill_pipeline(const member_id& id, peer& p) {
  if (p.sending) return;  // the next part goes when the one before is answered
  if (p.probing && p.probe_out) return;
  while (p.next <= log_.last() && p.flight.size() < options_.appends_in_flight_max) {
    if (p.next < log_.first() || !term_at(log_index{p.next.value - 1})) return send_chunk(id, p);
    auto entries = log_.copy(p.next, options_.batch_bytes, options_.batch_entries_max);
    const auto last = entries.back().index;
    send_append(id, p, std::move(entries));
    if (p.probing) {
      p.probe_out = true;
      return;
    }
    p.flight.push_back(last);
    p.next = last.next();
  }
}

void raft::send_append(const member_id& id, peer& p, std::vector<entry> entries) {
  const log_index prev{p.next.value - 1};
  send(id, append_request{prev, term_at(prev).value_or(troupe::term{}), commit_, round_, std::move(entries)});
}

void raft::send_chunk(const member_id& id, peer& p) {
  if (!p.sending || p.offset >= p.sending->state->size()) {
    p.sending = snapshot_;  // perhaps a newer one than at the last attempt
    p.offset = 0;
    if (!p.sending->state) p.sending->state = std::make_shared<const bytes>();
  }
  p.flight.clear();
  p.heartbeats_since_chunk = 0;
  const auto& state = *p.sending->state;
  send(id, snapshot_chunk{p.sending->index, p.sending->term, p.sending->members, state.size(), p.offset, round_,
                          state.substr(p.offset, options_.snapshot_chunk_bytes)});
}

void raft::broadcast_heartbeat(time_point now) {
  ++round_;
  round_times_.emplace_back(round_, now);
  if (round_times_.size() > round_times_kept) round_times_.pop_front();
  heartbeat_at_ = now + options_.heartbeat_interval;
  for (auto& [id, p] : peers_) {
    if (p.sending) {
      send(id, append_request{{}, {}, {}, round_, {}});  // agrees with any log; only says who leads
      if (++p.heartbeats_since_chunk >= heartbeats_before_chunk_again) send_chunk(id, p);
    } else if (p.next <= log_.base() || !term_at(log_index{p.next.value - 1})) {
      send_chunk(id, p);
    } else if (p.probing) {
      p.probe_out = true;
      send_append(id, p, log_.copy(p.next, options_.batch_bytes, options_.batch_entries_max));
    } else {
      send_append(id, p, {});  // finds out as well whether something in flight was lost
      fill_pipeline(id, p);
    }
  }
}

raft::peer* raft::heard_from(time_point now, const message& m, std::uint64_t round) {
  if (m.term > state_.term) {
    become_follower(now, m.term, {});
    return nullptr;
  }
  if (role_ != role::leader || m.term < state_.term) return nullptr;
  const auto found = peers_.find(m.from);
  if (found == peers_.end()) return nullptr;
  found->second.heard = now;
  found->second.heard_ever = true;
  found->second.round = std::max(found->second.round, std::min(round, round_));
  return &found->second;
}

void raft::on(time_point now, const message& m, const append_response& r) {
  auto* p = heard_from(now, m, r.round);
  if (p == nullptr) return;
  if (r.accepted) {
    const auto verified = std::min(r.verified, log_.last());
    p->match = std::max(p->match, std::min(r.match, log_.last()));
    if (p->sending && verified >= p->sending->index) {
      p->sending.reset();
      p->probing = true;  // what follows the snapshot is sent as after an election
      p->next = verified.next();
    }
    if (!p->sending) {
      if (p->probing && r.prev_index.value + 1 >= p->next.value) p->next = std::max(p->next, verified.next());
      p->next = std::max(p->next, p->match.next());
      p->probing = false;
      p->probe_out = false;
      while (!p->flight.empty() && p->flight.front() <= p->match) p->flight.pop_front();
    }
    recompute_commit();
    if (role_ != role::leader) return;
    p = &peers_.find(m.from)->second;
    fill_pipeline(m.from, *p);
  } else if (!p->sending) {
    // A late answer about what has been settled since says nothing.
    if (r.prev_index <= p->match || r.prev_index >= p->next) return;
    if (p->probing && r.prev_index.next() != p->next) return;
    if (planted(planted_bug::lost_append_not_resent) && !p->probing) return;
    p->next = next_after_rejection(*p, r);
    p->probing = true;
    p->probe_out = false;
    p->flight.clear();
    if (p->next > log_.last()) {
      p->probe_out = true;
      send_append(m.from, *p, {});
    } else {
      fill_pipeline(m.from, *p);
    }
  }
}

log_index raft::next_after_rejection(const peer& p, const append_response& r) const {
  log_index agrees{std::min(r.match.value, r.prev_index.value - 1)};
  while (agrees > p.match && term_at(agrees).value_or(troupe::term{}) > r.hint_term)
    agrees = log_index{agrees.value - 1};
  return std::max(p.match, agrees).next();
}

void raft::on(time_point now, const message& m, const snapshot_progress& r) {
  auto* p = heard_from(now, m, r.round);
  if (p == nullptr || !p->sending || p->sending->index != r.last_index) return;
  const auto total = p->sending->state->size();
  if (r.next_offset > total || r.next_offset == p->offset) return;  // a late one; the heartbeat repeats what was lost
  p->offset = r.next_offset;
  if (p->offset < total) send_chunk(m.from, *p);
}

void raft::recompute_commit() {
  std::vector<log_index> matches;
  for (const auto& id : members().voters) {
    if (is_self(id)) {
      matches.push_back(planted(planted_bug::leader_counts_before_fsync) ? log_.last() : durable_);
    } else {
      const auto found = peers_.find(id);
      matches.push_back(found == peers_.end() ? log_index{} : found->second.match);
    }
  }
  if (planted(planted_bug::learner_counts))
    for (const auto& id : members().learners)
      if (const auto found = peers_.find(id); found != peers_.end()) matches.push_back(found->second.match);
  const auto nth = matches.begin() + static_cast<std::ptrdiff_t>(members().majority() - 1);
  std::nth_element(matches.begin(), nth, matches.end(), std::greater<>{});
  const auto candidate = std::min(*nth, log_.last());
  if (candidate <= commit_) return;
  // Entries of earlier terms commit only together with one of this term: counting them is Raft's figure 8.
  if (term_at(candidate) != state_.term && !planted(planted_bug::commit_old_term_by_count)) return;
  advance_commit(candidate);
  if (role_ != role::leader) return;
  complete_reads();
  // Followers that have everything would hear of it with the next heartbeat only.
  for (auto& [id, p] : peers_)
    if (!p.probing && !p.sending && p.next > log_.last()) send_append(id, p, {});
}

void raft::check_quorum(time_point now) {
  quorum_check_at_ = now + options_.election_timeout;
  std::size_t reached = 0;
  for (const auto& id : members().voters) reached += is_self(id) || in_contact(id, now) ? 1 : 0;
  if (reached < members().majority()) become_follower(now, state_.term, {});
}

void raft::give_way(time_point now) {
  const member_id* best = nullptr;
  log_index furthest;
  for (const auto& [id, p] : peers_) {
    if (!members().is_voter(id) || !in_contact(id, now) || (best != nullptr && p.match <= furthest)) continue;
    best = &id;
    furthest = p.match;
  }
  if (best != nullptr) send(*best, timeout_now{});
  become_follower(now, state_.term, {});
}

bool raft::in_contact(const member_id& id, time_point now) const {
  const auto found = peers_.find(id);
  return found != peers_.end() && now - found->second.heard <= 2 * options_.election_timeout;
}

}  // namespace troupe::consensus
