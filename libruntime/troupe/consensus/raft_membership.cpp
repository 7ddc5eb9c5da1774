#include <algorithm>
#include <troupe/base/codec.hpp>
#include <troupe/consensus/raft.hpp>

/// One voter at a time (§4.1, with the correction of July 2015), compaction (§5.1), transfer (§3.10).
namespace troupe::consensus {

result<log_index> raft::change(time_point now, const member_change& step) {
  now_ = now;
  const auto refuse = [](const char* why) { return error{errc::failed_precondition, why}; };
  TROUPE_TRY_VOID(accepts_proposals(0));
  if (commit_ < term_start_ && !planted(planted_bug::membership_change_before_own_term))
    return refuse("this leader has not committed an entry of its own term yet; try again");
  if (!members_settled() && !planted(planted_bug::two_membership_changes))
    return refuse("another change of the voters is under way; try again when it has committed");
  auto to = changed(members(), step);
  if (!to || validate(*to).has_error())
    return error{errc::invalid_argument, "this step changes nothing, or leaves no voter"};
  if (step.what == member_change::kind::promote && !caught_up(step.id))
    return refuse("this learner is too far behind to become a voter; try again later");
  if (to->voters != members().voters) {
    std::size_t reached = 0;
    for (const auto& id : to->voters) reached += is_self(id) || in_contact(id, now) ? 1 : 0;
    if (reached < to->majority())
      return refuse("too few of the voters after this step are in contact: nothing could commit");
  }
  const auto index = log_.last().next();
  entry e{state_.term, index, entry_kind::configuration, codec::encode(*to)};
  uncommitted_bytes_ += e.payload.size();
  append_local(std::move(e));
  replicate_ = true;
  return index;
}

bool raft::caught_up(const member_id& id) const {
  const auto found = peers_.find(id);
  return found != peers_.end() && found->second.match.value + options_.learner_lag_max >= log_.last().value;
}

void raft::refresh_peers() {
  std::erase_if(peers_, [&](const auto& p) { return !members().contains(p.first); });
  const auto add = [&](const member_id& id) {
    if (is_self(id) || peers_.contains(id)) return;
    auto& p = peers_[id];
    p.next = log_.last().next();
    p.heard = now_;  // one election timeout of patience
  };
  for (const auto& id : members().voters) add(id);
  for (const auto& id : members().learners) add(id);
}

void raft::after_commit_of_configuration() {
  // A leader that was voted out has done its last duty: the entry that says so is committed.
  if (role_ == role::leader && members_settled() && !members().is_voter(options_.self)) give_way(now_);
}

result<void> raft::transfer(time_point now, const member_id& to) {
  now_ = now;
  TROUPE_TRY_VOID(accepts_proposals(0));
  const auto found = peers_.find(to);
  if (found == peers_.end() || !members().is_voter(to) || found->second.match < commit_ || !in_contact(to, now))
    return error{errc::failed_precondition, "that member is no voter, or not close enough to lead now"};
  lease_given_up_ = true;  // for the rest of the term: the message may arrive at any time
  send(to, timeout_now{});
  return ok();
}

void raft::compact(time_point now, log_index index, std::shared_ptr<const bytes> state) {
  now_ = now;
  if (stopped_ || index <= snapshot_.index || index > commit_) return;
  const auto last_term = term_at(index);
  if (!last_term) return;
  // The configuration as of `index`, which is not the one in force if a later entry has changed it.
  auto at =
      std::find_if(configurations_.rbegin(), configurations_.rend(), [&](const auto& c) { return c.index <= index; });
  if (at == configurations_.rend()) at = std::prev(configurations_.rend());
  const active_configuration kept = *at;
  // Who joined behind the first entry does not know yet who the members were then. A snapshot has to say it: later.
  if (kept.members.voters.empty()) return;
  snapshot_ = {index, planted(planted_bug::snapshot_without_last_term) ? troupe::term{1} : *last_term, kept.members,
               std::move(state)};
  std::erase_if(configurations_, [&](const auto& c) { return c.index <= index; });
  configurations_.insert(configurations_.begin(), kept);
  if (index.value > options_.entries_kept_behind_snapshot)
    log_.drop_to(std::min(log_.last(), log_index{index.value - options_.entries_kept_behind_snapshot}));
  auto& write = to_persist();
  write.save = snapshot_;
  write.purge_before = log_.first();
}

}  // namespace troupe::consensus
