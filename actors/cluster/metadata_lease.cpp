#include <actors/cluster/metadata_member.hpp>

/// Whether this member still has its lease, by its own clock.
namespace troupe::actors {

/// Before anything else that this process does after a pause: leaders here ask until when they may answer.
void metadata_member::watch_lease(steady_time now) {
  const auto& self = core_.options.self.member;
  std::set<member_id> voters;
  if (raft_) voters = raft_->members().voters;
  if (leads_) {
    std::size_t met = 0;
    for (const auto& id : voters) met += id == self || raft_->in_contact(id, now) ? 1 : 0;
    if (duties_ && duties_->begun() && met >= raft_->members().majority()) lease_.confirmed(now);
  }
  const auto how = lease_.look(now, voters, self);
  core_.note_lease(lease_.acts_until(), how == membership::standing::lost ? lease_.reason() : std::string());
}

void metadata_member::nobody_there(const member_id& who) { lease_.gone(who); }

void metadata_member::received_beat(peer_link& from, const wire::heartbeat_seen& seen) {
  if (seen.lease) lease_.confirmed(steady_time(std::chrono::steady_clock::duration(seen.sent_ns)));
  const auto now = std::chrono::steady_clock::now();
  lease_.named(from.member(), seen.leader.id, now);
  if (seen.lease) watch_lease(now);
  if (from.member() != seen.leader.id || !in_configuration()) hinted(seen.leader);
}

}  // namespace troupe::actors
