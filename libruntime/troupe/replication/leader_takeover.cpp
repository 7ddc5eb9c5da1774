#include <algorithm>
#include <troupe/replication/leader.hpp>

/// Take over, fence, seal, one transaction, open: doc/design/protocols.md, section 2, steps 1 to 4 and 6.
namespace troupe::replication {

using namespace effects;

void log_leader::after_take_over(moment now, const metadata::state& s) {
  const auto& p = *s.find_partition(options_.where.dataset, options_.where.partition);
  if (!p.segments.empty()) last_append_unix_ms_ = std::max(last_append_unix_ms_, p.segments.back().last_append_unix_ms);
  sealed_.reset();
  if (p.log.open) return begin_fence(now, s);
  load_table(now, s);
}

// ---- fence ----

void log_leader::begin_fence(moment now, const metadata::state& s) {
  const auto* d = s.find_dataset(options_.where.dataset);
  const auto& open = *d->partitions[options_.where.partition.value].log.open;
  if (segment_ != open.id) {
    segment_ = open.id;
    segment_epoch_ = open.epoch;
    sync_ = d->log.sync;
    followers_.clear();
    for (const auto& r : open.replicas) followers_.emplace_back().who = r;
    table_known_ = false;
  }
  min_copies_ = d->log.min_copies;
  phase_ = phase::fencing;
  fences_.clear();
  grace_until_.reset();
  loss_reported_ = false;
  ask_again_ = {};
  ask_fences(now, s);
}

/// Asks every replica that has not answered, as it runs now.
void log_leader::ask_fences(moment now, const metadata::state& s) {
  ask_again_ = now.now + options_.resend_interval;
  for (auto& f : followers_) ask_fence(s, f);
}

void log_leader::ask_fence(const metadata::state& s, follower& f) {
  const auto* m = s.find_member(f.who.member);
  if (m == nullptr) return;
  const replica_ref who{m->id, m->incarnation};
  const auto known = fences_.find(m->id);
  if (known != fences_.end() && known->second.first == who) return;
  f.asked = who;
  send(who, segment_, fence_request{sync_});
}

void log_leader::on(moment now, const metadata::state& s, const message& m, const fence_response& r) {
  const bool about_this = m.segment == segment_ && m.epoch == epoch_;
  if (phase_ != phase::fencing || (!about_this && !planted(planted_bug::late_fence_answer_counts))) return;
  if (r.why == refusal::fenced && about_this)
    return end(name() + ": member " + to_string(m.from.member) + " has promised epoch " + to_string(r.promised) +
               " to another leader");
  if (r.why != refusal::none) return;  // another start of it; metadata will say so
  fences_.insert_or_assign(m.from.member, std::pair(m.from, r));
  evaluate_fence(now, s);
}

/// The longest intact prefix, unless fewer than `min_copies` have it: what was under way when the old leader died is on
/// some replicas only. Acknowledged was only what all of them had, so the segment may as well end where a sure copy
/// ends, and whoever appends need not wait until repair has made more copies of the rest.
extent log_leader::with_holders_enough(const std::vector<const fence_response*>& replies, extent longest,
                                       record_offset floor) const {
  const auto worth = [&](extent length) {
    const auto holders = std::count_if(replies.begin(), replies.end(),
                                       [&](const auto* r) { return !r->damaged && r->intact.bytes >= length.bytes; });
    return std::pair(std::min<std::uint64_t>(static_cast<std::uint64_t>(holders), min_copies_), length);
  };
  auto best = longest;
  for (const auto* r : replies)
    if (r->sure && r->intact.bytes != 0 && r->intact.records >= floor.value && worth(r->intact) > worth(best))
      best = r->intact;
  return best;
}

void log_leader::evaluate_fence(moment now, const metadata::state& s) {
  if (phase_ != phase::fencing) return;
  std::vector<const fence_response*> replies;
  bool any_sure = false, all_answered = true, live_answered = true, all_gone = true;
  for (const auto& f : followers_) {
    if (s.find_member(f.who.member) == nullptr) continue;  // declared gone
    all_gone = false;
    const auto known = fences_.find(f.who.member);
    // Who was started again, or wiped, since it answered, has not answered.
    if (known == fences_.end() || !s.is_current(known->second.first)) {
      all_answered = false;
      if (s.is_live(f.who.member) && !is_lost(now, s, f.who.member)) live_answered = false;
      continue;
    }
    replies.push_back(&known->second.second);
    any_sure = any_sure || known->second.second.sure || planted(planted_bug::seal_by_unsure_alone);
  }
  if (all_gone) {
    report("every replica of segment " + to_string(segment_) + " of " + name() +
               " was given up: the records in it are lost",
           true);
    fenced_path_ = true;
    table_known_ = false;
    sealed_ = metadata::sealed_segment{.id = segment_, .digest = {}, .holders = {}};
    return load_table(now, s);
  }
  if (replies.empty()) return;
  if (any_sure && !live_answered && !grace_until_) grace_until_ = now.now + options_.grace;
  const bool enough = any_sure ? live_answered || now.now >= *grace_until_ : all_answered;
  if (!enough) return;

  extent length = planted(planted_bug::seal_shortest) ? replies.front()->intact : extent{};
  extent of_damaged;
  record_offset floor, visible;
  for (const auto* r : replies) {
    auto& longest = r->damaged ? of_damaged : length;
    longest = planted(planted_bug::seal_shortest) ? std::min(longest, r->intact) : std::max(longest, r->intact);
    floor = std::max(floor, r->floor);
    visible = std::max(visible, r->visible);
    last_append_unix_ms_ = std::max(last_append_unix_ms_, r->last_append_unix_ms);
  }
  if (!planted(planted_bug::seal_shortest)) length = with_holders_enough(replies, length, floor);
  // The intact beginning of a damaged copy counts when no other copy has as much as is known to be durable, or when no
  // copy is sure: then nobody can say how much was acknowledged, and it was at most what every copy had.
  if (length.records < floor.value || !any_sure) length = std::max(length, of_damaged);
  if (length.records < floor.value && !planted(planted_bug::seal_below_floor)) {
    if (!loss_reported_)
      report("records " + std::to_string(base_of(s, segment_) + length.records) + " to " +
                 std::to_string(base_of(s, segment_) + floor.value) + " of " + name() +
                 " are damaged on every copy that answers: start the members that are away, or remove those whose "
                 "copy is given up",
             true);
    loss_reported_ = true;
    refusing_ = "records of " + name() + " are damaged on every copy that answers";
    return;
  }
  if (length.records < visible.value)
    report("records " + std::to_string(base_of(s, segment_) + length.records) + " to " +
               std::to_string(base_of(s, segment_) + visible.value) + " of " + name() +
               " were acknowledged under the sync policy «seal» and are lost",
           true);
  for (auto& f : followers_) {
    const auto known = fences_.find(f.who.member);
    f.failed = known == fences_.end() || !s.is_current(known->second.first) ||
               known->second.second.intact.bytes < length.bytes;
    f.damaged = known != fences_.end() && known->second.second.damaged && !planted(planted_bug::damaged_is_sure);
    if (known != fences_.end()) f.who = known->second.first;
  }
  fenced_path_ = true;
  verify_ = false;  // the fence has just looked
  begin_seal(now, length);
  evaluate_seal(now, s);
}

// ---- seal ----

void log_leader::begin_seal(moment now, extent length) {
  phase_ = phase::sealing;
  seal_length_ = length;
  forget_seals();
  sealing_since_ = now.now;
  if (length.bytes != 0) ask_seals(now);
}

void log_leader::ask_seals(moment now) {
  ask_again_ = now.now + options_.resend_interval;
  for (auto& f : followers_) {
    if (f.failed || seals_.contains(f.who.member)) continue;
    if (!fenced_path_) send_groups(now, f, true);
    send(f.who, segment_, seal_request{seal_length_, verify_ || f.damaged});
  }
}

void log_leader::on(moment now, const metadata::state& s, const message& m, const seal_response& r) {
  if (phase_ != phase::sealing || m.segment != segment_ || m.epoch != epoch_) return;
  const auto f = std::find_if(followers_.begin(), followers_.end(), [&](const auto& x) { return x.who == m.from; });
  if (f == followers_.end() || f->failed) return;
  switch (r.why) {
    case refusal::none:
      if (m.request > seals_since_ && r.summary.records == seal_length_.records &&
          r.summary.file_bytes == seal_length_.bytes)
        seals_.insert_or_assign(m.from.member, std::pair(m.from, r));
      break;
    case refusal::fenced:
      return end(name() + ": member " + to_string(m.from.member) + " has promised a higher epoch");
    case refusal::busy:
      return;
    case refusal::gap:
      if (!fenced_path_) {  // the window has everything since the segment was opened that not all have
        f->written = r.written;
        return;
      }
      [[fallthrough]];
    default:
      f->failed = true;
      seals_.erase(m.from.member);
      suspect(now, m.from, r.why);
  }
  evaluate_seal(now, s);
}

void log_leader::evaluate_seal(moment now, const metadata::state& s) {
  if (phase_ != phase::sealing) return;
  if (seal_length_.bytes == 0) {
    // Nothing was ever written: no copy to close, and nothing to list.
    sealed_ = metadata::sealed_segment{.id = segment_, .digest = {}, .holders = {}};
    for (const auto& f : followers_)
      if (sealed_->holders.empty() && s.is_current(f.who)) sealed_->holders.push_back(f.who);
    if (sealed_->holders.empty()) {
      // All were started again since: asked as they run now, they can answer.
      sealed_.reset();
      return retry_from_fence(now, s);
    }
    if (fenced_path_) table_known_ = false;
    if (!fenced_path_) table_ = table_at_open_;
    return load_table(now, s);
  }
  bool all = true, possible = false;
  for (const auto& f : followers_) {
    if (f.failed) continue;
    possible = true;
    all = all && seals_.contains(f.who.member);
  }
  std::erase_if(seals_, [&](const auto& seal) { return !s.is_current(seal.second.first); });
  if (seals_.empty()) {
    if (possible) return;
    return retry_from_fence(now, s);
  }
  if (!all) {
    if (!grace_until_) grace_until_ = now.now + options_.grace;
    if (now.now < *grace_until_) return;
  }
  if (seals_.size() < followers_.size() && !fenced_path_ && !verify_ && !planted(planted_bug::seal_not_verified)) {
    // Fewer copies than there were replicas: rot that nobody has seen must not be all that is left.
    verify_ = true;
    forget_seals();
    return ask_seals(now);
  }
  // One leader wrote the segment, so copies of one length are the same; if they are not, somebody has to look.
  const auto own = seals_.find(options_.self.member);
  const auto& example = own != seals_.end() ? own->second.second : seals_.begin()->second.second;
  const auto& sum = example.summary;
  sealed_ = metadata::sealed_segment{.id = segment_,
                                     .bytes = sum.payload_bytes,
                                     .file_bytes = sum.file_bytes,
                                     .records = sum.records,
                                     .digest = sum.digest,
                                     .last_append_unix_ms = example.last_append_unix_ms,
                                     .holders = {}};
  for (const auto& [id, seal] : seals_) {
    if (seal.second.summary.digest == sum.digest)
      sealed_->holders.push_back(seal.first);
    else
      report("copies of segment " + to_string(segment_) + " of " + name() + " differ on members " +
                 to_string(options_.self.member) + " and " + to_string(id),
             true);
  }
  last_append_unix_ms_ = std::max(last_append_unix_ms_, example.last_append_unix_ms);
  if (fenced_path_) {
    if (auto table = format::decode_producer_table(example.producers)) table_ = std::move(*table);
    if (planted(planted_bug::table_not_carried)) table_.clear();
    table_known_ = true;
  }
  load_table(now, s);
}

/// Every replica failed: from the beginning, as any other leader would.
void log_leader::retry_from_fence(moment now, const metadata::state& s) {
  if (fenced_path_) {
    begin_fence(now, s);
    ask_again_ = now.now + options_.retry_interval;
    return;
  }
  phase_ = phase::taking;
  propose(metadata::take_over{options_.where.dataset, options_.where.partition, epoch_, options_.self, false});
}

// ---- producers ----

/// Asks the holders of the last segment for its footer, unless the table is known; then goes on to the transaction.
void log_leader::load_table(moment now, const metadata::state& s) {
  const auto& segments = s.find_partition(options_.where.dataset, options_.where.partition)->segments;
  if (!table_known_ && (segments.empty() || segments.back().epoch.value == 0)) {
    table_.clear();  // nothing was ever appended
    table_known_ = true;
  }
  if (table_known_) return transact(now, s);
  phase_ = phase::loading;
  ask_again_ = now.now + options_.resend_interval;
  std::vector<replica_ref> from;
  for (const auto h : segments.back().holders)
    if (s.is_live(h)) from.push_back({h, s.find_member(h)->incarnation});
  refusing_ = "no member that has segment " + to_string(segments.back().id) + " of " + name() + " is there";
  if (!from.empty()) send(from[table_source_++ % from.size()], segments.back().id, producers_request{});
}

void log_leader::on(moment now, const metadata::state& s, const message& m, const producers_response& r) {
  if (phase_ != phase::loading || r.why != refusal::none) return;
  const auto& segments = s.find_partition(options_.where.dataset, options_.where.partition)->segments;
  if (segments.empty() || segments.back().id != m.segment) return;
  auto table = format::decode_producer_table(r.producers);
  if (!table) return;
  table_ = std::move(*table);
  if (planted(planted_bug::table_not_carried)) table_.clear();
  table_known_ = true;
  last_append_unix_ms_ = std::max(last_append_unix_ms_, r.last_append_unix_ms);
  transact(now, s);
}

// ---- transaction and opening ----

void log_leader::transact(moment now, const metadata::state& s) {
  if (proposal_) return;
  auto replicas = choose(now, s);
  const auto* me = s.find_member(options_.self.member);
  const bool leaves = me == nullptr || me->draining;
  refusing_.clear();
  if (replicas.size() < min_copies_ || leaves) {
    refusing_ = name() + " needs " + std::to_string(min_copies_) + " copies, and " + std::to_string(replicas.size()) +
                " member(s) can take one now";
    if (const auto reasons = why_not(now, s); !reasons.empty()) refusing_ += ": " + reasons;
    refusing_ += "; start or add a node, or alter the dataset to need fewer (min_copies)";
    replicas.clear();
  }
  if (!sealed_ && replicas.empty()) {
    phase_ = phase::starved;
    ask_again_ = now.now + options_.retry_interval;
    if (leaves) hand_over(now, s, std::nullopt);
    return;
  }
  phase_ = phase::transacting;
  propose(metadata::seal_and_open{options_.where.dataset, options_.where.partition, epoch_, options_.self, sealed_,
                                  std::move(replicas)});
}

void log_leader::after_transaction(moment now, const metadata::state& s, const metadata::response& made) {
  if (sealed_) resolve_placed(s, sealed_->records, sealed_->holders.size());
  sealed_.reset();
  epoch_ = made.epoch;
  fenced_path_ = false;
  window_.clear();
  window_bytes_ = 0;
  followers_.clear();
  tail_ = acked_ = dropped_ = {};
  dropped_payload_ = 0;
  floor_ = {};
  if (!still_leads(now, s)) return;
  if (made.first_segment.value == 0) {
    phase_ = phase::starved;
    ask_again_ = now.now + options_.retry_interval;
    return;
  }
  begin_open(now, s);
}

void log_leader::begin_open(moment now, const metadata::state& s) {
  const auto* d = s.find_dataset(options_.where.dataset);
  const auto& open = *d->partitions[options_.where.partition.value].log.open;
  segment_ = open.id;
  segment_epoch_ = planted(planted_bug::same_epoch_reopened) ? troupe::epoch{open.epoch.value - 1} : open.epoch;
  sync_ = d->log.sync;
  min_copies_ = d->log.min_copies;
  base_ = base_of(s, segment_);
  table_at_open_ = table_;
  phase_ = phase::opening;
  ask_again_ = now.now + options_.resend_interval;
  widened_at_ = now.now;
  for (const auto& r : open.replicas) {
    auto& f = followers_.emplace_back();
    f.who = r;
    f.progress_at = now.now;
    send(r, segment_,
         open_request{d->format, format::schema_id_of(d->schema), now.unix_ms, sync_, options_.segment_bytes});
  }
}

void log_leader::on(moment now, const metadata::state& s, const message& m, const open_response& r) {
  auto* f = follower_of(m);
  if (f == nullptr) return;
  // The others' answers come when one has ended the segment already: the next one need not find it out again.
  if (phase_ != phase::opening && r.why == refusal::disk_full) suspect(now, m.from, r.why);
  if (phase_ != phase::opening) return;
  if (r.why == refusal::fenced) return end(name() + " was fenced by another leader");
  if (r.why == refusal::busy) return;
  if (r.why == refusal::disk_full)
    return fail_follower(now, s, *f, "there is no space left for segment " + to_string(segment_), r.why);
  if (r.why != refusal::none) return fail_follower(now, s, *f, "it can't open segment " + to_string(segment_), r.why);
  f->opened = true;
  f->progress_at = now.now;
  if (!std::all_of(followers_.begin(), followers_.end(), [](const auto& x) { return x.opened; })) return;
  phase_ = phase::leading;
  place_table(now);
}

/// What becomes of appends that were sent, now that the segment ends at `sealed_records`.
void log_leader::resolve_placed(const metadata::state&, std::uint64_t sealed_records, std::size_t holders) {
  items again;
  for (auto at = placed_.begin(); at != placed_.end();) {
    const auto next = std::next(at);
    if (at->first_offset.value + at->count <= sealed_records) {
      if (holders >= min_copies_)
        answer(*at, appended{record_offset{base_ + at->first_offset.value}, at->count, false});
      else
        answer(*at, error{errc::unavailable, "the append to " + name() + " has " + std::to_string(holders) +
                                                 " of at least " + std::to_string(min_copies_) +
                                                 " copies yet: send it again, with the same sequence"});
      pending_bytes_ -= at->payload.size();
      placed_.erase(at);
    } else if (at->waiters.empty()) {
      pending_bytes_ -= at->payload.size();
      placed_.erase(at);
    } else {
      again.splice(again.end(), placed_, at);
    }
    at = next;
  }
  queue_.splice(queue_.begin(), again);
}

}  // namespace troupe::replication
