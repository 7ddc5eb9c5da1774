#include <algorithm>
#include <string>
#include <troupe/consensus/raft.hpp>

/// What a follower does with entries (§3.5) and snapshots (§5) of its leader.
namespace troupe::consensus {

bool raft::follow(time_point now, const message& m) {
  if (m.term < state_.term) {  // tells a leader of an earlier term that there is a later one
    send_in_term(m.from, append_response{});
    return false;
  }
  if (m.term == state_.term && (role_ == role::leader || (!leader_.is_nil() && leader_ != m.from))) {
    alarm("two leaders in term " + to_string(m.term) + ": " + leader_.value.short_string() + " and " +
          m.from.value.short_string());
    return false;
  }
  if (m.term > state_.term || role_ != role::follower || leader_ != m.from) become_follower(now, m.term, m.from);
  heard_leader_ = now;
  heard_leader_ever_ = true;
  reset_election_timer(now);
  return true;
}

void raft::on(time_point now, const message& m, const append_request& r) {
  if (!follow(now, m)) return;
  const bool cuts_always = planted(planted_bug::log_cut_below_commit);
  if (planted(planted_bug::commit_beyond_match)) advance_commit(std::min(r.commit, log_.last()));
  auto prev = r.prev_index;
  if (prev < commit_ && !cuts_always) {
    prev = commit_;  // what is committed agrees; it may not even be in memory any more
  } else {
    const auto known = term_at(prev);
    if (!known || (*known != r.prev_term && !planted(planted_bug::prev_term_not_checked))) return reject(m, r);
  }
  if (cuts_always && !r.entries.empty()) {
    const auto from = std::max({prev.next(), log_.first(), snapshot_.index.next()});
    if (from <= log_.last()) cut_from(from);
  }
  bool appended = false;
  for (const auto& e : r.entries) {
    const auto known = term_at(e.index);
    if (known && *known != e.term && e.index <= commit_)
      return alarm("committed entry " + to_string(e.index) + " of term " + to_string(*known) +
                   " would be replaced: " + describe(m));
    if (known || e.index <= prev) {
      if (!known || *known == e.term || e.index < log_.first()) continue;
      cut_from(e.index);
    }
    if (e.index != log_.last().next()) continue;
    append_local(e);
    appended = true;
  }
  const auto verified =
      std::min(log_.last(), std::max(log_index{r.prev_index.value + r.entries.size()}, cuts_always ? prev : commit_));
  advance_commit(std::min(r.commit, verified));
  acknowledge(m, r, verified, appended);
}

void raft::acknowledge(const message& m, const append_request& r, log_index verified, bool appended) {
  append_response answer{true, r.round, r.prev_index, verified, verified, {}};
  if (planted(planted_bug::ack_before_fsync)) return send(m.from, answer);
  if (appended) return send_when_durable(m.from, answer);
  // A heartbeat's answer does not wait for entries that are still being written; it only may not count them.
  answer.match = std::min(verified, durable_);
  send_in_term(m.from, answer);
}

void raft::reject(const message& m, const append_request& r) {
  append_response answer{false, r.round, r.prev_index, commit_, {}, {}};
  // The last place before prev whose term is not above prev's: everything after it cannot agree.
  auto hint = std::min(log_.last(), log_index{r.prev_index.value - 1});
  while (hint > commit_ && term_at(hint).value_or(troupe::term{}) > r.prev_term) hint = log_index{hint.value - 1};
  answer.match = hint;
  answer.hint_term = term_at(hint).value_or(troupe::term{});
  send_in_term(m.from, answer);
}

void raft::on(time_point now, const message& m, const snapshot_chunk& r) {
  if (!follow(now, m)) return;
  if (r.last_index <= commit_ && !planted(planted_bug::old_snapshot_installed)) {
    incoming_.reset();
    return send_in_term(m.from, append_response{true, r.round, {}, commit_, std::min(commit_, durable_), {}});
  }
  const bool continues = incoming_ && incoming_from_ == m.from && incoming_->last_index == r.last_index &&
                         incoming_->last_term == r.last_term && incoming_->total == r.total;
  if (!continues && r.offset == 0) {
    incoming_ = r;
    incoming_from_ = m.from;
  } else if (continues && r.offset == incoming_->data.size()) {
    incoming_->data.append(r.data);
  }
  const bool mine = incoming_ && incoming_from_ == m.from && incoming_->last_index == r.last_index;
  if (mine && incoming_->data.size() == incoming_->total) return install(m, r.round);
  send_in_term(m.from, snapshot_progress{r.last_index, mine ? incoming_->data.size() : 0, r.round});
}

void raft::install(const message& m, std::uint64_t round) {
  auto parts = std::move(*incoming_);
  incoming_.reset();
  const bool log_agrees = parts.last_index >= log_.base() && log_.term_at(parts.last_index) == parts.last_term &&
                          !planted(planted_bug::old_snapshot_installed);
  const auto committed_before = commit_;
  snapshot_ = {parts.last_index, parts.last_term, std::move(parts.members),
               std::make_shared<const bytes>(std::move(parts.data))};
  if (log_agrees) {
    log_.drop_to(snapshot_.index);
    std::erase_if(configurations_, [&](const auto& c) { return c.index <= snapshot_.index; });
  } else {
    log_.reset(snapshot_.index, snapshot_.term);
    lower_durable(committed_before);
    configurations_.clear();
  }
  configurations_.insert(configurations_.begin(), {snapshot_.index, snapshot_.members});
  commit_ = snapshot_.index;
  // On the disk too the snapshot comes behind everything that was decided before, and alone.
  flush_persist();
  auto& write = to_persist();
  write.save = snapshot_;
  write.purge_before = log_.first();
  effects_.emplace_back(effects::restore{snapshot_});
  effects_.emplace_back(effects::members_changed{members()});
  complete_asked_reads();
  send_when_durable(m.from, append_response{true, round, {}, snapshot_.index, snapshot_.index, {}});
}

}  // namespace troupe::consensus
