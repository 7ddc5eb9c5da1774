#include <tests/simulation/log/world.hpp>
#include <troupe/replication/placement.hpp>

/// Producers: one append at a time each, sent again with its sequence until it is acknowledged. Readers: from an offset
/// on, from any copy.
namespace troupe::simulation::log {

using namespace replication;

namespace {
constexpr sim_time patience_min = 60 * millisecond, patience_max = 500 * millisecond;
constexpr sim_time read_interval = 40 * millisecond;
}  // namespace

void world::think(producer& p) {
  if (stopping_) return;
  // Once all is healed, only so much that a hang shows.
  const auto think_max = healed_ ? std::max(swarm_.think_max, 60 * millisecond) : swarm_.think_max;
  time_.after(random_.between(0, think_max), [this, &p] { begin(p); });
}

void world::begin(producer& p) {
  if (stopping_) return;
  p.operation = ++next_operation_;
  ++p.sequence;
  p.count = static_cast<std::uint32_t>(1 + random_.below(swarm_.records_max));
  p.payload.clear();
  for (std::uint32_t i = 0; i < p.count; ++i)
    p.payload +=
        write_record({p.number + 1, p.sequence, i}, random_.below(std::min<std::size_t>(swarm_.filler_max, 255)));
  attempt(p);
}

void world::attempt(producer& p) {
  const auto number = ++p.attempt;
  auto& to = members_[p.target];
  if (!lost())
    time_.after(delay(), [this, &to, who = p.number, operation = p.operation, id = p.id, sequence = p.sequence,
                          count = p.count, payload = p.payload, where = p.where, start = to.start] {
      if (to.start != start || !to.up) return;
      to.deliver(
          [this, &to, who, operation, id, sequence, count, payload, where, start] {
            if (to.start == start && to.up) ask(to, who, operation, id, sequence, count, payload, where);
          },
          true);
    });
  time_.after(random_.between(patience_min, patience_max), [this, &p, number, operation = p.operation] {
    if (p.operation != operation || p.attempt != number) return;
    p.target = random_.below(members_.size());
    attempt(p);
  });
}

void world::ask(member& m, std::size_t number, std::uint64_t operation, const uuid& id, std::uint64_t sequence,
                std::uint32_t count, const bytes& payload, const key& where) {
  const auto* p = m.state->find_partition(where.dataset, where.partition);
  if (p == nullptr) return redirect(m, number, operation, std::nullopt);
  auto at = m.leaders.find(where);
  if (at == m.leaders.end()) {
    const auto next = placement::next_leader(*m.state, where);
    if (p->log.leader && m.state->is_current(*p->log.leader) && p->log.leader->member != m.id)
      return redirect(m, number, operation, p->log.leader->member);
    if (!next || next->member != m.id)
      return redirect(m, number, operation, next ? std::optional(next->member) : std::nullopt);
    start_leader(m, where);
    at = m.leaders.find(where);
    if (at == m.leaders.end()) return redirect(m, number, operation, std::nullopt);
  }
  const append_id append{++next_operation_};
  at->second.appends.emplace(append, std::pair(number, operation));
  const auto taken =
      at->second.leader->append(moment_of(m), *m.state, append, id, sequence, count, shared_bytes(payload));
  if (!taken) {
    at->second.appends.erase(append);
    redirect(m, number, operation, m.id);
  }
  carry_out_leader(m, where);
}

void world::answer(member& m, std::size_t number, std::uint64_t operation, const result<effects::appended>& how) {
  if (number >= producers_.size()) return;
  auto& p = producers_[number];
  if (!how) {
    if (how.error().code() == errc::aborted && p.operation == operation)
      check_.fail("producer " + std::to_string(number + 1) + ": " + how.error().message());
    return redirect(m, number, operation, std::nullopt);
  }
  // That it was acknowledged counts whether or not the producer hears of it.
  if (p.operation == operation) check_.acknowledge(number + 1, p.sequence, p.where, *how, time_.now());
  if (lost()) return;
  time_.after(delay(), [this, &p, operation] {
    if (p.operation != operation) return;
    ++out_.operations;
    p.operation = 0;
    think(p);
  });
}

void world::redirect(member&, std::size_t number, std::uint64_t operation, std::optional<member_id> to) {
  if (number >= producers_.size() || lost()) return;
  auto& p = producers_[number];
  time_.after(delay(), [this, &p, operation, to] {
    if (p.operation != operation) return;
    const std::size_t slot = to ? to->value.octets[0] - 1u : members_.size();
    p.target = slot < members_.size() && random_.per_mille(900) ? slot : random_.below(members_.size());
    const auto number_now = p.attempt;
    time_.after(random_.between(1 * millisecond, 25 * millisecond), [this, &p, operation, number_now] {
      if (p.operation == operation && p.attempt == number_now) attempt(p);
    });
  });
}

void world::read_on(reader& r) {
  const auto again = [this, &r] {
    time_.after(random_.between(read_interval / 2, read_interval * 2), [this, &r] { read_on(r); });
  };
  auto& view = any();
  const auto* p = view.up ? view.state->find_partition(r.where.dataset, r.where.partition) : nullptr;
  if (p == nullptr) return again();
  auto base = p->log.trimmed_records;
  r.offset = std::max(r.offset, base);
  for (const auto& g : p->segments) {
    if (r.offset < base + g.records) {
      if (!g.holders.empty()) {
        auto* holder = member_of(g.holders[random_.below(g.holders.size())]);
        if (holder != nullptr && holder->up && !holder->paused) {
          auto found = holder->files->read(g.id, record_offset{r.offset - base}, record_offset{g.records}, 1 << 16);
          if (found) read_answered(r, base, {}, *found, g.id);
        }
      }
      if (r.offset >= base + g.records) return time_.after(1 * millisecond, [this, &r] { read_on(r); });
      return again();
    }
    base += g.records;
  }
  if (p->log.open) {
    const auto& replicas = p->log.open->replicas;
    const auto& who = replicas[random_.below(replicas.size())];
    if (auto* m = member_of(who.member); m != nullptr && m->up && !m->paused) {
      message asked;
      asked.cluster = cluster_;
      asked.to = who;
      asked.where = r.where;
      asked.segment = p->log.open->id;
      asked.request = static_cast<std::uint64_t>(&r - &readers_.front());
      asked.body = read_request{record_offset{r.offset - base}, 1U << 16, random_.coin() ? 0U : 30U};
      m->replica->receive(moment_of(*m), asked);
      carry_out_replica(*m);
    }
  }
  again();
}

void world::read_answered(reader& r, std::uint64_t base, record_offset, bytes_view batches, segment_id id) {
  format::batch_cursor cursor(batches, id);
  format::batch_view batch;
  for (;;) {
    const auto more = cursor.next(batch);
    if (!more) return check_.fail("a reader was given damaged bytes: " + more.error().message());
    if (!*more) return;
    const auto names = read_records(batch.payload, batch.header.count);
    if (!names) return check_.fail("a reader was given what nobody wrote");
    const auto first = base + batch.header.first_offset.value;
    check_.read(r.where, first, *names);
    r.offset = std::max(r.offset, first + batch.header.count);
  }
}

/// Many appends at once from a producer that does not wait, so that queues fill.
void world::burst() {
  auto* m = some_log_leader();
  if (m == nullptr) return;
  const auto at = std::next(m->leaders.begin(), static_cast<std::ptrdiff_t>(random_.below(m->leaders.size())));
  const auto where = at->first;
  for (std::size_t i = 0; i < swarm_.burst; ++i)
    (void)at->second.leader
        ->append(moment_of(*m), *m->state, append_id{++next_operation_}, uuid{}, 0, 1,
                 shared_bytes(write_record({0, next_operation_, 0}, random_.below(200))))
        .has_value();
  check_queues(*m);
  carry_out_leader(*m, where);
}

}  // namespace troupe::simulation::log
