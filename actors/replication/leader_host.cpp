#include <actors/replication/leader_host.hpp>
#include <algorithm>
#include <boost/asio/post.hpp>
#include <troupe/replication/placement.hpp>
#include <troupe/telemetry/log.hpp>

namespace troupe::logs {

namespace asio = boost::asio;
using namespace std::chrono_literals;
namespace placement = replication::placement;

namespace {
constexpr auto proposal_time_max = 2s;  ///< of one try; a leader's proposal is made again until it is answered
constexpr auto proposal_pause = 50ms;
constexpr auto evaluate_delay = 50ms;                ///< after a leader ended: not in a tight loop
constexpr std::size_t appends_waiting_max = 65'536;  ///< of one leader
}  // namespace

leader_host::leader_host(log_context_ptr c, send_function send)
    : context_(std::move(c)), send_(std::move(send)), evaluate_timer_(context_->io) {}

bool leader_host::is_gone(const metadata::state& s, const replica_ref& who) const {
  if (!s.is_current(who)) return true;
  const auto at = gone_.find(who.member);
  return at != gone_.end() && at->second == who.incarnation;
}

/// As placement::next_leader, without those that are known here to be gone before metadata says so.
std::optional<member_id> leader_host::whom_to_ask(const metadata::state& s, const partition_key& where) const {
  const auto* p = s.find_partition(where.dataset, where.partition);
  if (p == nullptr) return std::nullopt;
  if (p->log.leader && !is_gone(s, *p->log.leader) && !s.find_member(p->log.leader->member)->draining)
    return p->log.leader->member;
  std::optional<member_id> first;
  for (const auto& who : placement::ranked(s, where)) {
    if (is_gone(s, who)) continue;
    if (!first) first = who.member;
    if (!p->log.open) break;
    const auto& replicas = p->log.open->replicas;
    if (std::find(replicas.begin(), replicas.end(), who) != replicas.end()) return who.member;
  }
  return first;
}

std::optional<member_id> leader_host::whom_to_ask(const partition_key& where) const {
  return context_->parts.metadata.read([&](const metadata::state& s) { return whom_to_ask(s, where); });
}

template <class F>
void leader_host::with(const partition_key& where, const hosted_ptr& h, F f) {
  if (h->ended) return;
  context_->parts.metadata.read([&](const metadata::state& s) {
    f(h->leader, context_->now(), s);
    return 0;
  });
  carry_out(where, h);
}

std::optional<error> leader_host::without_lease() const {
  const auto& may_act = context_->parts.may_act;
  if (lease_lost_.empty() && (!may_act || may_act())) return std::nullopt;
  return error{errc::unavailable, context_->name_of(context_->self.member) + " leads nothing now: " +
                                      (lease_lost_.empty() ? std::string("its lease has run out") : lease_lost_)};
}

leader_host::hosted_ptr leader_host::start(const partition_key& where, bool old_leader_gone) {
  auto& slot = leaders_[where];
  if (slot) return slot;
  replication::leader_options o;
  o.cluster = context_->parts.self.cluster;
  o.self = context_->self;
  o.where = where;
  o.segment_bytes = context_->options.segment_bytes;
  slot = std::make_shared<hosted>(std::move(o), context_->io);
  auto h = slot;
  context_->count.take_overs.add();
  with(where, h, [&](auto& leader, auto now, const auto& s) {
    leader.start(now, s, old_leader_gone);
    // What was seen before it began: it would wait for fences of members that are gone until metadata says so.
    for (const auto& [id, was] : gone_)
      if (s.is_current({id, was})) leader.member_lost(now, s, id);
  });
  return h;
}

void leader_host::append(const partition_key& where, const uuid& producer, std::uint64_t sequence, std::uint32_t count,
                         shared_bytes payload, std::function<void(result<appended>)> then) {
  if (auto why = without_lease()) return then(std::move(*why));
  const auto at = leaders_.find(where);
  hosted_ptr h = at == leaders_.end() ? nullptr : at->second;
  if (!h) {
    bool old_leader_gone = false;
    const auto next = context_->parts.metadata.read([&](const metadata::state& s) {
      const auto* p = s.find_partition(where.dataset, where.partition);
      old_leader_gone = p != nullptr && p->log.leader && is_gone(s, *p->log.leader);
      return whom_to_ask(s, where);
    });
    if (next != context_->self.member)
      return then(error{errc::unavailable, context_->name_of(context_->self.member) + " does not lead this partition"});
    h = start(where, old_leader_gone);
  }
  if (h->ended) return then(error{errc::unavailable, "the partition is about to be led by somebody else"});
  if (h->appends.size() >= appends_waiting_max)
    return then(error{errc::resource_exhausted, "too many appends to one partition wait; try again later"});
  const replication::append_id id{++h->last_append};
  h->appends.emplace(id, hosted::waiting{std::move(then), payload.size()});
  h->arrived.push_back({id, producer, sequence, count, std::move(payload)});
  if (h->arrived.size() > 1) return;
  asio::post(context_->io, [self = shared_from_this(), where, h] { self->take_arrived(where, h); });
}

/// All that has come since the thread last looked goes into one message to each replica, and one write there.
void leader_host::take_arrived(const partition_key& where, const hosted_ptr& h) {
  auto arrived = std::exchange(h->arrived, {});
  std::vector<std::pair<replication::append_id, error>> refused;
  with(where, h, [&](auto& leader, auto now, const auto& s) {
    for (auto& a : arrived)
      if (const auto taken = leader.append(now, s, a.id, a.producer, a.sequence, a.count, std::move(a.payload), true);
          !taken)
        refused.emplace_back(a.id, taken.error());
    leader.tick(now, s);
  });
  for (const auto& [id, why] : refused) {
    const auto mine = h->appends.find(id);
    if (mine == h->appends.end()) continue;
    auto told = std::move(mine->second.then);
    h->appends.erase(mine);
    told(why);
  }
}

void leader_host::receive(const replication::message& m) {
  const auto at = leaders_.find(m.where);
  if (at == leaders_.end()) return;
  const auto h = at->second;
  with(m.where, h, [&](auto& leader, auto now, const auto& s) { leader.receive(now, s, m); });
}

void leader_host::carry_out(const partition_key& where, const hosted_ptr& h) {
  if (h->carrying) return;
  h->carrying = true;
  for (auto effects = h->leader.take_effects(); !effects.empty(); effects = h->leader.take_effects()) {
    for (auto& effect : effects) {
      if (auto* e = std::get_if<replication::effects::send>(&effect)) {
        send_(e->what);
      } else if (const auto* t = std::get_if<replication::effects::set_timer>(&effect)) {
        h->timer.expires_at(std::chrono::time_point_cast<std::chrono::steady_clock::duration>(t->at));
        h->timer.async_wait([this, self = shared_from_this(), where, h](const boost::system::error_code& ended) {
          if (ended || h->ended) return;
          with(where, h, [](auto& leader, auto now, const auto& s) { leader.tick(now, s); });
        });
      } else if (auto* p = std::get_if<replication::effects::propose>(&effect)) {
        propose(where, h, p->number, std::move(p->what), request_id::random());
      } else if (auto* a = std::get_if<replication::effects::answer_append>(&effect)) {
        const auto waiting = h->appends.find(a->id);
        if (waiting == h->appends.end()) continue;
        auto done = std::move(waiting->second);
        h->appends.erase(waiting);
        // It may be durable, and a retry finds out: others may have sealed the segment while this process was stopped.
        if (a->answer)
          if (auto why = without_lease()) a->answer = std::move(*why);
        if (a->answer && !a->answer->duplicate) {
          context_->count.records_appended.add(a->answer->count);
          context_->count.bytes_appended.add(done.bytes);
        }
        done.then(a->answer);
      } else if (const auto* r = std::get_if<replication::effects::report>(&effect)) {
        context_->report(r->alarm ? "log_damage" : "log_leader", r->what, r->alarm);
      } else if (const auto* stopped = std::get_if<replication::effects::stopped>(&effect)) {
        end(where, h, stopped->why);
      }
    }
  }
  h->carrying = false;
}

void leader_host::propose(const partition_key& where, const hosted_ptr& h, replication::proposal_number number,
                          metadata::command what, request_id id) {
  auto again = what;
  context_->parts.metadata.propose(
      std::move(what), id, static_cast<std::uint32_t>(std::chrono::milliseconds(proposal_time_max).count()),
      [weak = weak_from_this(), c = std::weak_ptr(context_), where, weak_leader = std::weak_ptr(h), number,
       again = std::move(again), id](result<metadata::response> answer) {
        const auto context = c.lock();
        if (!context || context->stopping) return;
        asio::post(context->io, [weak, where, weak_leader, number, again, id, answer = std::move(answer)] {
          const auto self = weak.lock();
          const auto leader = weak_leader.lock();
          if (!self || !leader || leader->ended) return;
          const bool unheard = !answer && (answer.error().code() == errc::unavailable ||
                                           answer.error().code() == errc::deadline_exceeded);
          if (!unheard)
            return self->with(where, leader,
                              [&](auto& l, auto now, const auto& s) { l.answered(now, s, number, answer); });
          auto timer = std::make_shared<asio::steady_timer>(self->context_->io, proposal_pause);
          timer->async_wait([timer, self, where, leader, number, again, id](const boost::system::error_code& ended) {
            if (!ended && !leader->ended) self->propose(where, leader, number, again, id);
          });
        });
      });
}

void leader_host::end(const partition_key& where, const hosted_ptr& h, const std::string& why) {
  if (std::exchange(h->ended, true)) return;
  h->timer.cancel();
  for (auto& [id, waiting] : std::exchange(h->appends, {}))
    waiting.then(error{errc::unavailable, "the partition is led by somebody else now: " + why});
  const auto at = leaders_.find(where);
  if (at != leaders_.end() && at->second == h) leaders_.erase(at);
  context_->parts.log.info("log", "no longer leading partition " + to_string(where.partition) + " of dataset " +
                                      to_string(where.dataset) + ": " + why);
  evaluate_later();
}

void leader_host::evaluate_later() {
  if (context_->stopping || std::exchange(evaluate_soon_, true)) return;
  evaluate_timer_.expires_after(evaluate_delay);
  evaluate_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& ended) {
    self->evaluate_soon_ = false;
    if (!ended) self->evaluate();
  });
}

void leader_host::evaluate() {
  if (context_->stopping || !lease_lost_.empty()) return;
  const auto mine = context_->parts.metadata.read([&](const metadata::state& s) {
    std::erase_if(gone_, [&](const auto& one) { return !s.is_current({one.first, one.second}); });
    return placement::to_lead(s, context_->self.member);
  });
  for (const auto& where : mine)
    if (!leaders_.contains(where)) start(where, false);
}

void leader_host::evaluate(const std::set<partition_key>& of) {
  if (context_->stopping || !lease_lost_.empty()) return;
  std::vector<partition_key> mine;
  context_->parts.metadata.read([&](const metadata::state& s) {
    for (const auto& where : of) {
      const auto* p = s.find_partition(where.dataset, where.partition);
      if (p == nullptr || (!p->log.leader && !p->log.open)) continue;
      // Named by who gave way; or nobody is, and this member is next.
      const bool named = p->log.leader == context_->self;
      const bool nobody = !p->log.leader && whom_to_ask(s, where) == context_->self.member;
      if (named || nobody) mine.push_back(where);
    }
    return 0;
  });
  for (const auto& where : mine)
    if (!leaders_.contains(where)) start(where, false);
}

/// Its process is gone before metadata knows: leaders go on without it, and what it led is taken over by whoever is
/// next.
void leader_host::member_gone(member_id id, troupe::incarnation was) {
  std::vector<partition_key> orphans;
  context_->parts.metadata.read([&](const metadata::state& s) {
    const auto* m = s.find_member(id);
    if (m == nullptr || m->incarnation != was) return 0;
    gone_[id] = was;
    for (const auto& [dataset, d] : s.datasets()) {
      if (d.state != metadata::dataset_state::ready) continue;
      for (std::uint32_t p = 0; p < d.partitions.size(); ++p) {
        const auto& log = d.partitions[p].log;
        const partition_key where{dataset, partition_index{p}};
        if (log.open && log.leader && log.leader->member == id && whom_to_ask(s, where) == context_->self.member)
          orphans.push_back(where);
      }
    }
    return 0;
  });
  if (!gone_.contains(id) || !lease_lost_.empty()) return;
  for (const auto& [where, h] : std::map(leaders_))
    with(where, h, [&](auto& leader, auto now, const auto& s) { leader.member_lost(now, s, id); });
  for (const auto& where : orphans)
    if (!leaders_.contains(where)) start(where, true);
}

void leader_host::changed(const partition_key& where) {
  const auto at = leaders_.find(where);
  if (at == leaders_.end()) return;
  const auto h = at->second;
  with(where, h, [](auto& leader, auto now, const auto& s) { leader.metadata_changed(now, s); });
}

void leader_host::changed(dataset_id dataset) {
  for (const auto& [where, h] : std::map(leaders_))
    if (where.dataset == dataset) changed(where);
}

void leader_host::changed_all() {
  for (const auto& [where, h] : std::map(leaders_)) changed(where);
}

void leader_host::balance() {
  const auto drains = context_->parts.metadata.read([&](const metadata::state& s) {
    const auto* me = s.find_member(context_->self.member);
    return me != nullptr && me->draining;
  });
  if (drains) {
    for (const auto& [where, h] : std::map(leaders_))
      with(where, h, [](auto& leader, auto now, const auto& s) { leader.hand_over(now, s, std::nullopt); });
    return;
  }
  const auto gift = context_->parts.metadata.read(
      [&](const metadata::state& s) { return placement::to_give_away(s, context_->self.member); });
  if (!gift) return;
  const auto at = leaders_.find(gift->where);
  if (at == leaders_.end()) return;
  const auto h = at->second;
  with(gift->where, h, [&](auto& leader, auto now, const auto& s) { leader.hand_over(now, s, gift->to); });
}

ends_answer leader_host::ends_of(dataset_id dataset) const {
  ends_answer out;
  context_->parts.metadata.read([&](const metadata::state& s) {
    const auto* d = s.find_dataset(dataset);
    if (d == nullptr) return 0;
    for (const auto& [where, h] : leaders_) {
      if (where.dataset != dataset || where.partition.value >= d->partitions.size()) continue;
      const auto& p = d->partitions[where.partition.value];
      led_end one;
      one.partition = where.partition;
      one.epoch = h->leader.epoch();
      one.refusing = h->leader.refusing();
      one.open = h->leader.acknowledged();
      one.end = record_offset{p.log.trimmed_records};
      for (const auto& g : p.segments) one.end.value += g.records;
      // What it says of a segment that is sealed by now is in the sum already, or about to be.
      one.ready = one.open && p.log.open && p.log.open->id == one.open->segment;
      if (one.ready) one.end.value += one.open->records;
      out.partitions.push_back(std::move(one));
    }
    return 0;
  });
  return out;
}

void leader_host::lease_changed(const std::string& why) {
  lease_lost_ = why;
  if (!why.empty()) return end_all(why);
  evaluate_later();
}

void leader_host::stop(const std::string& why) {
  evaluate_timer_.cancel();
  end_all(why);
}

void leader_host::end_all(const std::string& why) {
  for (const auto& [where, h] : std::map(leaders_)) {
    with(where, h, [&](auto& leader, auto now, const auto&) { leader.stop(now, why); });
    end(where, h, why);
  }
}

}  // namespace troupe::logs
