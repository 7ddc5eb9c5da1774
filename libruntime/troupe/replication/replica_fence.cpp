#include <algorithm>
#include <troupe/replication/replica.hpp>

/// Fences and seals: what a new leader asks of the segment that the old one left open.
namespace troupe::replication {

using namespace effects;

void replica::on(moment, const message& m, const fence_request& r) {
  auto& c = copy_of(m);
  if (m.epoch < c.promised) return answer(m, fence_response{.why = refusal::fenced, .promised = c.promised});
  c.promised = m.epoch;
  c.sync = r.sync;
  if (c.state == phase::open || c.state == phase::creating) close(c, refusal::fenced);
  // Asked again before the answer, as leaders do every few milliseconds: what is under way answers the newest question.
  // A new look each time would never end where one takes longer than that.
  for (auto& waiting : c.fences) {
    if (waiting.asked.from != m.from || waiting.asked.epoch != m.epoch) continue;
    waiting.asked = m;
    return;
  }
  pending_fence f{m, {}, {}, {}};
  if (!planted(planted_bug::fence_not_kept)) {
    f.promise_order = next_order(m.segment);
    effects_.push_back(keep_promise{f.promise_order, m.segment, m.epoch});
  }
  const bool live = c.epoch.value != 0;
  if (live && planted(planted_bug::damaged_is_sure)) {
    f.found.exists = true;
    f.found.scan.records = c.written.records;
    f.found.scan.intact_bytes = c.written.bytes;
  } else {
    // Of a file written in this start, everything that was acknowledged must be there: rot shows.
    auto floor = c.floor;
    if (live) {
      auto had = r.sync == sync_policy::batch ? c.durable.records : c.written.records;
      // A seal that is under way may cut what was never acknowledged; the look comes behind it.
      if (c.seal_order.value != 0) had = std::min(had, c.seal_length.records);
      floor = std::max(floor, record_offset{had});
    }
    f.inspect_order = next_order(m.segment);
    effects_.push_back(inspect_file{f.inspect_order, m.segment, floor});
  }
  // What the same member asked in an earlier epoch needs no answer any more.
  std::erase_if(c.fences, [&](const pending_fence& old) { return old.asked.from == m.from; });
  c.fences.push_back(std::move(f));
  answer_fences(c);
}

void replica::promised(moment, disk_number number) {
  auto* c = finish_order(number);
  if (c == nullptr) return;
  for (auto& f : c->fences)
    if (f.promise_order == number) f.promise_order = {};
  answer_fences(*c);
}

void replica::inspected(moment, disk_number number, const result<inspection>& found) {
  auto* c = finish_order(number);
  if (c == nullptr) return;
  for (auto& f : c->fences) {
    if (f.inspect_order != number) continue;
    f.inspect_order = {};
    if (found) {
      f.found = *found;
    } else {
      f.found = {};
      f.found.exists = true;
      f.found.scan.state = format::scan_state::damaged;
      f.found.scan.reason = found.error().message();
    }
  }
  answer_fences(*c);
}

void replica::answer_fences(copy& c) {
  std::erase_if(c.fences, [&](const pending_fence& f) {
    if (f.promise_order.value != 0 || f.inspect_order.value != 0) return false;
    if (f.asked.epoch < c.promised)
      answer(f.asked, fence_response{.why = refusal::fenced, .promised = c.promised});
    else
      answer(f.asked, describe_copy(c, f));
    return true;
  });
}

fence_response replica::describe_copy(const copy& c, const pending_fence& f) const {
  const auto& scan = f.found.scan;
  const bool live = c.epoch.value != 0 || planted(planted_bug::restart_keeps_open);
  fence_response r;
  r.promised = c.promised;
  r.visible = c.visible;
  // Of a live copy every mark is known already; the scan was also told what is durable here, which is no mark.
  r.floor = live ? c.floor : std::max(c.floor, scan.high_water_mark);
  if (!f.found.exists) {
    // Never created here, or not durably: then nothing of it was acknowledged. Gone after that, it is damage.
    r.sure = !live || c.written.bytes == 0;
    r.damaged = !r.sure;
    return r;
  }
  r.intact = {scan.records, scan.intact_bytes};
  r.last_append_unix_ms = scan.append_time_unix_ms;
  r.damaged = scan.state == format::scan_state::damaged;
  // A bad tail of a file that this start wrote was never acknowledged (the inspection knew how much was); one from an
  // earlier start may have been. With policy `seal` an earlier start's may have lost what it acknowledged without a
  // trace.
  const bool torn = scan.state == format::scan_state::torn;
  r.sure = !r.damaged && (live || (!torn && c.sync == sync_policy::batch));
  return r;
}

void replica::on(moment, const message& m, const seal_request& r) {
  auto* known = find_copy(m);
  // Only what this start has opened or promised for: a late request must not cut a file that is settled.
  if (known == nullptr) return answer(m, seal_response{.why = refusal::not_here});
  auto& c = *known;
  if (m.epoch < c.promised) return answer(m, seal_response{.why = refusal::fenced});
  if (c.state == phase::creating) return answer(m, seal_response{.why = refusal::busy});
  // While a sealed copy is being read back, what is known of it is from before.
  const bool known_outcome = c.state == phase::sealed && c.seal_order.value == 0;
  if (known_outcome && c.seal_length == r.length && (c.verified || !r.verify)) {
    seal_response again{refusal::none, c.written, c.outcome->summary, c.outcome->last_append_unix_ms, {}};
    again.producers = format::encode_producer_table(c.outcome->producers);
    return answer(m, again);
  }
  if (c.state == phase::open) {
    if (c.written.bytes < r.length.bytes) return answer(m, seal_response{.why = refusal::gap, .written = c.written});
    c.state = phase::sealing;
  }
  if (c.seal_order.value != 0) {
    std::erase_if(c.seals, [&](const message& old) { return old.from == m.from; });
    c.seals.push_back(m);
    return;
  }
  c.seals.assign(1, m);
  begin_seal(m.segment, c);
}

void replica::begin_seal(segment_id id, copy& c) {
  const auto& asked = std::get<seal_request>(c.seals.front().body);
  c.seal_length = asked.length;
  c.verified = asked.verify;
  c.seal_order = next_order(id);
  effects_.push_back(seal_file{c.seal_order, id, asked.length, asked.verify});
}

void replica::sealed(moment, disk_number number, const result<seal_outcome>& how) {
  auto* c = finish_order(number);
  if (c == nullptr || c->seal_order != number) return;
  c->seal_order = {};
  auto why = refusal::none;
  if (how) {
    c->state = phase::sealed;
    c->why = refusal::closed;
    c->outcome = *how;
    c->written = c->durable = c->seal_length;
  } else {
    const auto code = how.error().code();
    why = code == errc::resource_exhausted ? refusal::disk_full
          : code == errc::not_found        ? refusal::not_here
                                           : refusal::damaged;
    close(*c, why);
    c->outcome.reset();
  }
  for (const auto& asked : std::exchange(c->seals, {})) {
    const auto& r = std::get<seal_request>(asked.body);
    if (r.length != c->seal_length || (r.verify && !c->verified)) {
      answer(asked, seal_response{.why = refusal::busy});  // it asks again
      continue;
    }
    seal_response done;
    done.why = why;
    done.written = c->written;
    if (c->outcome) {
      done.summary = c->outcome->summary;
      done.last_append_unix_ms = c->outcome->last_append_unix_ms;
      done.producers = format::encode_producer_table(c->outcome->producers);
    }
    answer(asked, done);
  }
}

void replica::on(moment, const message& m, const producers_request&) {
  const auto number = next_order(m.segment);
  footers_.emplace(number, m);
  effects_.push_back(read_footer{number, m.segment});
}

void replica::footer_read(moment, disk_number number, const result<seal_outcome>& found) {
  orders_.erase(number);
  const auto at = footers_.find(number);
  if (at == footers_.end()) return;
  producers_response r;
  if (found) {
    r.last_append_unix_ms = found->last_append_unix_ms;
    r.producers = format::encode_producer_table(found->producers);
  } else {
    r.why = found.error().code() == errc::not_found ? refusal::not_here : refusal::damaged;
  }
  answer(at->second, r);
  footers_.erase(at);
}

void replica::on(moment, const message& m, const verify_request& r) {
  const auto number = next_order(m.segment);
  verifications_.emplace(number, m);
  effects_.push_back(verify_file{number, m.segment, r.digest});
}

void replica::verified(moment, disk_number number, const result<void>& how) {
  orders_.erase(number);
  const auto at = verifications_.find(number);
  if (at == verifications_.end()) return;
  const auto why = how ? refusal::none : how.error().code() == errc::not_found ? refusal::not_here : refusal::damaged;
  answer(at->second, verify_response{why});
  verifications_.erase(at);
}

}  // namespace troupe::replication
