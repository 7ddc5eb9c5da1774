#include <tests/simulation/simulation.hpp>

/// Two dances of four voters and a learner that chance alone meets too seldom. Both begin with a leader that is cut off
/// together with the learner while it makes it a voter: an entry that only the two of them have, and that a majority
/// overrules.
///
///   before its own term   the next leader is cut off with one voter as soon as it is elected, and asked at once for a
///                         change: its majority and that of the first leader need not meet (Raft's mailing list, 2015)
///   rolled back           the first leader hears of the next one, and its entry is cut; then the next leader and one
///                         voter change the voters by themselves, while the others look for a leader: whoever still
///                         believed in the entry that was cut would find a majority
namespace troupe::simulation {

using consensus::member_change;

namespace {
constexpr sim_time look_interval = 5 * millisecond;
}

/// What one side of a cut has; the others are the other side.
void simulation::cut_apart(const std::vector<std::size_t>& side) {
  ++cut_number_;  // no heal of an earlier cut ends this one
  ++out_.cuts;
  std::vector<bool> on_side(nodes_.size());
  for (const auto slot : side) on_side[slot] = true;
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    for (std::size_t j = 0; j < nodes_.size(); ++j) cut_[i][j] = on_side[i] != on_side[j];
}

void simulation::mend_network() {
  ++cut_number_;
  for (auto& row : cut_) row.assign(nodes_.size(), false);
}

void simulation::begin_dance() {
  if (dance_ || !calm()) return;
  auto* leader = some_leader();
  if (leader == nullptr || !leader->raft->leads_with_committed_entry()) return;
  const auto& members = leader->raft->members();
  if (members.voters.size() != 4 || members.learners.empty()) {
    // Back to where it can begin; as a user would do it.
    for (auto& n : nodes_) {
      if (n.slot == leader->slot) continue;
      const bool votes = members.is_voter(n.id);
      const auto what = !members.contains(n.id) ? member_change::kind::add_learner
                        : votes                 ? member_change::kind::demote
                                                : member_change::kind::promote;
      if (votes ? members.voters.size() <= 4 : members.voters.size() >= 4) continue;
      if (leader->raft->change(local(*leader), {what, n.id})) break;
    }
    return carry_out(*leader);
  }
  dance d;
  d.first = leader->slot;
  d.rolled_back = random_.coin();
  for (const auto& n : nodes_)
    if (members.learners.contains(n.id)) d.learner = n.slot;
  d.until = time_.now() + 12 * std::chrono::nanoseconds(swarm_.raft.election_timeout).count();
  cut_apart({d.first, d.learner});
  if (!leader->raft->change(local(*leader), {member_change::kind::promote, nodes_[d.learner].id}))
    return mend_network();
  trace([&] { return "a dance begins: " + leader->name() + " makes a voter that only the two of them know of"; });
  dance_ = d;
  carry_out(*leader);
  look_at_dance();
}

/// Called in the very moment of an election, before anything of the new leader's leaves.
void simulation::dance_elects(node& n) {
  if (healed_ || !dance_ || dance_->second || n.slot == dance_->first || n.slot == dance_->learner) return;
  dance_->second = n.slot;
  std::vector<std::size_t> others;
  for (const auto& other : nodes_)
    if (other.slot != n.slot && other.slot != dance_->first && other.slot != dance_->learner)
      others.push_back(other.slot);
  dance_->with = others[random_.below(others.size())];
  if (dance_->rolled_back) {
    mend_network();  // until the first leader's entry is cut
    time_.after(random_.between(20 * millisecond, 120 * millisecond), [this] { dance_changes(); });
  } else {
    cut_apart({n.slot, dance_->with});
    time_.after(0, [this] { dance_changes(); });
  }
}

/// The second leader, with one voter that hears it, leaves out the first leader or the voter that does not hear it.
void simulation::dance_changes() {
  if (!dance_ || !dance_->second || healed_) return;
  auto& leader = nodes_[*dance_->second];
  if (!leader.up || leader.paused || leader.raft->role() != consensus::role::leader) return;
  cut_apart({leader.slot, dance_->with});
  auto leaves = dance_->first;
  if (dance_->rolled_back)
    for (const auto& n : nodes_)
      if (n.slot != leader.slot && n.slot != dance_->with && n.slot != dance_->first && n.slot != dance_->learner)
        leaves = n.slot;
  const auto asked = leader.raft->change(local(leader), {member_change::kind::demote, nodes_[leaves].id});
  trace([&] {
    return leader.name() + " leaves out " + nodes_[leaves].name() + (asked ? "" : ": " + asked.error().message());
  });
  carry_out(leader);
}

void simulation::look_at_dance() {
  if (!dance_) return;
  if (time_.now() < dance_->until && !healed_) return time_.after(look_interval, [this] { look_at_dance(); });
  dance_.reset();
  if (!healed_) mend_network();
}

}  // namespace troupe::simulation
