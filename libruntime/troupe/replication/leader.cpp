#include <algorithm>
#include <troupe/replication/leader.hpp>
#include <troupe/replication/placement.hpp>

/// Events, timers and proposals of a partition's leader.
namespace troupe::replication {

using namespace effects;

std::string log_leader::name() const {
  return "partition " + to_string(options_.where.partition) + " of dataset " + to_string(options_.where.dataset);
}

void log_leader::start(moment now, const metadata::state& s, bool old_leader_gone) {
  now_ = now;
  old_leader_gone_ = old_leader_gone;
  const auto* p = s.find_partition(options_.where.dataset, options_.where.partition);
  if (p == nullptr) return end(name() + " is not there (any more)");
  epoch_ = p->log.epoch;
  phase_ = phase::taking;
  propose(
      metadata::take_over{options_.where.dataset, options_.where.partition, epoch_, options_.self, old_leader_gone});
}

void log_leader::propose(metadata::command what) {
  last_proposal_ = last_proposal_.next();
  proposal_ = pending_proposal{last_proposal_, what, true, {}};
  effects_.push_back(effects::propose{last_proposal_, std::move(what)});
}

void log_leader::report(std::string what, bool alarm) { effects_.push_back(effects::report{std::move(what), alarm}); }

void log_leader::send(const replica_ref& to, segment_id segment, message_body body) {
  const auto epoch = std::holds_alternative<open_request>(body) || std::holds_alternative<append_request>(body)
                         ? segment_epoch_
                         : epoch_;
  effects_.push_back(effects::send{
      message{options_.cluster, options_.self, to, options_.where, segment, epoch, ++last_request_, std::move(body)}});
}

void log_leader::arm(time_point at) {
  if (timer_ && *timer_ <= at) return;
  timer_ = at;
  effects_.push_back(set_timer{at});
}

void log_leader::tick(moment now, const metadata::state& s) {
  now_ = now;
  if (timer_ && now.now >= *timer_) timer_.reset();
  act(now, s);
}

/// What may be due after any event.
void log_leader::act(moment now, const metadata::state& s) {
  if (phase_ == phase::stopped || phase_ == phase::idle) return;
  check_deadlines(now);
  if (proposal_ && !proposal_->out && now.now >= proposal_->again) {
    proposal_->out = true;
    effects_.push_back(effects::propose{proposal_->number, proposal_->what});
  }
  check_timers(now, s);
  if (phase_ == phase::leading) pump(now, s);
  // The next thing that could be due; an early call does no harm.
  if (phase_ == phase::stopped) return;
  const bool busy = phase_ != phase::leading || !window_.empty() || !queue_.empty();
  arm(now.now + (busy ? options_.resend_interval : options_.retry_interval));
}

void log_leader::check_deadlines(moment now) {
  const auto expire = [&](items& list, bool drop) {
    for (auto at = list.begin(); at != list.end();) {
      const bool late = at->deadline <= now.now && !at->waiters.empty();
      if (late)
        answer(*at, error{errc::unavailable, "it is not known whether the append to " + name() +
                                                 " was made: send it again with the same sequence" +
                                                 (refusing_.empty() ? "" : "; " + refusing_)});
      if (late && drop) {
        pending_bytes_ -= at->payload.size();
        at = list.erase(at);
      } else {
        ++at;
      }
    }
  };
  expire(queue_, true);
  expire(placed_, false);
}

void log_leader::answer(item& i, const result<appended>& what) {
  for (const auto id : std::exchange(i.waiters, {})) effects_.push_back(answer_append{id, what});
}

/// Whether metadata still says what this leader believes. Our own proposal may have been applied before its answer.
bool log_leader::still_leads(moment, const metadata::state& s) {
  const auto* p = s.find_partition(options_.where.dataset, options_.where.partition);
  if (p == nullptr) {
    end(name() + " is not there (any more)");
    return false;
  }
  if (phase_ == phase::taking && proposal_) return true;  // its answer says it
  const bool mine = p->log.leader == options_.self;
  if (mine && (p->log.epoch == epoch_ || (proposal_ && p->log.epoch == epoch_.next()))) return true;
  if (proposal_ && std::holds_alternative<metadata::release_partition>(proposal_->what)) return true;
  end(name() + " is led by another member by now, at epoch " + to_string(p->log.epoch));
  return false;
}

void log_leader::metadata_changed(moment now, const metadata::state& s) {
  now_ = now;
  if (phase_ == phase::stopped || phase_ == phase::idle || !still_leads(now, s)) return;
  if (const auto* d = s.find_dataset(options_.where.dataset)) {
    min_copies_ = d->log.min_copies;
  }
  const auto* me = s.find_member(options_.self.member);
  const bool settled = phase_ == phase::leading || phase_ == phase::starved;
  if (settled && me != nullptr && me->draining) return hand_over(now, s, std::nullopt);
  for (auto& f : followers_)
    if ((phase_ == phase::opening || phase_ == phase::leading) && !f.failed && !s.is_current(f.who))
      fail_follower(now, s, f, "it is gone, or was started again");
  if (phase_ == phase::fencing) {
    // Who has been asked is looking: asked twice it would read everything twice.
    for (auto& f : followers_)
      if (!s.is_current(f.asked)) ask_fence(s, f);
    evaluate_fence(now, s);
  } else if (phase_ == phase::sealing) {
    for (auto& f : followers_) f.failed = f.failed || !s.is_current(f.who);
    evaluate_seal(now, s);
  } else if (phase_ == phase::starved && !proposal_) {
    transact(now, s);
  }
  act(now, s);
}

void log_leader::member_lost(moment now, const metadata::state& s, member_id id) {
  now_ = now;
  if (phase_ == phase::stopped || phase_ == phase::idle) return;
  if (const auto* m = s.find_member(id)) {
    std::erase_if(lost_, [&](const auto& known) { return known.first.member == id || known.second <= now.now; });
    lost_.emplace_back(replica_ref{id, m->incarnation}, now.now + options_.suspect_time);
  }
  for (auto& f : followers_)
    if (f.who.member == id && !f.failed && (phase_ == phase::opening || phase_ == phase::leading))
      fail_follower(now, s, f, "its connection is closed");
  if (phase_ == phase::fencing) evaluate_fence(now, s);
  if (phase_ == phase::sealing) {
    for (auto& f : followers_) f.failed = f.failed || f.who.member == id;
    evaluate_seal(now, s);
  }
  act(now, s);
}

void log_leader::receive(moment now, const metadata::state& s, const message& m) {
  now_ = now;
  if (phase_ == phase::stopped || m.cluster != options_.cluster || m.to != options_.self || m.where != options_.where)
    return;
  std::erase_if(lost_, [&](const auto& known) { return known.first.member == m.from.member; });
  std::visit([&](const auto& body) { on(now, s, m, body); }, m.body);
  act(now, s);
}

void log_leader::answered(moment now, const metadata::state& s, proposal_number number,
                          const result<metadata::response>& answer) {
  now_ = now;
  if (phase_ == phase::stopped || !proposal_ || proposal_->number != number) return;
  if (!answer && (answer.error().code() == errc::unavailable || answer.error().code() == errc::deadline_exceeded)) {
    // Metadata cannot be reached: the same proposal again, under the same id.
    proposal_->out = false;
    proposal_->again = now.now + options_.retry_interval;
    refusing_ = answer.error().message();
    return act(now, s);
  }
  const auto what = std::move(proposal_->what);
  proposal_.reset();
  if (std::holds_alternative<metadata::release_partition>(what)) return end(name() + " was given away");
  if (std::holds_alternative<metadata::take_over>(what)) {
    if (!answer) return end(answer.error().message());
    epoch_ = answer->epoch;
    if (still_leads(now, s)) after_take_over(now, s);
  } else if (answer) {
    after_transaction(now, s, *answer);
  } else if (still_leads(now, s)) {
    report(name() + ": " + answer.error().message());
    sealed_.reset();
    const auto* p = s.find_partition(options_.where.dataset, options_.where.partition);
    if (p->log.open) {
      begin_fence(now, s);  // a holder was lost meanwhile: ask again who has what
    } else {
      phase_ = phase::starved;
    }
  }
  act(now, s);
}

void log_leader::hand_over(moment, const metadata::state&, std::optional<replica_ref> to) {
  if (phase_ != phase::leading && phase_ != phase::starved) return;
  if (proposal_) return;
  phase_ = phase::transacting;
  propose(metadata::release_partition{options_.where.dataset, options_.where.partition, epoch_, options_.self, to});
}

void log_leader::stop(moment now, std::string why) {
  now_ = now;
  if (phase_ != phase::stopped) end(std::move(why));
}

void log_leader::end(std::string why) {
  phase_ = phase::stopped;
  const error unknown{errc::unavailable, why + ": send it again, with the same sequence"};
  for (auto* list : {&placed_, &queue_}) {
    for (auto& i : *list) answer(i, unknown);
    list->clear();
  }
  pending_bytes_ = window_bytes_ = 0;
  window_.clear();
  proposal_.reset();
  effects_.push_back(stopped{std::move(why)});
}

bool log_leader::suspect(moment now, const replica_ref& who, refusal why) {
  auto length = options_.suspect_time;
  bool known_already = false;
  for (const auto& known : suspects_) {
    if (known.who != who || known.why != why || why == refusal::none || now.now > known.until + known.length) continue;
    known_already = true;
    length = std::min(known.until > now.now ? known.length : 2 * known.length, options_.suspect_time_max);
  }
  // One whose time is up is remembered for as long again: what it says then tells whether anything has changed.
  std::erase_if(suspects_, [&](const auto& known) { return known.who == who || now.now > known.until + known.length; });
  suspects_.push_back({who, now.now + length, length, why});
  return known_already;
}

std::string log_leader::why_not(moment now, const metadata::state& s) const {
  std::string full, failed, away;
  const auto add = [](std::string& list, const metadata::member& m) { list += (list.empty() ? "" : ", ") + m.name; };
  for (const auto& [id, m] : s.members()) {
    const replica_ref who{id, m.incarnation};
    const auto known = std::find_if(suspects_.begin(), suspects_.end(),
                                    [&](const auto& x) { return x.until > now.now && x.who == who; });
    if (!s.takes_copies(id))
      add(away, m);
    else if (known != suspects_.end())
      add(known->why == refusal::disk_full ? full : failed, m);
    else if (is_lost(now, s, id))
      add(failed, m);
  }
  std::string out;
  for (const auto& [what, names] :
       {std::pair("no space left on ", full), std::pair("not answering or failing: ", failed),
        std::pair("away or draining: ", away)})
    if (!names.empty()) out += (out.empty() ? "" : "; ") + std::string(what) + names;
  return out;
}

/// Whether the member, as it runs now, was seen to be gone a short while ago.
bool log_leader::is_lost(moment now, const metadata::state& s, member_id id) const {
  const auto* m = s.find_member(id);
  return m != nullptr && std::any_of(lost_.begin(), lost_.end(), [&](const auto& known) {
           return known.first == replica_ref{id, m->incarnation} && known.second > now.now;
         });
}

/// Replicas for the next segment. Suspects are avoided while there are enough others.
std::vector<replica_ref> log_leader::choose(moment now, const metadata::state& s) const {
  std::vector<replica_ref> avoid;
  for (const auto& known : suspects_)
    if (known.until > now.now) avoid.push_back(known.who);
  for (const auto& [who, until] : lost_)
    if (until > now.now) avoid.push_back(who);
  return placement::choose_replicas(s, options_.where, options_.self, avoid);
}

std::optional<metadata::open_prefix> log_leader::acknowledged() const {
  const bool open = phase_ == phase::leading || (phase_ == phase::sealing && !fenced_path_);
  if (!open) return std::nullopt;
  return metadata::open_prefix{segment_, dropped_payload_, dropped_.bytes, dropped_.records};
}

std::vector<leader_effect> log_leader::take_effects() { return std::exchange(effects_, {}); }

log_leader::queue_sizes log_leader::queues() const {
  return {queue_.size() + placed_.size(), pending_bytes_, window_bytes_, window_.size()};
}

}  // namespace troupe::replication
