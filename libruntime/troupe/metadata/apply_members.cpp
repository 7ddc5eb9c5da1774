#include <algorithm>
#include <troupe/base/limits.hpp>
#include <troupe/base/text.hpp>
#include <troupe/metadata/checks.hpp>
#include <troupe/metadata/state.hpp>

/// What members come, go and die: register_member, set_member_state, and what a member's end means for imports, commits
/// and supervisors.
namespace troupe::metadata {

result<response> state::on(const register_member& c, std::int64_t) {
  const auto& who = c.who;
  if (who.id.is_nil()) return error{errc::invalid_argument, "a member without an id cannot register"};
  if (!who.name.empty()) TROUPE_TRY_VOID(check_name("node", who.name));
  TROUPE_TRY_VOID(checks::address(who.address));
  if (removed_.contains(who.id))
    return error{errc::failed_precondition, "node " + to_string(who.id) +
                                                " was removed from the cluster, and its copies count as gone. Give "
                                                "this node an empty data directory"};
  if (access_.revoked.contains(who.id))
    return error{errc::failed_precondition, "node " + to_string(who.id) +
                                                " was revoked: its certificate is not believed any more. Give this "
                                                "node an empty data directory and a new join token"};
  const auto at = members_.find(who.id);
  const bool known = at != members_.end();
  if (who.incarnation <= (known ? at->second.incarnation : incarnation{}))
    return error{errc::failed_precondition, "node " + (known ? at->second.name : who.name) +
                                                " registers as incarnation " + to_string(who.incarnation) + ", but " +
                                                (known ? to_string(at->second.incarnation) : "0") +
                                                " is known: its data directory is a copy, or an old one was put back. "
                                                "Give this node an empty data directory"};
  if (!known && members_.size() >= limits::members_max)
    return error{errc::resource_exhausted,
                 "the cluster has " + std::to_string(limits::members_max) + " members already"};
  auto name = !who.name.empty() ? who.name : known ? at->second.name : free_name();
  if (const auto* other = find_member(name); other != nullptr && other->id != who.id)
    return error{errc::already_exists,
                 "another node (" + other->address + ") has the name " + name + ": choose another"};

  auto& m = members_[who.id];
  const bool draining = known && m.draining;
  m = who;
  m.draining = draining;
  m.name = std::move(name);
  m.version = checks::shorten(who.version);
  m.state = member_state::alive;
  m.state_reason.clear();
  if (known) end_duties(m.id, false);
  assign_supervisors();
  return response{.text = m.name};
}

result<response> state::on(const set_member_state& c, std::int64_t) {
  if (c.state > member_state::left)
    return error{errc::invalid_argument, "member state " + std::to_string(static_cast<int>(c.state)) + " is not known"};
  const auto at = members_.find(c.id);
  if (at == members_.end()) return error{errc::not_found, "member " + to_string(c.id) + " is not known"};
  auto& m = at->second;
  if (m.incarnation != c.incarnation)
    return error{errc::aborted, "node " + m.name + " is at incarnation " + to_string(m.incarnation) + ", not " +
                                    to_string(c.incarnation)};
  const bool gone = m.state == member_state::dead || m.state == member_state::left;
  const bool goes = c.state == member_state::dead || c.state == member_state::left;
  if (gone && !goes)
    return error{errc::aborted, "node " + m.name + " was found " +
                                    (m.state == member_state::dead ? "dead" : "to have left") +
                                    ": only a restart, with a higher incarnation, brings it back"};
  m.state = c.state;
  m.state_reason = c.state == member_state::alive ? std::string() : checks::shorten(c.reason);
  if (goes && !gone) end_duties(m.id, true);
  if (c.state == member_state::alive) assign_supervisors();
  return response{.text = m.name};
}

bool state::is_live(member_id id) const {
  const auto* m = find_member(id);
  return m != nullptr && (m->state == member_state::alive || m->state == member_state::suspect);
}

bool state::is_current(const replica_ref& who) const {
  const auto* m = find_member(who.member);
  return m != nullptr && m->incarnation == who.incarnation && is_live(who.member);
}

bool state::takes_copies(member_id id) const {
  const auto* m = find_member(id);
  return m != nullptr && m->state == member_state::alive && !m->draining;
}

std::string state::free_name() const {
  std::set<std::string_view> taken;
  for (const auto& [id, m] : members_) taken.insert(m.name);
  for (std::size_t i = 1;; ++i)
    if (auto name = "node" + std::to_string(i); !taken.contains(name)) return name;
}

/// What the member held in memory is gone: map outputs, imports, supervisors. `disk_is_gone`: its files cannot be read
/// either, until it returns.
void state::end_duties(member_id id, bool disk_is_gone) {
  std::vector<dataset_id> imports;
  for (const auto& [name, dataset] : creating_names_)
    if (datasets_.at(dataset).importer == id) imports.push_back(dataset);
  for (const auto dataset : imports) drop_creating(dataset);
  for (const auto running : running_) {
    auto& j = jobs_.at(running);
    forget_commits(j, id, disk_is_gone);
    if (j.supervisor != id) continue;
    j.supervisor.reset();
    j.supervisor_epoch = j.supervisor_epoch.next();  // what the old supervisor still sends is stale from here on
  }
  assign_supervisors();
}

/// Map outputs on the member count as not done. A written segment counts as long as a live member has a copy of it.
void state::forget_commits(job& j, member_id id, bool disk_is_gone) {
  for (std::size_t stage = 0; stage < j.stages.size(); ++stage) {
    const bool last = stage + 1 == j.stages.size();
    auto& progress = j.stages[stage];
    for (auto at = progress.committed.begin(); at != progress.committed.end();) {
      const auto& [task, commit] = *at;
      bool lost = false;
      if (!last) {
        lost = commit.where == id;
      } else if (disk_is_gone && commit.output) {
        const auto& holders = commit.output->holders;
        lost = std::none_of(holders.begin(), holders.end(), [this](member_id h) { return is_live(h); });
      }
      if (lost) progress.first_digests.emplace(task, commit.digest);
      at = lost ? progress.committed.erase(at) : std::next(at);
    }
  }
}

std::optional<member_id> state::choose_supervisor() const {
  std::map<member_id, std::size_t> load;
  for (const auto& [id, m] : members_)
    if (m.state == member_state::alive) load.emplace(id, 0);
  for (const auto running : running_)
    if (const auto& supervisor = jobs_.at(running).supervisor)
      if (const auto at = load.find(*supervisor); at != load.end()) ++at->second;
  const auto least =
      std::min_element(load.begin(), load.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return least == load.end() ? std::nullopt : std::optional(least->first);
}

/// Gives every job without a supervisor one, as soon as a member is alive.
void state::assign_supervisors() {
  for (const auto running : running_)
    if (auto& j = jobs_.at(running); !j.supervisor) j.supervisor = choose_supervisor();
}

}  // namespace troupe::metadata
