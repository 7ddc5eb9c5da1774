#include <actors/cluster/metadata_member.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <troupe/base/codec.hpp>

/// The way of requests and reads, and what comes from other members.
namespace troupe::actors {
namespace asio = boost::asio;
using wire::frame_type;

namespace {
constexpr std::chrono::seconds leaderless_worth_saying{2};  ///< an election takes a fraction of it
/// Reads of the node itself, beside the barriers, which count from 1.
constexpr std::uint64_t own_reads = std::uint64_t{1} << 63;
}  // namespace

// Requests

void metadata_member::submit(request_id id, const bytes& envelope) {
  if (const auto* known = core_.state.answer_of(id)) return core_.settle(id, result<metadata::response>(*known));
  if (leads_) return take(envelope, {});
  const auto at = leader_known();
  // Without a way to the leader it waits until there is one: see resubmit.
  if (at.id.is_nil() || !links_->send(at.id, frame_type::propose, envelope)) resubmit_ = true;
}

void metadata_member::refuse(const request_id& id, const origin& from, const error& why) {
  if (!from) return core_.settle(id, why);
  from->push(frame_type::refused, codec::encode(wire::make_answer(id, why, {})));
}

/// At the leader: an envelope of this node or of another one.
void metadata_member::take(bytes encoded, const origin& from) {
  const auto decoded = codec::decode<metadata::envelope>(encoded, "a proposed command");
  if (!decoded || decoded->id.is_nil() || encoded.size() > core_.limits.command_bytes_max) {
    core_.log.warning("metadata", "node " + (from ? to_string(from->member()) : std::string("here")) +
                                      " proposed what is no command");
    return;
  }
  const auto id = decoded->id;
  if (const auto* known = core_.state.answer_of(id)) {
    if (!from) return core_.settle(id, result<metadata::response>(*known));
    from->push(frame_type::answered, codec::encode(wire::make_answer(id, *known, core_.state.applied())));
    return;
  }
  // Whoever has no place in the log yet, may be refused one, or gives it up, does not learn the answer from the log.
  const auto* verdict = std::get_if<metadata::set_member_state>(&decoded->command);
  const bool stranger = from && (!raft_->members().contains(from->member()) ||
                                 std::holds_alternative<metadata::register_member>(decoded->command) ||
                                 (verdict != nullptr && verdict->id == from->member()));
  if (inflight_.contains(id)) {  // its entry is on the way, and is its answer
    if (stranger) strangers_.insert_or_assign(id, from);
    return;
  }
  // Where others vote it gives way to one of them within a moment, and who asked hears of it.
  if (disk_full_ && raft_->members().voters.size() <= 1)
    return refuse(id, from,
                  {errc::resource_exhausted, "the disk with the metadata log of the leading node is full: free space"});
  if (waiting_.size() >= core_.limits.requests_max || waiting_bytes_ >= core_.limits.request_bytes_max)
    return refuse(id, from,
                  {errc::resource_exhausted, "too many metadata commands wait for the leader's disk: try again later"});
  inflight_.insert(id);
  if (stranger) strangers_.insert_or_assign(id, from);
  waiting_bytes_ += encoded.size();
  waiting_.push_back({std::move(encoded), from, id});
  pump();
}

/// Hands what waits to consensus, as far as it takes more.
void metadata_member::pump() {
  if (waiting_.empty() || !raft_ || !leads_) return;
  const auto now = std::chrono::steady_clock::now();
  while (!waiting_.empty()) {
    auto& first = waiting_.front();
    const auto size = first.envelope.size();
    auto index = raft_->propose(now, first.envelope);
    if (!index && index.error().code() == errc::resource_exhausted) break;  // when something has committed
    if (!index && index.error().code() == errc::invalid_argument) {
      refuse(first.id, first.from, index.error());
      inflight_.erase(first.id);
    }
    // `unavailable`: it leads no more, and who asked hears of the next leader.
    waiting_bytes_ -= size;
    waiting_.pop_front();
  }
  schedule();
}

/// Everything under way goes to the leader again. What an earlier leader was sent may be committed already, so first
/// this node learns what was committed until now: the answer is then here. What is still in the new leader's log, the
/// leader knows.
void metadata_member::resubmit() {
  if (!resubmit_ || resubmit_read_ || !reaches_leader() || core_.is_fenced()) return;
  if (!core_.has_requests()) {
    resubmit_ = false;
    return;
  }
  const bool forgotten =
      raft_ && raft_->leader().is_nil() && std::chrono::steady_clock::now() - leaderless_since_ >= core_.limits.lease;
  // A node that joins, or was given up, gets no entries yet; what it asks for is refused when it is repeated.
  if (!in_configuration() || forgotten) {
    resubmit_ = false;
    return core_.submit_all();
  }
  const consensus::read_id id{own_reads + next_resubmit_++};
  if (!raft_->read(std::chrono::steady_clock::now(), id)) return;  // tried again by tick
  resubmit_read_ = id;
  schedule();
}

void metadata_member::applied(log_index, const metadata::envelope& what, const result<metadata::response>& answer,
                              bool repeated) {
  inflight_.erase(what.id);
  if (const auto at = strangers_.find(what.id); at != strangers_.end()) {
    if (const auto link = at->second.lock())
      link->push(frame_type::answered, codec::encode(wire::make_answer(what.id, answer, core_.state.applied())));
    strangers_.erase(at);
  }
  if (repeated || !answer) return;
  const auto self = core_.options.self.member;
  const auto* registered = std::get_if<metadata::register_member>(&what.command);
  const auto* verdict = std::get_if<metadata::set_member_state>(&what.command);
  if (registered != nullptr)
    links_->note_address(registered->who.id, registered->who.incarnation, registered->who.address);
  if (registered != nullptr && registered->who.id != self)
    links_->dismiss_older(registered->who.id, registered->who.incarnation, registered->who.address);
  if (duties_) duties_->applied(what.command, answer, std::chrono::steady_clock::now());
  if (const auto* removed = std::get_if<metadata::remove_member>(&what.command)) {
    if (removed->id == self) return core_.fence("it was removed from the cluster");
    links_->dismiss(removed->id, troupe::incarnation{UINT64_MAX}, "it was removed from the cluster");
  }
  if ((registered != nullptr && registered->who.id == self) || (verdict != nullptr && verdict->id == self))
    core_.look_for_fence();
}

/// Answers that the leader gave at once wait here until their entry is applied, so that whoever asked sees the effect.
void metadata_member::settle_answers() {
  for (auto at = answers_.begin(); at != answers_.end();) {
    if (at->second.applied > core_.state.applied()) {
      ++at;
      continue;
    }
    auto answer = std::move(at->second);
    at = answers_.erase(at);
    const auto id = answer.id;
    core_.settle(id, wire::result_of(std::move(answer)));
  }
}

// Reads

void metadata_member::ask_barrier(std::uint64_t number) {
  if (raft_ && raft_->read(std::chrono::steady_clock::now(), consensus::read_id{number}))
    schedule();
  else
    unasked_.insert(number);
}

void metadata_member::retry_barriers() {
  for (const auto number : std::exchange(unasked_, {}))
    if (core_.barrier_waits(number)) ask_barrier(number);
}

void metadata_member::read_done(consensus::read_id id, bool ready) {
  if (id.value < own_reads) {
    if (ready) return core_.settle_barrier(id.value, ok());
    if (core_.barrier_waits(id.value)) unasked_.insert(id.value);
    return;
  }
  if (resubmit_read_ != id) return;
  resubmit_read_.reset();
  if (!ready) return;  // tried again by tick
  resubmit_ = false;
  core_.submit_all();
}

// Members

void metadata_member::tick(steady_time now) {
  if (core_.is_fenced()) return stop();  // what was said until now has left
  std::set<member_id> wanted;
  if (raft_) wanted = raft_->members().voters;
  if (leads_) {
    for (const auto& [id, m] : core_.state.members())
      if ((m.state == metadata::member_state::alive || m.state == metadata::member_state::suspect) &&
          !links_->linked(id))
        wanted.insert(id);
  }
  if (!hint_.id.is_nil()) wanted.insert(hint_.id);
  links_->maintain(now, wanted, !reaches_leader());
  if (now >= beat_at_) {
    beat_at_ = now + core_.limits.heartbeat_interval;
    links_->beat(now);
  }
  watch_lease(now);
  if (!raft_) return;
  if (duties_) {
    duties_->tick(now);
    schedule();
  }
  if (leaderless_ && now - leaderless_since_ > leaderless_worth_saying) say_who_is_missing(now);
  retry_barriers();
  resubmit();
}

/// For people who wonder why nothing commits, or why this node does not come up.
void metadata_member::say_who_is_missing(steady_time now) {
  const auto& voters = raft_->members().voters;
  if (voters.empty() || !leaderless_said_.pass(now)) return;
  std::size_t met = 0;
  std::string missing;
  for (const auto& id : voters) {
    if (id == core_.options.self.member || links_->linked(id)) {
      ++met;
      continue;
    }
    const auto* m = core_.state.find_member(id);
    missing += (missing.empty() ? "" : ", ") + (m != nullptr ? m->name : to_string(id));
  }
  core_.log.warning("metadata", "nobody leads the metadata: " + std::to_string(raft_->members().majority()) + " of " +
                                    std::to_string(voters.size()) + " voters are needed, " + std::to_string(met) +
                                    " are here" + (missing.empty() ? "" : "; missing: " + missing));
}

wire::hello metadata_member::greeting() const {
  const auto& o = core_.options;
  wire::hello me{o.self.member, o.self.incarnation, o.who.address, {}, {}};
  if (raft_) {
    me.term = raft_->term();
    me.last = raft_->log().last();
  }
  return me;
}

wire::leader_hint metadata_member::leader_known() const {
  if (leads_) return {core_.options.self.member, core_.options.who.address};
  if (in_configuration() && !raft_->leader().is_nil()) return {raft_->leader(), links_->address_of(raft_->leader())};
  return hint_;  // a node that joins, or was away for too long, knows the leader from what others say
}

std::optional<std::string> metadata_member::refuses(const transport::peer& who, const wire::hello& said) {
  if (core_.state.was_removed(who.member)) return "it was removed from the cluster";
  if (const auto* m = core_.state.find_member(who.member)) {
    if (who.incarnation < m->incarnation) return "a later start of its data directory is known, at " + m->address;
    if (who.incarnation == m->incarnation && m->state == metadata::member_state::dead)
      return "it was found dead: " + m->state_reason;
    if (who.incarnation == m->incarnation && m->state == metadata::member_state::left) return "it has left the cluster";
  }
  // Within a leader's term nobody cuts what it has acknowledged, or forgets the term, and a restart changes nothing.
  const auto at = acknowledged_.find(who.member);
  if (!leads_ || at == acknowledged_.end() || who.incarnation <= at->second.by || said.term > raft_->term() ||
      (said.term == raft_->term() && said.last >= at->second.up_to))
    return std::nullopt;
  if (raft_->members().is_voter(who.member))
    return "its metadata log ends with entry " + to_string(said.last) + " in term " + to_string(said.term) +
           ", but it has acknowledged entry " + to_string(at->second.up_to) + " in term " + to_string(raft_->term()) +
           ": its data directory is a copy, or was put back to an earlier state. Remove it, so that it joins as a new "
           "member";
  // Nothing was ever counted on a learner: it begins anew.
  acknowledged_.erase(at);
  if (duties_) duties_->relearn(who.member);
  return std::nullopt;
}

void metadata_member::came(const transport::peer& who) {
  if (!raft_ && !links_->cluster().is_nil()) {
    if (const auto opened = open_log(links_->cluster()); !opened) cannot_go_on(opened.error());
  }
  if (duties_) duties_->heard(who.member, who.incarnation, std::chrono::steady_clock::now());
  note_leader();
  if (who.member != leader_known().id) return;
  resubmit_ = true;
  resubmit();
  links_->beat(std::chrono::steady_clock::now());
}

void metadata_member::went(const transport::peer& who) {
  if (duties_) duties_->went(who.member, who.incarnation, std::chrono::steady_clock::now());
  note_leader();
  if (hint_.id == who.member && (!raft_ || raft_->leader() != who.member)) hint_ = {};
  if (!raft_ || leads_ || raft_->leader() != who.member || !raft_->members().is_voter(core_.options.self.member) ||
      !looking_.insert(who.member).second)
    return;
  asio::co_spawn(
      core_.io,
      [self = shared_from_this(), id = who.member, address = links_->address_of(who.member)] {
        return self->look_for_dead_leader(id, address);
      },
      asio::detached);
}

void metadata_member::hinted(const wire::leader_hint& at) {
  if (at.id.is_nil() || at.id == core_.options.self.member) return;
  if (hint_.id == at.id && hint_.address == at.address) return;
  hint_ = at;
  if (links_->address_of(at.id).empty()) links_->note_address(at.id, {}, at.address);
  note_leader();
  resubmit_ = true;  // by tick: two nodes that point at each other are asked at its pace
  if (!links_->linked(at.id)) tick(std::chrono::steady_clock::now());
}

/// Behind what has come before: it may be the answer to the request that ended this membership.
void metadata_member::fenced_by(std::string reason) {
  asio::post(core_.io, [self = shared_from_this(), reason = std::move(reason)] {
    for (auto& [id, answer] : std::exchange(self->answers_, {}))  // their entries come here no more
      self->core_.settle(id, wire::result_of(std::move(answer)));
    self->core_.fence(reason);
  });
}

void metadata_member::accept(transport::connection stream) { links_->accept(std::move(stream)); }

// Frames

void metadata_member::received(peer_link& from, transport::frame f) {
  if (core_.stopping() || core_.is_fenced()) return;
  lease_.heard(from.member(), std::chrono::steady_clock::now());
  if (duties_) duties_->heard(from.member(), from.incarnation(), std::chrono::steady_clock::now());
  const auto rubbish = [&](const error& why) {
    core_.log.warning("metadata", "node " + to_string(from.member()) + " at " + from.remote() +
                                      " sent what cannot be read: " + why.message());
    from.close();
  };
  switch (static_cast<frame_type>(f.type)) {
    case frame_type::raft:
      return received_raft(from, f.payload);
    case frame_type::propose:
      if (leads_) return take(std::move(f.payload), from.shared_from_this());
      return from.push(frame_type::leader, codec::encode(leader_known()));
    case frame_type::refused:
    case frame_type::answered: {
      auto a = codec::decode<wire::answer>(f.payload, "an answer");
      if (!a) return rubbish(a.error());
      const auto id = a->id;
      if (a->code == errc::none && a->applied > core_.state.applied()) {
        if (answers_.size() < core_.limits.requests_max) answers_.insert_or_assign(id, std::move(*a));
        return;
      }
      return core_.settle(id, wire::result_of(std::move(*a)));
    }
    case frame_type::heartbeat: {
      const auto beat = codec::decode<wire::heartbeat>(f.payload, "heartbeat");
      if (!beat) return rubbish(beat.error());
      const bool lease = leads_ && duties_ && duties_->holds_lease(from.member(), from.incarnation());
      return from.push(frame_type::heartbeat_seen,
                       codec::encode(wire::heartbeat_seen{beat->sent_ns, lease, leader_known()}));
    }
    case frame_type::heartbeat_seen: {
      const auto seen = codec::decode<wire::heartbeat_seen>(f.payload, "heartbeat");
      if (!seen) return rubbish(seen.error());
      return received_beat(from, *seen);
    }
    case frame_type::leader: {
      const auto at = codec::decode<wire::leader_hint>(f.payload, "leader");
      if (!at) return rubbish(at.error());
      resubmit_ = true;
      return hinted(*at);
    }
    default:
      return rubbish({errc::corrupted, "a frame of unknown type " + std::to_string(f.type)});
  }
}

void metadata_member::received_raft(peer_link& from, bytes_view payload) {
  if (!raft_) return;
  const auto m = consensus::decode_message(payload);
  if (!m || m->from != from.member()) {
    core_.log.warning("metadata", "node " + to_string(from.member()) + " at " + from.remote() +
                                      " sent a message of consensus that " +
                                      (m ? "is not its own" : "cannot be read: " + m.error().message()));
    return from.close();
  }
  if (leads_ && m->term == raft_->term())
    if (const auto* answer = std::get_if<consensus::append_response>(&m->body); answer != nullptr && answer->accepted) {
      auto& known = acknowledged_[m->from];
      known = {from.incarnation(), std::max(known.up_to, answer->match)};
    }
  raft_->receive(std::chrono::steady_clock::now(), *m);
  schedule();
}

}  // namespace troupe::actors
