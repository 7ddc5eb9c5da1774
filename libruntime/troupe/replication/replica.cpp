#include <algorithm>
#include <troupe/replication/replica.hpp>

/// Open segments: appends, acknowledgements, readers. Fences and seals are in replica_fence.cpp.
namespace troupe::replication {

using namespace effects;

replica::replica(const replica_options& with, std::map<segment_id, troupe::epoch> promises, moment)
    : options_(with), promises_(std::move(promises)) {}

void replica::receive(moment now, const message& m) {
  if (m.cluster != options_.cluster || m.to.member != options_.self.member) {
    ++ignored_;
    return;
  }
  const bool other_start = m.to.incarnation != options_.self.incarnation && !planted(planted_bug::restart_keeps_open);
  const bool about_open_segments =
      !std::holds_alternative<read_request>(m.body) && !std::holds_alternative<producers_request>(m.body);
  if (about_open_segments && (other_start || is_settled(m.segment))) return refuse(m, refusal::closed);
  std::visit([&](const auto& body) { on(now, m, body); }, m.body);
}

/// The answer that fits the question, with a reason why not.
void replica::refuse(const message& m, refusal why) {
  if (std::holds_alternative<open_request>(m.body)) return answer(m, open_response{why});
  if (std::holds_alternative<append_request>(m.body)) return answer(m, append_response{.why = why});
  if (std::holds_alternative<fence_request>(m.body)) return answer(m, fence_response{.why = why});
  if (std::holds_alternative<seal_request>(m.body)) return answer(m, seal_response{.why = why});
  ++ignored_;
}

void replica::answer(const message& to, message_body body) {
  effects_.push_back(send{
      message{options_.cluster, options_.self, to.from, to.where, to.segment, to.epoch, to.request, std::move(body)}});
}

replica::copy* replica::find_copy(const message& m) {
  const auto at = copies_.find(m.segment);
  return at == copies_.end() ? nullptr : &at->second;
}

replica::copy& replica::copy_of(const message& m) {
  const auto [at, is_new] = copies_.try_emplace(m.segment);
  auto& c = at->second;
  if (is_new) {
    c.where = m.where;
    if (const auto kept = promises_.find(m.segment); kept != promises_.end()) c.promised = kept->second;
  }
  return c;
}

bool replica::is_settled(segment_id id) const {
  return std::find(settled_.begin(), settled_.end(), id) != settled_.end();
}

void replica::close(copy& c, refusal why) {
  c.state = phase::closed;
  c.why = why;
}

disk_number replica::next_order(segment_id id) {
  last_order_ = last_order_.next();
  orders_.emplace(last_order_, id);
  return last_order_;
}

/// The copy that the order was for; nullptr when it is not kept any more.
replica::copy* replica::finish_order(disk_number number) {
  const auto order = orders_.find(number);
  if (order == orders_.end()) return nullptr;
  const auto at = copies_.find(order->second);
  orders_.erase(order);
  return at == copies_.end() ? nullptr : &at->second;
}

void replica::on(moment, const message& m, const open_request& r) {
  auto* known = find_copy(m);
  if (known == nullptr) {
    if (copies_.size() >= options_.open_segments_max) return answer(m, open_response{refusal::busy});
    auto& c = copy_of(m);
    if (m.epoch < c.promised) return answer(m, open_response{refusal::fenced});
    c.epoch = m.epoch;
    c.state = phase::creating;
    c.sync = r.sync;
    c.opens.push_back(m);
    effects_.push_back(create_file{next_order(m.segment), m.segment, m.where, m.epoch, r});
    return;
  }
  auto& c = *known;
  if (m.epoch < c.promised) return answer(m, open_response{refusal::fenced});
  if (m.epoch != c.epoch) return answer(m, open_response{refusal::closed});
  if (c.state == phase::creating) {
    c.opens.assign(1, m);
    return;
  }
  answer(m, open_response{c.state == phase::open ? refusal::none : c.why});
}

void replica::report_failure(moment now, std::string what) {
  if (reported_ && now.now < *reported_ + options_.report_interval) {
    ++unreported_;
    return;
  }
  reported_ = now.now;
  if (const auto more = std::exchange(unreported_, 0); more != 0)
    what += " (and " + std::to_string(more) + " such failures before)";
  effects_.push_back(report{std::move(what)});
}

void replica::created(moment now, disk_number number, const result<void>& how) {
  const auto order = orders_.find(number);
  if (!how && order != orders_.end())
    report_failure(now, "segment " + to_string(order->second) + " can't be opened here: " + how.error().message());

  auto* c = finish_order(number);
  if (c == nullptr) return;
  auto why = refusal::none;
  if (!how) {
    why = how.error().code() == errc::resource_exhausted ? refusal::disk_full : refusal::closed;
    close(*c, why);
  } else if (c->state == phase::creating) {
    c->state = phase::open;
  } else {
    why = c->why;  // fenced while it was created
  }
  for (const auto& asked : std::exchange(c->opens, {})) answer(asked, open_response{why});
}

void replica::on(moment now, const message& m, const append_request& r) {
  auto* c = find_copy(m);
  if (c == nullptr && planted(planted_bug::restart_keeps_open) && r.size.bytes != 0) {
    c = &copy_of(m);
    c->epoch = m.epoch;
    c->state = phase::open;
    c->written = c->durable = r.at;
  }
  if (c == nullptr) return answer(m, append_response{.why = refusal::not_here});
  if (m.epoch < c->promised && !planted(planted_bug::fence_ignored))
    return answer(m, append_response{.why = refusal::fenced});
  if (planted(planted_bug::fence_ignored) && c->state == phase::closed && c->why == refusal::fenced && c->epoch.value)
    c->state = phase::open;
  if (c->state != phase::open || m.epoch != c->epoch) {
    const auto why = c->state == phase::creating ? refusal::busy : c->state == phase::closed ? c->why : refusal::closed;
    return answer(m, append_response{why, c->written, c->durable, c->visible, now.unix_ms});
  }
  c->last_append = m;
  c->last_append->body = append_request{r.at, r.size, r.floor, r.visible, {}};
  c->floor = std::max(c->floor, r.floor);
  if (r.visible > c->visible) {
    c->visible = r.visible;
    answer_readers(now, m.segment, *c);
  }
  if (r.size.bytes == 0) return tell_progress(now, *c, refusal::none);
  take_batches(now, *c, m, r);
}

/// Takes those of the batches that come next, each checked: its own sum, its place, and that the sums of all fit.
void replica::take_batches(moment now, copy& c, const message& m, const append_request& r) {
  if (r.at.bytes > c.written.bytes && !planted(planted_bug::offsets_not_checked))
    return tell_progress(now, c, refusal::gap);
  if (c.written.bytes - c.durable.bytes + r.size.bytes > options_.unsynced_bytes_max)
    return tell_progress(now, c, refusal::busy);
  format::batch_cursor cursor(r.batches.view(), m.segment);
  cursor.give_tables();
  format::batch_view batch;
  auto at = planted(planted_bug::offsets_not_checked) ? c.written : r.at;
  auto taken = c.written;
  auto last = c.last_append_unix_ms;
  std::optional<std::size_t> from;
  for (;;) {
    const auto more = cursor.next(batch);
    if (!more) return tell_progress(now, c, refusal::damaged);
    if (!*more) break;
    const bool fits = batch.header.first_offset.value == at.records || planted(planted_bug::offsets_not_checked);
    if (!fits) return tell_progress(now, c, refusal::damaged);
    if (at.bytes == c.written.bytes) from = static_cast<std::size_t>(batch.position);
    at.records += batch.header.count;
    at.bytes += format::batch_header_bytes + batch.payload.size();
    if (from) {
      taken = at;
      last = std::max(last, batch.header.append_time_unix_ms);
      c.floor = std::max(c.floor, batch.header.high_water_mark);
    }
  }
  if (!from) return tell_progress(now, c, at.bytes <= c.written.bytes ? refusal::none : refusal::damaged);
  const extent size{taken.records - c.written.records, taken.bytes - c.written.bytes};
  disk_number number{};
  if (c.sync == sync_policy::seal) {
    number = next_order(m.segment);
    c.writing.emplace(number, taken);
  }
  effects_.push_back(
      write_batches{number, m.segment, c.written, size, r.batches.part(*from, r.batches.size() - *from)});
  c.written = taken;
  c.last_append_unix_ms = last;
  if (planted(planted_bug::ack_before_fsync)) tell_progress(now, c, refusal::none);
  begin_sync(m.segment, c);
}

void replica::written(moment now, disk_number number) {
  auto* c = finish_order(number);
  if (c == nullptr) return;
  const auto at = c->writing.find(number);
  if (at == c->writing.end()) return;
  c->confirmed = std::max(c->confirmed, at->second);
  c->writing.erase(at);
  tell_progress(now, *c, c->state == phase::closed ? c->why : refusal::none);
}

void replica::begin_sync(segment_id id, copy& c) {
  if (c.sync_order.value != 0 || c.durable.bytes == c.written.bytes) return;
  c.syncing = c.written;
  c.sync_order = next_order(id);
  effects_.push_back(sync_file{c.sync_order, id});
}

void replica::synced(moment now, disk_number number) {
  const auto order = orders_.find(number);
  if (order == orders_.end()) return;
  const auto id = order->second;
  auto* c = finish_order(number);
  if (c == nullptr || c->sync_order != number) return;
  c->sync_order = {};
  c->durable = c->syncing;
  c->confirmed = std::max(c->confirmed, c->durable);
  tell_progress(now, *c, c->state == phase::closed ? c->why : refusal::none);
  begin_sync(id, *c);
}

void replica::write_failed(moment now, segment_id segment, const error& why) {
  const auto at = copies_.find(segment);
  if (at == copies_.end()) return;
  auto& c = at->second;
  // What stands behind the durable part is not known any more; a fence will look.
  c.written = c.sync == sync_policy::seal ? c.confirmed : c.durable;
  for (const auto& [number, upto] : std::exchange(c.writing, {}))
    orders_.erase(number);  // nothing more is said of them
  orders_.erase(std::exchange(c.sync_order,
                              {}));  // the sync that follows the failed write covers it no more than it covers a hole
  close(c, refusal::disk_full);
  report_failure(now, "segment " + to_string(segment) + " takes no more appends here: " + why.message());
  tell_progress(now, c, refusal::disk_full);
}

void replica::tell_progress(moment now, copy& c, refusal why) {
  if (!c.last_append) return;
  auto durable = planted(planted_bug::ack_before_fsync) ? c.written : c.durable;
  const auto has = c.sync == sync_policy::seal ? std::max(c.confirmed, durable) : c.written;
  answer(*c.last_append, append_response{why, has, durable, c.visible, now.unix_ms});
}

void replica::on(moment now, const message& m, const read_request& r) {
  auto* c = find_copy(m);
  if (c == nullptr) return answer(m, read_response{.why = refusal::not_here});
  if (r.from < c->visible) return serve(m, *c);
  if (c->state != phase::open) return answer(m, read_response{.why = refusal::closed, .visible = c->visible});
  if (r.wait_ms == 0) return answer(m, read_response{.visible = c->visible});
  if (readers_waiting_ >= options_.readers_waiting_max)
    return answer(m, read_response{.why = refusal::busy, .visible = c->visible});
  const auto wait = std::min<duration>(std::chrono::milliseconds(r.wait_ms), options_.read_wait_max);
  c->readers.push_back({m, now.now + wait});
  ++readers_waiting_;
  arm_timer();
}

void replica::serve(const message& asked, copy& c) {
  const auto& r = std::get<read_request>(asked.body);
  const auto number = next_order(asked.segment);
  reads_.emplace(number, asked);
  const auto bytes = std::clamp<std::size_t>(r.bytes_max, 1, batches_bytes_max);
  effects_.push_back(read_batches{number, asked.segment, r.from, c.visible, bytes});
}

void replica::batches_read(moment, disk_number number, const result<shared_bytes>& found) {
  const auto at = reads_.find(number);
  if (at == reads_.end()) return;
  auto asked = std::move(at->second);
  reads_.erase(at);
  const auto* c = finish_order(number);
  read_response r;
  if (c != nullptr) r.visible = c->visible;
  if (found)
    r.batches = *found;
  else
    r.why = found.error().code() == errc::not_found ? refusal::not_here : refusal::damaged;
  answer(asked, r);
}

/// The mark has moved: who waited for records below it gets them.
void replica::answer_readers(moment, segment_id, copy& c) {
  auto waiting = std::exchange(c.readers, {});
  for (auto& reader : waiting) {
    if (std::get<read_request>(reader.asked.body).from >= c.visible) {
      c.readers.push_back(std::move(reader));
      continue;
    }
    --readers_waiting_;
    serve(reader.asked, c);
  }
}

void replica::settled(moment, segment_id segment, std::optional<record_offset> end) {
  if (is_settled(segment)) return;
  settled_.push_back(segment);
  if (settled_.size() > options_.closed_kept_max) settled_.pop_front();
  const bool promised_before = promises_.erase(segment) != 0;
  const auto at = copies_.find(segment);
  if (at == copies_.end()) {
    if (promised_before) effects_.push_back(release_file{segment, true});
    return;
  }
  for (auto& reader : at->second.readers) {
    --readers_waiting_;
    read_response r;
    r.why = refusal::closed;  // its file is read as a sealed one now
    r.visible = end.value_or(at->second.visible);
    r.sealed = end.has_value();
    answer(reader.asked, r);
  }
  copies_.erase(at);
  effects_.push_back(release_file{segment, true});
}

void replica::arm_timer() {
  std::optional<time_point> first;
  for (const auto& [id, c] : copies_)
    for (const auto& reader : c.readers)
      if (!first || reader.until < *first) first = reader.until;
  if (first && (!timer_ || *first < *timer_)) {
    timer_ = first;
    effects_.push_back(set_timer{*first});
  }
}

void replica::tick(moment now) {
  if (!timer_ || now.now < *timer_) return;
  timer_.reset();
  for (auto& [id, c] : copies_) {
    std::erase_if(c.readers, [&](const waiting_reader& reader) {
      if (reader.until > now.now) return false;
      --readers_waiting_;
      answer(reader.asked, read_response{.visible = c.visible});
      return true;
    });
  }
  arm_timer();
}

std::vector<replica_effect> replica::take_effects() { return std::exchange(effects_, {}); }

bool replica::busy_with(segment_id segment) const {
  return std::any_of(orders_.begin(), orders_.end(), [&](const auto& order) { return order.second == segment; });
}

replica::queue_sizes replica::queues() const {
  queue_sizes q{copies_.size(), 0, readers_waiting_, orders_.size()};
  for (const auto& [id, c] : copies_) q.unsynced_bytes += c.written.bytes - c.durable.bytes;
  return q;
}

}  // namespace troupe::replication
