#include <algorithm>
#include <string>
#include <troupe/base/codec.hpp>
#include <troupe/consensus/raft.hpp>

/// Time, terms, and the queue between decisions and the disk.
namespace troupe::consensus {

raft::raft(const options& with, restored from, time_point now)
    : options_(with), random_(with.seed), state_(from.state), snapshot_(std::move(from.latest)), now_(now) {
  const auto base = from.entries.empty() ? snapshot_.index : log_index{from.entries.front().index.value - 1};
  const auto base_term = base == snapshot_.index ? std::optional(snapshot_.term) : std::nullopt;
  configurations_.push_back({snapshot_.index, snapshot_.members});
  log_ = entry_log(base, base_term, std::move(from.entries));
  for (auto index = std::max(snapshot_.index.next(), log_.first()); index <= log_.last(); index = index.next())
    note_configuration(*log_.find(index));
  commit_ = snapshot_.index;
  durable_ = log_.last();
  next_asked_ = random();
  reset_election_timer(now);
  if (members().voters.size() == 1 && members().is_voter(options_.self)) election_at_ = now;  // nobody to wait for
  // What it promised before the restart is forgotten, so it is as if a leader had just been heard (the lease counts on
  // that).
  heard_leader_ever_ = options_.reads == read_mode::lease;
  heard_leader_ = now;
}

std::uint64_t raft::random() {  // splitmix64
  auto z = random_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

void raft::tick(time_point now) {
  now_ = now;
  timer_ = {};  // it has fired: arm it again even for the same time
  if (!stopped_) check_timers(now);
}

void raft::check_timers(time_point now) {
  if (role_ == role::leader) {
    if (disk_stalled(now)) return give_way(now);
    if (now >= quorum_check_at_) check_quorum(now);
    if (role_ == role::leader && now >= heartbeat_at_) broadcast_heartbeat(now);
  } else if (now >= election_at_) {
    reset_election_timer(now);
    if (electable() && !disk_stalled(now)) start_pre_vote(now);
  }
  std::erase_if(asked_, [&](const auto& read) {
    if (read.second.deadline > now) return false;
    effects_.emplace_back(effects::read_failed{read.second.id});
    return true;
  });
}

void raft::receive(time_point now, const message& m) {
  now_ = now;
  if (stopped_) return;
  if (m.to != options_.self || m.cluster != options_.cluster || !validate(m)) {
    ++refused_messages_;
    return;
  }
  std::visit([&](const auto& body) { on(now, m, body); }, m.body);
}

void raft::persisted(time_point now, persist_number number) {
  now_ = now;
  if (stopped_) return;
  while (!pending_.empty() && pending_.front().number <= number) {
    durable_ = std::max(durable_, pending_.front().last);
    done_number_ = pending_.front().number;
    pending_.pop_front();
  }
  release_held();
  if (own_vote_pending_ && done_number_ >= own_vote_) {
    own_vote_pending_ = false;
    if (role_ == role::candidate) {
      votes_.insert(options_.self);
      count_votes(now);
    }
  }
  if (role_ == role::leader) recompute_commit();
}

void raft::disk_failed(time_point now) {
  now_ = now;
  if (stopped_) return;
  become_follower(now, state_.term, {});
  stopped_ = true;
  building_.reset();
  held_.clear();
}

std::vector<effect> raft::take_effects() {
  if (!stopped_) {
    if (role_ == role::leader) {
      start_read_round();
      if (replicate_) replicate_all();
      complete_reads();
    }
    flush_persist();
    arm_timer();
  }
  return std::exchange(effects_, {});
}

void raft::arm_timer() {
  auto at = election_at_;
  if (role_ == role::leader) {
    at = std::min(heartbeat_at_, quorum_check_at_);
    if (!pending_.empty()) at = std::min(at, pending_.front().since + options_.disk_stall_max + duration(1));
  }
  for (const auto& [wire, read] : asked_) at = std::min(at, read.deadline);
  if (at == timer_) return;
  timer_ = at;
  effects_.emplace_back(effects::set_timer{at});
}

void raft::become_follower(time_point now, troupe::term t, const member_id& leader) {
  if (t > state_.term) {
    state_.term = t;
    state_.voted_for = {};
    persist_state();
    std::erase_if(held_, [&](const auto& held) { return held.what.term < t; });  // nobody waits for them any more
  }
  if (role_ == role::leader) {
    fail_reads();
    peers_.clear();
  }
  own_vote_pending_ = false;
  votes_.clear();
  set_role(role::follower, leader);
  reset_election_timer(now);
}

void raft::set_role(consensus::role r, const member_id& leader) {
  role_ = r;
  leader_ = leader;
  effects_.emplace_back(effects::role_changed{r, state_.term, leader});
}

void raft::reset_election_timer(time_point now) {
  const auto base = std::chrono::duration_cast<duration>(options_.election_timeout);
  election_at_ = now + base + duration(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(base.count())));
}

message raft::make(const member_id& to, message_body body) const {
  return {options_.cluster, options_.self, to, state_.term, std::move(body)};
}

void raft::send(const member_id& to, message_body body) {
  effects_.emplace_back(effects::send{make(to, std::move(body))});
}

void raft::send_when_durable(const member_id& to, message_body body) { send_after(last_number_, to, std::move(body)); }

void raft::send_in_term(const member_id& to, message_body body) { send_after(state_number_, to, std::move(body)); }

void raft::send_after(persist_number needs, const member_id& to, message_body body) {
  if (needs <= done_number_) return send(to, std::move(body));
  held_.push_back({needs, make(to, std::move(body))});
  if (held_.size() > options_.held_messages_max) held_.pop_front();
}

void raft::release_held() {
  // Not in the order of their needs: an answer that needs only the term may stand behind one that needs entries.
  std::erase_if(held_, [&](auto& held) {
    if (held.needs > done_number_) return false;
    effects_.emplace_back(effects::send{std::move(held.what)});
    return true;
  });
}

effects::persist& raft::to_persist() {
  if (!building_) {
    last_number_ = last_number_.next();
    building_.emplace().number = last_number_;
  }
  return *building_;
}

void raft::persist_state() {
  auto& write = to_persist();
  write.state = state_;
  if (planted(planted_bug::vote_not_persisted)) write.state->voted_for = {};
  state_number_ = write.number;
}

void raft::flush_persist() {
  if (!building_) return;
  pending_.push_back({building_->number, log_.last(), now_});
  effects_.emplace_back(std::move(*building_));
  building_.reset();
}

bool raft::disk_stalled(time_point now) const {
  return !pending_.empty() && now - pending_.front().since > options_.disk_stall_max;
}

void raft::alarm(std::string what) { effects_.emplace_back(effects::alarm{std::move(what)}); }

std::optional<term> raft::term_at(log_index index) const {
  if (index == snapshot_.index) return snapshot_.term;
  return log_.term_at(index);
}

void raft::append_local(entry e) {
  if (building_ && building_->save) flush_persist();  // within one write the snapshot comes after the entries
  to_persist().entries.push_back(e);
  log_.append(e);
  if (e.kind == entry_kind::configuration) note_configuration(e);
}

void raft::lower_durable(log_index to) {
  durable_ = std::min(durable_, to);
  for (auto& pending : pending_) pending.last = std::min(pending.last, to);
}

void raft::cut_from(log_index index) {
  if (building_ && (building_->save || building_->truncate_from || !building_->entries.empty())) flush_persist();
  to_persist().truncate_from = index;
  log_.truncate_from(index);
  lower_durable(log_index{index.value - 1});
  if (planted(planted_bug::configuration_not_rolled_back)) return;
  const auto before = configurations_.size();
  while (configurations_.size() > 1 && configurations_.back().index >= index) configurations_.pop_back();
  if (configurations_.size() != before) effects_.emplace_back(effects::members_changed{members()});
}

void raft::note_configuration(const entry& e) {
  if (e.kind != entry_kind::configuration) return;
  auto decoded = codec::decode<configuration>(e.payload, "configuration");
  if (!decoded) return alarm("entry " + to_string(e.index) + ": " + decoded.error().message());
  configurations_.push_back({e.index, std::move(*decoded)});
  effects_.emplace_back(effects::members_changed{members()});
  if (role_ == role::leader) refresh_peers();
}

void raft::advance_commit(log_index to) {
  if (to <= commit_) return;
  effects::apply apply;
  bool configuration_committed = false;
  for (auto index = commit_.next(); index <= to; index = index.next()) {
    const auto* e = log_.find(index);
    if (e == nullptr) return alarm("committed entry " + to_string(index) + " is not in the log");
    uncommitted_bytes_ -= std::min(uncommitted_bytes_, e->payload.size());
    configuration_committed = configuration_committed || e->kind == entry_kind::configuration;
    apply.entries.push_back(*e);
  }
  commit_ = to;
  effects_.emplace_back(std::move(apply));
  complete_asked_reads();
  if (configuration_committed) after_commit_of_configuration();
}

raft::queue_sizes raft::queues() const {
  queue_sizes sizes;
  const auto settled = std::max(commit_, term_start_);  // what earlier leaders left is theirs
  sizes.uncommitted_entries = role_ == role::leader && log_.last() > settled ? log_.last().value - settled.value : 0;
  sizes.uncommitted_bytes = uncommitted_bytes_;
  sizes.reads_waiting = reads_.size() + asked_.size();
  sizes.held_messages = held_.size();
  for (const auto& [id, p] : peers_) sizes.appends_in_flight = std::max(sizes.appends_in_flight, p.flight.size());
  sizes.persists_pending = pending_.size();
  return sizes;
}

}  // namespace troupe::consensus
