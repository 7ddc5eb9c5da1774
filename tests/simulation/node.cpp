#include <tests/simulation/simulation.hpp>

/// A member: the owner that carries out what its `raft` decides.
namespace troupe::simulation {

using namespace consensus;

void simulation::start(node& n) {
  if (n.up) return;
  n.id = process::id_of(n.slot, n.generation);
  if (auto opened = n.storage->reopen(); !opened)
    return check_.fail(n.name() + " refuses its disk: " + opened.error().message());
  // Only the first members of a cluster know who votes before anyone tells them.
  auto found = n.storage->load(n.generation == 0 ? first_members_ : configuration{});
  if (!found) return check_.fail(n.name() + " refuses its disk: " + found.error().message());
  n.up = true;
  n.paused = false;
  ++n.start;
  n.state = {};
  if (found->latest.index.value != 0) n.state.load(*found->latest.state);
  if (found->latest.index.value == 0) n.state.skip(log_index{0});
  check_.restored(n.state, n.name());
  n.snapshot_at = found->latest.index;
  n.members = found->latest.members;
  auto options = swarm_.raft;
  options.cluster = cluster_;
  options.self = n.id;
  options.seed = random_.next();
  options.bug = bug_.in_raft;
  n.raft = std::make_unique<raft>(options, std::move(*found), local(n));
  n.members = n.raft->members();
  trace([&] {
    return n.name() + " starts: term " + to_string(n.raft->term()) + ", log to " + to_string(n.raft->log().last());
  });
  carry_out(n);
}

void simulation::crash(node& n) {
  if (!n.up) return;
  trace([&] { return n.name() + " crashes"; });
  ++out_.crashes;
  // What the disk was told and had not yet confirmed: a part of it may be there. What only waited is not.
  for (std::size_t i = 0; i < n.disk_writing; ++i) {
    if (i + 1 < n.disk_writing && random_.coin()) {
      n.storage->write(n.disk_queue[i]);
    } else {
      n.storage->write_torn(n.disk_queue[i], random_);
      break;
    }
  }
  n.disk_queue.clear();
  n.disk_writing = 0;
  n.sync_fails = false;
  n.end();
  n.raft.reset();
  n.proposals.clear();
  n.reads.clear();
}

void simulation::wipe(node& n) {
  crash(n);
  trace([&] { return n.name() + " loses its disk"; });
  ++out_.wipes;
  n.storage->wipe();
  if (bug_.in_owner != owner_bug::wiped_keeps_identity) ++n.generation;
  n.id = process::id_of(n.slot, n.generation);
  n.members = {};
}

void simulation::pause(node& n, sim_time how_long) {
  if (!n.up || n.paused) return;
  trace([&] { return n.name() + " hangs for " + std::to_string(how_long / millisecond) + " ms"; });
  n.paused = true;
  time_.after(how_long, [this, &n, start = n.start] {
    if (n.start == start) resume(n);
  });
}

void simulation::resume(node& n) {
  if (!n.paused) return;
  trace([&] { return n.name() + " goes on"; });
  n.resume();
}

void simulation::carry_out(node& n) {
  const auto start = n.start;
  for (;;) {
    const auto effects = n.raft->take_effects();
    if (effects.empty()) break;
    for (const auto& e : effects) {
      perform(n, e);
      if (!n.up || n.start != start || check_.failure()) return;
    }
    if (swarm_.snapshot_every != 0 && n.state.applied().value >= n.snapshot_at.value + swarm_.snapshot_every) {
      n.snapshot_at = n.state.applied();
      const bool whole = bug_.in_owner != owner_bug::request_ids_not_in_snapshot;
      n.raft->compact(local(n), n.snapshot_at, std::make_shared<const bytes>(n.state.save(whole)));
    }
  }
  check_.queues(*n.raft, swarm_.raft, n.disk_queue.size(), n.name());
}

void simulation::perform(node& n, const effect& e) {
  struct visitor {
    simulation& s;
    node& n;
    void operator()(const effects::send& what) const { s.transmit(n, what.what); }
    void operator()(const effects::persist& what) const {
      auto before =
          what.entries.empty() ? std::nullopt : n.raft->log().term_at(log_index{what.entries.front().index.value - 1});
      for (const auto& written : what.entries) {
        s.check_.written(written, before);
        before = written.term;
      }
      n.disk_queue.push_back(what);
      s.begin_write(n);
    }
    void operator()(const effects::set_timer& what) const {
      const auto number = ++n.timer;
      s.time_.at(n.global(what.at), [&s = s, &n = n, number, start = n.start] {
        if (n.start != start) return;
        n.deliver(
            [&s, &n, number, start] {
              if (n.start != start || n.timer != number) return;
              n.raft->tick(s.local(n));
              s.carry_out(n);
            },
            false);
      });
    }
    void operator()(const effects::apply& what) const { s.apply(n, what); }
    void operator()(const effects::restore& what) const {
      n.state.load(*what.from.state);
      n.snapshot_at = what.from.index;
      s.check_.restored(n.state, n.name());
      s.trace([&] { return n.name() + " restores a snapshot at " + to_string(what.from.index); });
    }
    void operator()(const effects::read_ready& what) const {
      const auto found = n.reads.find(what.id.value);
      if (found == n.reads.end()) return;
      s.answer_read(n, found->second);
      n.reads.erase(found);
    }
    void operator()(const effects::read_failed& what) const {
      const auto found = n.reads.find(what.id.value);
      if (found == n.reads.end()) return;
      s.redirect(n, found->second);
      n.reads.erase(found);
    }
    void operator()(const effects::role_changed& what) const {
      if (what.now == role::leader) {
        ++s.out_.elections;
        s.check_.elected(*n.raft, n.id);
        s.trace([&] { return n.name() + " leads term " + to_string(what.term); });
        s.dance_elects(n);
        if (s.swarm_.cut_at_election && !s.healed_)
          s.time_.after(s.random_.between(0, 5 * s.swarm_.delay_max), [&s = s, slot = n.slot] {
            if (!s.healed_) s.isolate(slot, slot);
          });
        if (s.swarm_.change_members_at_election && !s.healed_)
          s.time_.after(s.random_.between(0, 4 * millisecond), [&s = s] { s.change_members(); });
      }
      n.proposals.clear();  // clients ask again
    }
    void operator()(const effects::members_changed& what) const {
      n.members = what.members;
      s.trace([&] {
        std::string text = n.name() + " knows voters";
        for (const auto& id : what.members.voters) text += " m" + std::to_string(id.value.octets[0]);
        return text + ", " + std::to_string(what.members.learners.size()) + " learners";
      });
    }
    void operator()(const effects::alarm& what) const { s.check_.fail(n.name() + ": " + what.what); }
  };
  std::visit(visitor{*this, n}, e);
}

void simulation::begin_write(node& n) {
  if (n.disk_writing != 0 || n.disk_queue.empty()) return;
  n.disk_writing = n.disk_queue.size();
  auto takes = random_.between(swarm_.disk_min, healed_ ? std::min(swarm_.disk_max, 2 * millisecond) : swarm_.disk_max);
  if (time_.now() < n.slow_until) takes += random_.between(50 * millisecond, 1500 * millisecond);
  if (bug_.in_owner == owner_bug::acks_before_disk)
    time_.after(0, [this, &n, start = n.start, number = n.disk_queue.back().number] {
      if (n.start != start || n.paused) return;
      n.raft->persisted(local(n), number);
      carry_out(n);
    });
  bool promises = false;
  for (const auto& write : n.disk_queue) promises = promises || write.state;
  if (promises && !healed_ && random_.per_mille(swarm_.crash_after_vote_per_mille))
    time_.after(random_.between(0, takes), [this, &n, start = n.start] {
      if (n.start != start || healed_) return;
      crash(n);
      time_.after(random_.between(1 * millisecond, swarm_.restart_max), [this, &n] { this->start(n); });
    });
  time_.after(takes, [this, &n, start = n.start] {
    if (n.start == start)
      n.deliver(
          [this, &n, start] {
            if (n.start == start) end_write(n);
          },
          false);
  });
}

void simulation::end_write(node& n) {
  if (n.sync_fails) {
    trace([&] { return n.name() + ": its fsync fails"; });
    n.raft->disk_failed(local(n));
    carry_out(n);
    if (!n.up) return;
    crash(n);
    time_.after(random_.between(1 * millisecond, swarm_.restart_max), [this, &n] { start(n); });
    return;
  }
  const auto number = n.disk_queue[n.disk_writing - 1].number;
  bool promised = false;
  for (; n.disk_writing != 0; --n.disk_writing) {
    promised = promised || n.disk_queue.front().state;
    n.storage->write(n.disk_queue.front());
    n.disk_queue.pop_front();
  }
  n.raft->persisted(local(n), number);
  begin_write(n);
  carry_out(n);
  if (!promised || healed_ || !n.up || !random_.per_mille(swarm_.crash_after_vote_per_mille)) return;
  crash(n);
  time_.after(random_.between(1 * millisecond, swarm_.restart_max), [this, &n] { start(n); });
}

void simulation::apply(node& n, const effects::apply& what) {
  for (const auto& e : what.entries) {
    if (e.index <= n.state.applied()) continue;
    std::uint64_t value = 0;
    if (e.kind == entry_kind::command)
      value = n.state.apply(e.index, e.payload);
    else
      n.state.skip(e.index);
    if (e.kind == entry_kind::configuration) ++out_.configurations;
    check_.applied(e, n.raft->term(), n.state, n.name());
    const auto waiting = n.proposals.find(e.index);
    if (waiting == n.proposals.end()) continue;
    const auto [in_term, request] = waiting->second;
    n.proposals.erase(waiting);
    if (in_term == e.term) answer_write(n, request, value);
  }
}

}  // namespace troupe::simulation
