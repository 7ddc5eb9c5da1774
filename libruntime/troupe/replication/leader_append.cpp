#include <algorithm>
#include <limits>
#include <troupe/replication/leader.hpp>

/// Batches out, acknowledgements in: doc/design/protocols.md, section 2, steps 5 and 6.
namespace troupe::replication {

using namespace effects;

result<void> log_leader::append(moment now, const metadata::state& s, append_id id, const uuid& producer,
                                std::uint64_t sequence, std::uint32_t count, shared_bytes payload, bool more_follow) {
  now_ = now;
  if (phase_ == phase::stopped || phase_ == phase::idle)
    return error{errc::unavailable, "this node leads " + name() + " no longer: ask the one that does"};
  if (count == 0 || payload.empty()) return error{errc::invalid_argument, "an append to " + name() + " has no records"};
  if (payload.size() + format::batch_header_bytes > batches_bytes_max)
    return error{errc::invalid_argument, "an append of " + std::to_string(payload.size()) + " bytes to " + name() +
                                             ": at most " +
                                             std::to_string(batches_bytes_max - format::batch_header_bytes) +
                                             " go into one; send several, each with its own sequence"};
  if (phase_ == phase::starved) return error{errc::failed_precondition, refusing_};
  const bool full = pending_bytes_ + payload.size() > options_.queue_bytes_max ||
                    queue_.size() + placed_.size() >= options_.queue_requests_max;
  if (full && !planted(planted_bug::queue_not_limited))
    return error{errc::resource_exhausted, name() + " has " + std::to_string(pending_bytes_) +
                                               " bytes waiting to be appended: send it again later"};
  pending_bytes_ += payload.size();
  queue_.push_back(item{{id}, producer, sequence, count, std::move(payload), now.now + options_.append_time_max, {}});
  if (!more_follow) act(now, s);
  return ok();
}

/// Records of the partition before the segment, which is the open one or not trimmed yet.
std::uint64_t log_leader::base_of(const metadata::state& s, segment_id id) const {
  const auto* p = s.find_partition(options_.where.dataset, options_.where.partition);
  if (p == nullptr) return 0;
  auto base = p->log.trimmed_records;
  for (const auto& g : p->segments) {
    if (g.id == id) break;
    base += g.records;
  }
  return base;
}

/// The leader's clock, unless it runs ahead of everybody else's; never back.
std::int64_t log_leader::append_time(moment now) const {
  auto clock = now.unix_ms;
  std::optional<std::int64_t> others;
  for (const auto& f : followers_)
    if (f.who.member != options_.self.member && f.clock_known)
      others = std::max(others.value_or(std::numeric_limits<std::int64_t>::min()), now.unix_ms + f.clock_ahead_ms);
  if (others) clock = std::min(clock, *others + options_.clock_skew_ms_max);
  return planted(planted_bug::append_time_goes_back) ? now.unix_ms : std::max(clock, last_append_unix_ms_);
}

/// The first batch of every segment: so that any copy of it knows what producers had written before.
void log_leader::place_table(moment now) {
  const auto time = append_time(now);
  last_append_unix_ms_ = std::max(last_append_unix_ms_, time);
  const auto expiry = std::chrono::duration_cast<std::chrono::milliseconds>(options_.producer_expiry).count();
  std::erase_if(table_, [&](const auto& entry) { return entry.append_time_unix_ms < time - expiry; });
  table_at_open_ = table_;
  format::batch_header header;
  header.segment = segment_;
  header.append_time_unix_ms = time;
  header.codec = format::batch_codec::producers;
  auto encoded = format::encode_batch(header, format::encode_producer_table(table_));
  const extent size{0, encoded.size()};
  window_.push_back({{}, size, 0, shared_bytes(std::move(encoded))});
  window_bytes_ += size.bytes;
  tail_ = size;
}

bool log_leader::is_new(const metadata::state& s, item& i) {
  if (i.producer.is_nil() || planted(planted_bug::duplicate_after_retry)) return true;
  const auto* last = format::find(table_, i.producer);
  if (last == nullptr) {
    if (table_.size() < format::producers_per_segment_max) return true;
    answer(i, error{errc::resource_exhausted, name() + " remembers " + std::to_string(table_.size()) +
                                                  " producers already; use one of them, or wait until some expire"});
    return false;
  }
  if (i.sequence > last->last_sequence) return true;
  if (i.sequence < last->last_sequence) {
    answer(i, error{errc::aborted, "sequence " + std::to_string(i.sequence) + " of this producer came after " +
                                       std::to_string(last->last_sequence) + ": one at a time, in order"});
    return false;
  }
  if (last->segment == segment_) {
    const auto first = std::find_if(placed_.rbegin(), placed_.rend(), [&](const item& p) {
      return p.producer == i.producer && p.sequence == i.sequence;
    });
    if (first != placed_.rend()) {  // still on its way: both get its answer
      first->waiters.insert(first->waiters.end(), i.waiters.begin(), i.waiters.end());
      first->deadline = std::max(first->deadline, i.deadline);
      i.waiters.clear();
      return false;
    }
  } else if (const auto* g = s.find_segment(last->segment); g != nullptr && g->holders.size() < min_copies_) {
    answer(i, error{errc::unavailable, "the append to " + name() + " has " + std::to_string(g->holders.size()) +
                                           " of at least " + std::to_string(min_copies_) + " copies yet"});
    return false;
  }
  auto first = base_of(s, last->segment) + last->first_offset.value;
  if (last->segment != segment_ && s.find_segment(last->segment) == nullptr) {
    // Retention has taken the segment, and with it where exactly in the partition it began: not among what is left.
    const auto* p = s.find_partition(options_.where.dataset, options_.where.partition);
    first = p == nullptr ? 0 : p->log.trimmed_records - std::min<std::uint64_t>(last->count, p->log.trimmed_records);
  }
  answer(i, appended{record_offset{first}, last->count, true});
  return false;
}

/// Encodes what waits into one group of batches. False when nothing was placed.
bool log_leader::place_group(moment now, const metadata::state& s) {
  const auto time = append_time(now);
  bytes encoded;
  group g;
  g.at = tail_;
  while (!queue_.empty()) {
    auto at = queue_.begin();
    const auto size = format::batch_header_bytes + at->payload.size();
    if (!encoded.empty() && encoded.size() + size > options_.group_bytes) break;
    if (!is_new(s, *at)) {
      pending_bytes_ -= at->payload.size();
      queue_.erase(at);
      continue;
    }
    format::batch_header header;
    header.segment = segment_;
    header.first_offset = record_offset{tail_.records};
    header.count = at->count;
    header.high_water_mark = floor_;
    header.append_time_unix_ms = time;
    header.producer = at->producer;
    header.producer_sequence = at->sequence;
    char raw[format::batch_header_bytes];
    format::encode_batch_header(header, at->payload.view(), raw);
    encoded.append(raw, sizeof raw);
    encoded.append(at->payload.view());
    at->first_offset = header.first_offset;
    if (!at->producer.is_nil())
      format::merge(table_,
                    {at->producer, at->sequence, segment_, at->first_offset, at->count, header.append_time_unix_ms});
    g.payload_bytes += at->payload.size();
    tail_.records += at->count;
    tail_.bytes += size;
    placed_.splice(placed_.end(), queue_, at);
  }
  if (encoded.empty()) return false;
  last_append_unix_ms_ = std::max(last_append_unix_ms_, time);
  g.size = {tail_.records - g.at.records, encoded.size()};
  g.batches = shared_bytes(std::move(encoded));
  window_bytes_ += g.size.bytes;
  window_.push_back(std::move(g));
  return true;
}

void log_leader::pump(moment now, const metadata::state& s) {
  while (!queue_.empty() && window_bytes_ < options_.in_flight_bytes_max && tail_.bytes < options_.segment_bytes)
    if (!place_group(now, s)) break;
  for (auto& f : followers_) send_groups(now, f, false);
  if (window_.empty()) send_marks(now);
  if (phase_ == phase::leading && tail_.bytes >= options_.segment_bytes) freeze(now, s, "");
}

/// Sends what the follower was not sent; with `again` everything that it has not confirmed, in as few messages as
/// possible: of many that overtake each other on the way, a replica that takes only what comes next could use one.
void log_leader::send_groups(moment now, follower& f, bool again) {
  if (f.failed || !f.opened) return;
  if (again) f.sent = f.written;
  for (auto g = window_.begin(); g != window_.end(); ++g) {
    if (g->at.bytes < f.sent.bytes && g->end().bytes <= f.sent.bytes) continue;
    if (!again && f.sent == f.durable) f.progress_at = now.now;  // from here on there is something to wait for
    append_request what{g->at, g->size, floor_, record_offset{acked_.records}, g->batches};
    bytes joined;
    for (auto next = std::next(g); again && next != window_.end(); g = next++) {
      if (what.size.bytes + next->size.bytes > batches_bytes_max) break;
      if (joined.empty()) joined.append(what.batches.view());
      joined.append(next->batches.view());
      what.size = {what.size.records + next->size.records, what.size.bytes + next->size.bytes};
    }
    if (!joined.empty()) what.batches = shared_bytes(std::move(joined));
    f.sent = g->end();
    f.sent_at = now.now;
    send(f.who, segment_, std::move(what));
  }
}

/// The last record may be read: nothing follows that would say so.
void log_leader::send_marks(moment now) {
  if (planted(planted_bug::marks_not_pushed)) return;
  for (auto& f : followers_) {
    if (f.failed || f.visible.value >= acked_.records) continue;
    // The next append says it as well: whoever appends one after the other need not pay for messages that say no more.
    if (f.who.member != options_.self.member && now.now < marks_due_) {
      arm(marks_due_);
      continue;
    }
    if (f.marks_sent.value == acked_.records && now.now < f.sent_at + options_.resend_interval) continue;
    f.marks_sent = record_offset{acked_.records};
    f.sent_at = now.now;
    send(f.who, segment_, append_request{tail_, {}, floor_, record_offset{acked_.records}, {}});
  }
}

log_leader::follower* log_leader::follower_of(const message& m) {
  if (m.segment != segment_ || m.epoch != segment_epoch_) return nullptr;
  const auto at = std::find_if(followers_.begin(), followers_.end(), [&](const auto& f) { return f.who == m.from; });
  return at == followers_.end() || at->failed ? nullptr : &*at;
}

void log_leader::on(moment now, const metadata::state& s, const message& m, const append_response& r) {
  auto* f = follower_of(m);
  if (f == nullptr || (phase_ != phase::leading && (phase_ != phase::sealing || fenced_path_))) return;
  if (r.clock_unix_ms != 0) {
    f->clock_ahead_ms = r.clock_unix_ms - now.unix_ms;
    f->clock_known = true;
  }
  f->visible = std::max(f->visible, r.visible);
  if (r.written.bytes > tail_.bytes) return;  // no replica of ours says that
  if (r.written.bytes > f->written.bytes || r.durable.bytes > f->durable.bytes) f->progress_at = now.now;
  f->written = std::max(f->written, r.written);
  f->durable = std::max(f->durable, r.durable);
  advance(now);
  if (phase_ == phase::sealing && planted(planted_bug::freeze_goes_on)) pump(now, s);
  if (phase_ != phase::leading) return;
  switch (r.why) {
    case refusal::none:
    case refusal::busy:
      break;
    case refusal::gap:
      // Something before was lost on the way, or overtaken: again from where it is, if it was not just sent.
      if (now.now >= f->sent_at + options_.resend_interval / 4) send_groups(now, *f, true);
      break;
    case refusal::fenced:
      return end(name() + " was fenced by another leader");
    default:
      fail_follower(now, s, *f,
                    (r.why == refusal::disk_full ? "there is no space left for segment " : "it has closed segment ") +
                        to_string(segment_),
                    r.why);
  }
}

/// Acknowledges what every replica has.
void log_leader::advance(moment now) {
  if (followers_.empty()) return;
  const bool first = planted(planted_bug::acknowledge_first_copy);
  extent acked = followers_.front().durable;
  auto floor = acked.records;
  const auto has = [&](const follower& f) { return sync_ == sync_policy::batch ? f.durable : f.written; };
  acked = has(followers_.front());
  for (const auto& f : followers_) {
    acked = first ? std::max(acked, has(f)) : std::min(acked, has(f));
    floor = first ? std::max(floor, f.durable.records) : std::min(floor, f.durable.records);
  }
  if (acked.bytes <= acked_.bytes && floor <= floor_.value) return;
  if (acked.records > acked_.records) marks_due_ = now.now + options_.marks_delay;
  acked_ = std::max(acked_, acked);
  floor_ = std::max(floor_, record_offset{floor});
  while (!window_.empty() && window_.front().end().bytes <= acked_.bytes) {
    const auto& g = window_.front();
    window_bytes_ -= g.size.bytes;
    dropped_ = g.end();
    dropped_payload_ += g.payload_bytes;
    window_.pop_front();
  }
  while (!placed_.empty() && placed_.front().first_offset.value + placed_.front().count <= acked_.records) {
    auto& i = placed_.front();
    answer(i, appended{record_offset{base_ + i.first_offset.value}, i.count, false});
    pending_bytes_ -= i.payload.size();
    placed_.pop_front();
  }
}

void log_leader::fail_follower(moment now, const metadata::state& s, follower& f, std::string_view what, refusal why) {
  f.failed = true;
  const bool again = suspect(now, f.who, why);
  const auto* m = s.find_member(f.who.member);
  const auto who = m != nullptr ? m->name : "member " + to_string(f.who.member);
  freeze(now, s, again ? std::string() : who + ": " + std::string(what));
}

/// The segment ends here: what was placed is sealed, what comes waits for the next one.
void log_leader::freeze(moment now, const metadata::state& s, std::string why) {
  if (phase_ != phase::leading && phase_ != phase::opening) return;
  if (!why.empty()) report(name() + ", segment " + to_string(segment_) + " ends: " + why);
  fenced_path_ = false;
  verify_ = std::any_of(followers_.begin(), followers_.end(), [](const auto& f) { return f.failed; }) &&
            !planted(planted_bug::seal_not_verified);
  begin_seal(now, tail_);
  evaluate_seal(now, s);
}

void log_leader::check_timers(moment now, const metadata::state& s) {
  switch (phase_) {
    case phase::fencing:
      if (now.now >= ask_again_) ask_fences(now, s);
      evaluate_fence(now, s);
      break;
    case phase::sealing:
      if (now.now >= ask_again_ && seal_length_.bytes != 0) ask_seals(now);
      evaluate_seal(now, s);
      break;
    case phase::loading:
      if (now.now >= ask_again_) load_table(now, s);
      break;
    case phase::starved:
      if (now.now >= ask_again_ && !proposal_) transact(now, s);
      break;
    case phase::opening:
      if (now.now < ask_again_) break;
      ask_again_ = now.now + options_.resend_interval;
      for (auto& f : followers_) {
        if (f.opened || f.failed) continue;
        if (now.now - f.progress_at > options_.replica_silence_max)
          return fail_follower(now, s, f, "it does not open segment " + to_string(segment_));
        const auto* d = s.find_dataset(options_.where.dataset);
        send(f.who, segment_,
             open_request{d->format, format::schema_id_of(d->schema), now.unix_ms, sync_, options_.segment_bytes});
      }
      break;
    case phase::leading:
      for (auto& f : followers_) {
        const auto& has = sync_ == sync_policy::batch ? f.durable : f.written;
        if (has.bytes >= f.sent.bytes) continue;
        if (now.now - f.progress_at > options_.replica_silence_max) return fail_follower(now, s, f, "it is silent");
        if (now.now >= std::max(f.sent_at, f.progress_at) + options_.resend_interval && f.written.bytes < f.sent.bytes)
          send_groups(now, f, true);
      }
      if (now.now >= widened_at_ + options_.widen_interval) {
        widened_at_ = now.now;
        const auto wanted = choose(now, s);
        const bool drains = std::any_of(followers_.begin(), followers_.end(), [&](const auto& f) {
          const auto* m = s.find_member(f.who.member);
          return m != nullptr && m->draining;
        });
        if (wanted.size() > followers_.size() || (drains && wanted.size() >= min_copies_))
          freeze(now, s, "its replicas change");
      }
      break;
    default:
      break;
  }
}

}  // namespace troupe::replication
