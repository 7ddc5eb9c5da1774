#include <algorithm>
#include <troupe/membership/lease_watch.hpp>

namespace troupe::membership {

void lease_watch::confirmed(time_point sent_at) { since_ = since_ ? std::max(*since_, sent_at) : sent_at; }

void lease_watch::heard(const member_id& who, time_point now) {
  auto& o = others_[who];
  o.heard_at = now;
  o.heard = true;
  o.gone = false;
}

void lease_watch::named(const member_id& who, const member_id& leader, time_point now) {
  heard(who, now);
  auto& o = others_[who];
  o.names = leader;
  o.named_at = now;
}

void lease_watch::gone(const member_id& who) { others_[who].gone = true; }

standing lease_watch::look(time_point now, const std::set<member_id>& voters, const member_id& self) {
  if (!since_) {
    acts_until_ = now + lease_;
    return standing::unconfirmed;
  }
  if (recent(*since_, now)) {
    acts_until_ = *since_ + lease_;
    reason_.clear();
    return standing::holds;
  }
  // What was heard last may be a little younger than the lease is: who led then says nothing about why it was not
  // confirmed. So the reason that is told counts as silent who has missed half of a lease.
  const auto majority = voters.size() / 2 + 1;
  std::size_t silent = 0, quiet = 0;
  bool somebody_leads = false;
  for (const auto& id : voters) {
    if (id == self) continue;
    const auto at = others_.find(id);
    const bool gone = at != others_.end() && at->second.gone;
    if (gone) continue;
    const bool heard = at != others_.end() && at->second.heard;
    if (!heard || !recent(at->second.heard_at, now)) ++silent;
    if (!heard || now >= at->second.heard_at + lease_ / 2) ++quiet;
  }
  for (const auto& [id, o] : others_)
    if (!o.gone && recent(o.named_at, now) && !o.names.is_nil() && o.names != self) somebody_leads = true;
  if (silent < majority && !somebody_leads) {
    granted_until_ = acts_until_ = now + lease_;  // whoever leads next grants a whole one first
    reason_.clear();
    return standing::leaderless;
  }
  if (now < granted_until_) return standing::leaderless;
  reason_ = "its lease has run out: no leader of the metadata has confirmed it for " +
            std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(now - *since_).count()) + " ms, and " +
            (quiet >= majority ? std::to_string(quiet) + " of " + std::to_string(voters.size()) + " voters are silent"
                               : std::string("somebody else leads"));
  return standing::lost;
}

}  // namespace troupe::membership
