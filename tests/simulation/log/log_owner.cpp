#include <tests/simulation/log/world.hpp>
#include <troupe/replication/placement.hpp>

/// What a member's replica and leaders want: carried out against its disk and the network.
namespace troupe::simulation::log {

using namespace replication;

void world::start_leader(member& m, const key& where) {
  if (!m.registered || m.leaders.contains(where)) return;
  auto options = swarm_.leader;
  options.cluster = cluster_;
  options.self = m.self;
  options.where = where;
  options.bug = bug_.in_room;
  auto& l = m.leaders[where];
  l.number = ++next_leader_;
  l.leader = std::make_unique<log_leader>(options);
  trace([&] { return m.name() + " wants to lead partition " + to_string(where.partition); });
  l.leader->start(moment_of(m), *m.state, false);
  carry_out_leader(m, where);
}

/// Leaders that metadata says this member should have.
void world::run_leaders(member& m) {
  if (!m.registered) return;
  for (const auto& where : placement::to_lead(*m.state, m.id)) start_leader(m, where);
}

void world::order_disk(member& m, std::function<void()> what, bool is_sync) {
  m.disk_queue.push_back({std::move(what), is_sync});
  work_disk(m);
}

/// How long one order takes that begins now.
sim_time world::disk_time(const member& m) {
  auto takes = random_.between(swarm_.disk_min, healed_ ? std::min(swarm_.disk_max, 2 * millisecond) : swarm_.disk_max);
  if (time_.now() < m.slow_until) takes += random_.between(20 * millisecond, 600 * millisecond);
  return takes;
}

/// The oldest order, then the next: never two at once, never out of order. What an order takes is known when it begins,
/// so a disk that was slow gets through its queue quickly once it is not.
void world::work_disk(member& m) {
  if (m.disk_busy || m.disk_queue.empty()) return;
  m.disk_busy = true;
  later(m, disk_time(m), [this, &m] {
    auto order = std::move(m.disk_queue.front());
    m.disk_queue.pop_front();
    m.disk_busy = false;
    if (order.is_sync && m.sync_fails) {
      trace([&] { return m.name() + ": its fsync fails"; });
      return crash_for_a_while(m, true);
    }
    const auto start = m.start;
    order.what();
    if (m.start != start || !m.up) return;
    work_disk(m);
    carry_out_replica(m);
  });
}

void world::carry_out_replica(member& m) {
  const auto start = m.start;
  for (;;) {
    auto effects = m.replica->take_effects();
    if (effects.empty()) break;
    for (auto& e : effects) {
      perform_replica(m, e);
      if (m.start != start || !m.up || check_.failure()) return;
    }
  }
}

void world::perform_replica(member& m, replica_effect& e) {
  struct visitor {
    world& w;
    member& m;
    void operator()(effects::send& what) const {
      if (const auto* r = std::get_if<append_response>(&what.what.body); r != nullptr && r->durable.bytes != 0)
        w.check_.says_durable(*m.files, what.what.segment, r->durable, m.name());
      if (const auto* r = std::get_if<fence_response>(&what.what.body))
        w.check_.answers_fence(*m.files, what.what.segment, m.id, *r, m.name());
      w.send_log(m, what.what);
    }
    void operator()(const effects::set_timer& what) const {
      const auto at = m.global(what.at);
      w.time_.at(at, [&w = w, &m = m, start = m.start] {
        if (m.start != start || !m.up) return;
        m.deliver(
            [&w, &m, start] {
              if (m.start != start || !m.up) return;
              m.replica->tick(w.moment_of(m));
              w.carry_out_replica(m);
            },
            false);
      });
    }
    void operator()(const effects::create_file& what) const {
      if (const auto* truth = w.truth()) w.check_.opened(what, *truth, m.name());
      w.order_disk(m, [&w = w, &m = m, what] {
        auto how = w.time_.now() < m.full_until ? result<void>(error{errc::resource_exhausted, "the disk is full"})
                                                : m.files->create(m.id, what);
        if (how) m.files->find(what.segment)->writer = m.start;
        m.replica->created(w.moment_of(m), what.number, how);
      });
    }
    void operator()(const effects::write_batches& what) const {
      if (w.time_.now() < m.full_until) {
        const auto part = w.random_.below(what.batches.size());
        (void)m.files->append(what.segment, what.at.bytes, what.batches.view().substr(0, part));
        return m.replica->write_failed(w.moment_of(m), what.segment, error{errc::resource_exhausted, "disk full"});
      }
      if (!m.files->append(what.segment, what.at.bytes, what.batches.view()))
        w.check_.fail(m.name() + " writes behind the end of segment " + to_string(what.segment));
      if (what.number.value != 0) m.replica->written(w.moment_of(m), what.number);
    }
    void operator()(const effects::sync_file& what) const {
      const auto size = m.files->size(what.segment);
      w.order_disk(
          m,
          [&w = w, &m = m, what, size] {
            m.files->sync(what.segment, size);
            m.replica->synced(w.moment_of(m), what.number);
          },
          true);
    }
    void operator()(const effects::keep_promise& what) const {
      w.order_disk(m, [&w = w, &m = m, what] {
        auto& kept = m.files->promises[what.segment];
        kept = std::max(kept, what.epoch);
        m.replica->promised(w.moment_of(m), what.number);
      });
    }
    void operator()(const effects::inspect_file& what) const {
      w.order_disk(m, [&w = w, &m = m, what] {
        m.replica->inspected(w.moment_of(m), what.number, m.files->inspect(what.segment, what.floor));
      });
    }
    void operator()(const effects::seal_file& what) const {
      w.order_disk(
          m,
          [&w = w, &m = m, what] {
            const auto* f = m.files->find(what.segment);
            const bool running = f != nullptr && f->writer == m.start;
            auto how = w.time_.now() < m.full_until
                           ? result<seal_outcome>(error{errc::resource_exhausted, "the disk is full"})
                           : m.files->seal(what.segment, what.length, what.verify || !running);
            m.replica->sealed(w.moment_of(m), what.number, how);
          },
          true);
    }
    void operator()(const effects::read_footer& what) const {
      w.order_disk(m, [&w = w, &m = m, what] {
        m.replica->footer_read(w.moment_of(m), what.number, m.files->footer(what.segment));
      });
    }
    // As segment_disk does: readers and checks do not stand in the queue of appends and fences.
    void operator()(const effects::read_batches& what) const {
      w.later(m, w.disk_time(m), [&w = w, &m = m, what] {
        auto found = m.files->read(what.segment, what.from, what.below, what.bytes_max);
        m.replica->batches_read(
            w.moment_of(m), what.number,
            found ? result<shared_bytes>(shared_bytes(std::move(*found))) : result<shared_bytes>(found.error()));
        w.carry_out_replica(m);
      });
    }
    void operator()(const effects::verify_file& what) const {
      w.later(m, w.disk_time(m), [&w = w, &m = m, what] {
        const auto* f = m.files->find(what.segment);
        result<void> how = ok();
        if (f == nullptr) {
          how = error{errc::not_found, "no such file"};
        } else {
          const auto batches = whole_batches(f->content, what.segment);
          if (!batches || xxh3_128(*batches) != what.digest) how = error{errc::corrupted, "it is damaged"};
        }
        m.replica->verified(w.moment_of(m), what.number, how);
        w.carry_out_replica(m);
      });
    }
    void operator()(const effects::release_file& what) const {
      if (what.forget_promise) m.files->promises.erase(what.segment);
    }
    void operator()(const effects::report& what) const {
      w.trace([&] { return m.name() + ": " + what.what; });
    }
  };
  std::visit(visitor{*this, m}, e);
}

void world::carry_out_leader(member& m, const key& where) {
  const auto start = m.start;
  for (;;) {
    const auto at = m.leaders.find(where);
    if (at == m.leaders.end()) return;
    auto effects = at->second.leader->take_effects();
    if (effects.empty()) return;
    for (auto& e : effects) {
      perform_leader(m, where, e);
      if (m.start != start || !m.up || check_.failure()) return;
    }
  }
}

void world::perform_leader(member& m, const key& where, leader_effect& e) {
  struct visitor {
    world& w;
    member& m;
    const key& where;
    leadership& l;
    void operator()(effects::send& what) const {
      if (const auto* r = std::get_if<append_request>(&what.what.body))
        w.check_.visible(what.what.segment, r->visible, w.time_.now());
      w.send_log(m, what.what);
    }
    void operator()(const effects::set_timer& what) const {
      w.time_.at(m.global(what.at), [&w = w, &m = m, where = where, number = l.number, start = m.start] {
        if (m.start != start || !m.up) return;
        m.deliver(
            [&w, &m, where, number, start] {
              if (m.start != start || !m.up) return;
              const auto at = m.leaders.find(where);
              if (at == m.leaders.end() || at->second.number != number) return;
              at->second.leader->tick(w.moment_of(m), *m.state);
              w.carry_out_leader(m, where);
            },
            false);
      });
    }
    void operator()(const effects::propose& what) const {
      w.propose(m, what.what,
                [&w = w, &m = m, where = where, number = l.number, proposal = what.number](const auto& a) {
                  const auto at = m.leaders.find(where);
                  if (at == m.leaders.end() || at->second.number != number) return;
                  at->second.leader->answered(w.moment_of(m), *m.state, proposal, a);
                  w.carry_out_leader(m, where);
                });
    }
    void operator()(const effects::answer_append& what) const {
      const auto asked = l.appends.find(what.id);
      if (asked == l.appends.end()) return;
      const auto [producer, operation] = asked->second;
      l.appends.erase(asked);
      w.answer(m, producer, operation, what.answer);
    }
    void operator()(const effects::stopped& what) const {
      w.trace([&] { return m.name() + " leads partition " + to_string(where.partition) + " no longer: " + what.why; });
      const auto gone = where;
      m.leaders.erase(gone);
    }
    void operator()(const effects::report& what) const {
      w.trace([&] { return m.name() + ": " + what.what; });
    }
  };
  const auto at = m.leaders.find(where);
  if (at != m.leaders.end()) std::visit(visitor{*this, m, at->first, at->second}, e);
}

void world::send_log(member& from, const message& what) {
  if (what.to.member.is_nil()) {  // a reader's answer
    auto& r = readers_[what.request];
    const auto* answer = std::get_if<read_response>(&what.body);
    if (answer == nullptr || answer->batches.empty()) return;
    const auto* s = truth();
    const auto* p = s == nullptr ? nullptr : s->find_partition(r.where.dataset, r.where.partition);
    if (p == nullptr) return;
    auto base = p->log.trimmed_records;
    bool known = p->log.open && p->log.open->id == what.segment;
    for (const auto& g : p->segments) {
      if (g.id == what.segment) {
        known = true;
        break;
      }
      base += g.records;
    }
    if (known) read_answered(r, base, {}, answer->batches.view(), what.segment);
    return;
  }
  if (what.to.member == from.id) {
    later(from, 2 * microsecond, [this, &from, what] { receive_log(from, what); });
    return;
  }
  const std::size_t to = what.to.member.value.octets[0] - 1u;
  if (to >= members_.size() || cut_[from.slot][to]) return;
  auto encoded = encode_message(what);
  if (encoded.head.size() + encoded.tail.size() > message_bytes_max)
    return check_.fail(from.name() + " sends more than a frame holds");
  const auto raw = std::make_shared<const bytes>(encoded.joined());
  transmit(from.slot, members_[to], [this, raw](member& m) {
    const auto decoded = decode_message(raw);
    if (!decoded) return check_.fail(m.name() + " was sent what it refuses: " + decoded.error().message());
    receive_log(m, *decoded);
  });
}

void world::receive_log(member& m, const message& what) {
  trace([&] { return m.name() + " ◄ m" + std::to_string(what.from.member.value.octets[0]) + " " + describe(what); });
  const bool request =
      std::holds_alternative<open_request>(what.body) || std::holds_alternative<append_request>(what.body) ||
      std::holds_alternative<fence_request>(what.body) || std::holds_alternative<seal_request>(what.body) ||
      std::holds_alternative<producers_request>(what.body) || std::holds_alternative<read_request>(what.body);
  if (request) {
    m.replica->receive(moment_of(m), what);
    return carry_out_replica(m);
  }
  if (std::holds_alternative<verify_response>(what.body)) return verified(m, what);
  const auto at = m.leaders.find(what.where);
  if (at == m.leaders.end()) return;
  at->second.leader->receive(moment_of(m), *m.state, what);
  carry_out_leader(m, what.where);
}

/// The kernel closes a dead process's connections: whoever is not cut off hears of it.
void world::lost_connection(member& to) {
  for (auto& m : members_) {
    if (&m == &to || !m.up || cut_[to.slot][m.slot]) continue;
    later(m, delay(), [this, &m, id = to.id] {
      std::vector<key> running;
      for (const auto& [where, l] : m.leaders) running.push_back(where);
      for (const auto& where : running) {
        const auto at = m.leaders.find(where);
        if (at == m.leaders.end()) continue;
        at->second.leader->member_lost(moment_of(m), *m.state, id);
        carry_out_leader(m, where);
      }
    });
  }
}

}  // namespace troupe::simulation::log
