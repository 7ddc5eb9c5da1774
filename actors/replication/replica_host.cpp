#include <actors/replication/replica_host.hpp>

namespace troupe::logs {

namespace {
/// std::erase_if hands out what it may not change.
template <class Map, class F>
void erase_each(Map& map, F f) {
  for (auto at = map.begin(); at != map.end();) at = f(at->first, at->second) ? map.erase(at) : std::next(at);
}

replication::replica_options options_of(const log_context& c) {
  replication::replica_options o;
  o.cluster = c.parts.self.cluster;
  o.self = c.self;
  return o;
}
}  // namespace

replica_host::replica_host(log_context_ptr c, storage::promise_log promises, send_function send)
    : context_(std::move(c)),
      send_(std::move(send)),
      replica_(options_of(*context_), promises.promises(), context_->now()),
      timer_(context_->io) {
  for (const auto& [id, epoch] : promises.promises()) promised_before_.emplace(id, false);
  segment_disk::answers then;
  // Each event of the disk is an event of the replica, and its effects follow.
  const auto with = [this](auto f) {
    return [this, f](auto... given) {
      f(replica_, context_->now(), std::move(given)...);
      carry_out();
    };
  };
  using replication::disk_number;
  using replication::replica;
  then.created = with([](replica& r, auto now, disk_number n, result<void> how) { r.created(now, n, how); });
  then.written = with([](replica& r, auto now, disk_number n) { r.written(now, n); });
  then.write_failed = with([](replica& r, auto now, segment_id id, error why) { r.write_failed(now, id, why); });
  then.synced = with([](replica& r, auto now, disk_number n) { r.synced(now, n); });
  then.promised = with([](replica& r, auto now, disk_number n) { r.promised(now, n); });
  then.inspected = with([](replica& r, auto now, disk_number n, auto found) { r.inspected(now, n, found); });
  then.sealed = with([](replica& r, auto now, disk_number n, auto how) { r.sealed(now, n, how); });
  then.footer_read = with([](replica& r, auto now, disk_number n, auto found) { r.footer_read(now, n, found); });
  then.batches_read = with([](replica& r, auto now, disk_number n, auto found) { r.batches_read(now, n, found); });
  then.verified = with([](replica& r, auto now, disk_number n, auto how) { r.verified(now, n, how); });
  disk_ = std::make_shared<segment_disk>(context_, std::move(promises), std::move(then));
}

void replica_host::receive(const replication::message& m) {
  if (!std::holds_alternative<replication::read_request>(m.body) &&
      !std::holds_alternative<replication::producers_request>(m.body) &&
      !std::holds_alternative<replication::verify_request>(m.body))
    tracked_[m.where].try_emplace(m.segment, false);
  replica_.receive(context_->now(), m);
  carry_out();
}

void replica_host::carry_out() {
  if (carrying_) return;  // whoever is at it takes these too
  carrying_ = true;
  for (auto effects = replica_.take_effects(); !effects.empty(); effects = replica_.take_effects()) {
    for (auto& effect : effects) {
      std::visit(
          [&](auto& e) {
            using type = std::decay_t<decltype(e)>;
            if constexpr (std::is_same_v<type, replication::effects::send>)
              send_(e.what);
            else if constexpr (std::is_same_v<type, replication::effects::set_timer>)
              arm(e.at);
            else if constexpr (std::is_same_v<type, replication::effects::report>)
              context_->report("log_replica", e.what, e.alarm);
            else
              disk_->carry_out(std::move(e));
          },
          effect);
    }
  }
  disk_->flush();
  carrying_ = false;
}

void replica_host::arm(replication::time_point at) {
  timer_.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(at));
  timer_.async_wait([this](const boost::system::error_code& ended) {
    if (ended || context_->stopping) return;
    replica_.tick(context_->now());
    carry_out();
  });
}

/// True when it is settled, and so needs no more looking after.
bool replica_host::settle_one(segment_id id, bool& seen) {
  struct verdict {
    bool open = false, gone = true;
    record_offset end;
  };
  const auto v = context_->parts.metadata.read([&](const metadata::state& s) {
    verdict out;
    out.open = s.find_open(id) != nullptr;
    if (const auto* sealed = s.find_segment(id)) {
      out.gone = false;
      out.end = record_offset{sealed->records};
    }
    return out;
  });
  if (v.open) {
    seen = true;
    return false;
  }
  if (v.gone && !seen) return false;
  replica_.settled(context_->now(), id, v.gone ? std::nullopt : std::optional(v.end));
  return true;
}

void replica_host::settle(const partition_key& where) {
  const auto at = tracked_.find(where);
  if (at != tracked_.end()) {
    erase_each(at->second, [&](segment_id id, bool& seen) { return settle_one(id, seen); });
    if (at->second.empty()) tracked_.erase(at);
  }
  erase_each(promised_before_, [&](segment_id id, bool& seen) { return settle_one(id, seen); });
  carry_out();
}

void replica_host::settle_all() {
  for (auto& [where, segments] : tracked_)
    erase_each(segments, [&](segment_id id, bool& seen) { return settle_one(id, seen); });
  std::erase_if(tracked_, [](const auto& one) { return one.second.empty(); });
  erase_each(promised_before_, [&](segment_id id, bool& seen) { return settle_one(id, seen); });
  carry_out();
}

void replica_host::caught_up() {
  for (auto& [id, seen] : promised_before_) seen = true;
  settle_all();
}

}  // namespace troupe::logs
