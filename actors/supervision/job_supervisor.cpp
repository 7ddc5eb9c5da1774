#include <actors/supervision/job_supervisor.hpp>
#include <algorithm>
#include <caf/send.hpp>
#include <chrono>

namespace troupe::actors {

using namespace scheduling;

namespace {

bool is_transient(errc code) {
  return code == errc::unavailable || code == errc::deadline_exceeded || code == errc::resource_exhausted;
}

local::posted_work work(std::function<void()> f) { return {std::make_shared<std::function<void()>>(std::move(f))}; }

}  // namespace

job_supervisor::job_supervisor(caf::actor_config& config, const node_context& context, caf::actor node, job_id job,
                               troupe::epoch epoch, std::shared_ptr<const peer_map> peers)
    : caf::event_based_actor(config),
      context_(context),
      node_(std::move(node)),
      job_(job),
      epoch_(epoch),
      peers_(std::move(peers)) {}

time_ms job_supervisor::now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void job_supervisor::on_exit() {
  proposals_.clear();
  after_start_.clear();
}

template <class Message>
void job_supervisor::send_to(member_id where, Message m) {
  if (where == context_.config.self)
    send(node_, std::move(m));
  else if (const auto found = peers_->find(where); found != peers_->end())
    send(found->second.gateway, std::move(m));
}

caf::behavior job_supervisor::make_behavior() {
  if (!begin()) return {};  // an actor without a behaviour ends
  delayed_send(this, tick_interval, local::tick{});
  return {
      [this](const message::attempt_started& m) {
        if (is_for_me(m.job, m.epoch)) tracker_->attempt_started(now(), m.what);
      },
      [this](message::attempt_finished& m) {
        if (!is_for_me(m.job, m.epoch)) return;
        send_to(m.sender.member, message::report_taken{context_.self(), job_, epoch_, m.what});
        tracker_->attempt_finished(now(), m.what, std::move(m.commit));
        flush();
      },
      [this](message::attempt_failed& m) {
        if (!is_for_me(m.job, m.epoch)) return;
        send_to(m.sender.member, message::report_taken{context_.self(), job_, epoch_, m.what});
        tracker_->attempt_failed(now(), m.what, {m.kind, m.code, std::move(m.text), m.offset, std::move(m.sources)});
        flush();
      },
      [this](const message::attempt_withdrawn& m) {
        if (!is_for_me(m.job, m.epoch)) return;
        tracker_->attempt_withdrawn(now(), m.what, m.dropped);
        flush();
      },
      [this](const message::node_report& m) {
        if (is_for_me(m.job, m.epoch)) on_report(m);
      },
      [this](const message::job_taken_over& m) {
        if (!is_for_me(m.job, m.epoch)) return;
        tracker_->set_prior(m.tallies.attempts, m.tallies.lost_task_seconds);
        tracker_->add_stopped(m.seconds_stopped);
      },
      [this](const message::job_status_query&) { return status(); },
      [this](local::job_summary_wanted) {
        local::job_summary s{job_name_, {}};
        const auto counts = tracker_->stage_counts();
        for (std::size_t i = 0; i < counts.size(); ++i) {
          const auto& stage = counts[i];
          const bool quiet = stage.done == stage.total || (stage.done == 0 && stage.running == 0);
          if (quiet && counts.size() > 2) continue;
          s.detail += (s.detail.empty() ? "" : ", ") + stage_names_.at(i) + " " + std::to_string(stage.done) + " of " +
                      std::to_string(stage.total) + " done, " + std::to_string(stage.running) + " running";
        }
        return s;
      },
      [this](const local::peers_changed& m) {
        peers_ = m.peers;
        members_changed();
      },
      [this](const local::metadata_changed& m) {
        if (!still_mine()) return quit();
        if (m.members) members_changed();
        if (m.segment.value != 0) holders_changed(m.segment);
      },
      [](local::posted_work& w) { (*w.run)(); },
      [this](local::tick) {
        if (!still_mine()) return quit();
        on_tick();
        delayed_send(this, tick_interval, local::tick{});
      },
      [this](local::stop) { quit(); },
  };
}

bool job_supervisor::still_mine() {
  return context_.metadata.read([&](const metadata::state& s) {
    const auto* job = s.find_job(job_);
    return job != nullptr && s.running_jobs().contains(job_) && job->supervisor == context_.config.self &&
           job->supervisor_epoch == epoch_;
  });
}

std::vector<worker_member> job_supervisor::read_members(const metadata::state& state) const {
  std::vector<worker_member> members;
  for (const auto& [id, m] : state.members()) {
    if (m.state != metadata::member_state::alive && m.state != metadata::member_state::suspect) continue;
    const auto peer = peers_->find(id);
    const bool reachable =
        id == context_.config.self || (peer != peers_->end() && peer->second.incarnation == m.incarnation);
    members.push_back({id, m.incarnation, m.name, m.slots, reachable});
  }
  return members;
}

bool job_supervisor::begin() {
  std::optional<metadata::job> job;
  std::optional<error> wrong;
  job_input input;
  std::vector<worker_member> members;
  context_.metadata.read([&](const metadata::state& s) {
    const auto* found = s.find_job(job_);
    if (found == nullptr || !s.running_jobs().contains(job_) || found->supervisor_epoch != epoch_) return;
    job = *found;
    members = read_members(s);
    const auto splits = metadata::split_table::make(s, *found);
    if (!splits) {
      wrong = splits.error();
      return;
    }
    std::map<segment_id, std::uint32_t> positions;
    for (std::uint32_t t = 0; t < splits->size(); ++t) {
      const auto split = splits->at(task_index(t));
      const auto [at, is_new] = positions.emplace(split.segment, static_cast<std::uint32_t>(input.segments.size()));
      if (is_new) {
        input.segments.push_back({split.segment, found->input_names.at(split.input), s.holders_of(split.segment)});
      }
      input.segment_of_task.push_back(at->second);
    }
  });
  if (!job) return false;
  job_name_ = job->name;
  if (wrong) {
    metadata::finish_job failed{
        job_, epoch_, metadata::job_state::failed, metadata::job_error{wrong->message(), {}, {}, {}}, 0, 0, 0};
    propose(failed, [](result<void>) {});
    input = {};
    job->plan.map_tasks = 0;
    job->plan.input_splits.assign(job->inputs.size(), 0);
    job->plan.stage_tasks.clear();
  }
  for (const auto& stage : metadata::stages_of(job->description)) {
    reads_dataset_.push_back(reads_dataset(stage));
    stage_names_.push_back(stage.name);
  }
  for (std::size_t s = 0; s < job->stages.size(); ++s)
    for (const auto& [task, commit] : job->stages[s].committed) {
      const bool last = s + 1 == job->stages.size();
      if (reads_dataset_.at(s)) input_bytes_ += commit.input_bytes, input_records_ += commit.input_records;
      if (last) output_records_ += commit.output_records;
      for (const auto& [name, value] : commit.counters)
        if (counters_.size() < message::counters_max || counters_.contains(name)) counters_[name] += value;
    }
  tracker_.emplace(*job, std::move(input), now());
  if (job->state == metadata::job_state::queued)
    propose(metadata::start_job{job_, epoch_}, [this](result<void> answer) {
      if (!answer) return quit();  // ended, or another's
      started_ = true;
      for (auto& proposal : std::exchange(after_start_, {})) proposal();
    });
  else
    started_ = true;
  if (epoch_.value > 1) {
    for (const auto& [id, p] : *peers_) send_to(id, message::take_over_job{context_.self(), job_, epoch_});
    send_to(context_.config.self, message::take_over_job{context_.self(), job_, epoch_});
    say("job_taken_over", context_.config.name,
        "job " + to_string(job_) + " (" + job_name_ + ") goes on under " + context_.config.name, {});
  }
  if (!wrong) tracker_->set_members(now(), std::move(members));
  flush();
  return true;
}

void job_supervisor::members_changed() {
  std::vector<worker_member> members;
  std::vector<metadata::stage_progress> committed;
  context_.metadata.read([&](const metadata::state& s) {
    members = read_members(s);
    if (const auto* job = s.find_job(job_)) committed = job->stages;
  });
  if (!still_mine()) return quit();
  tracker_->set_members(now(), std::move(members), &committed);
  flush();
}

void job_supervisor::holders_changed(segment_id segment) {
  auto holders = context_.metadata.read([&](const metadata::state& s) { return s.holders_of(segment); });
  tracker_->set_holders(now(), segment, std::move(holders));
  flush();
}

void job_supervisor::sync() {
  const auto committed = context_.metadata.read([&](const metadata::state& s) {
    const auto* job = s.find_job(job_);
    return job == nullptr ? std::vector<metadata::stage_progress>{} : job->stages;
  });
  if (still_mine()) tracker_->sync_commits(now(), committed);
}

/// Performs what the tracker decided, until it decides nothing more.
void job_supervisor::flush() {
  for (bool again = true; again;) {
    again = false;
    for (auto& e : tracker_->take_effects()) {
      std::visit(
          [&](auto& effect) {
            if constexpr (std::is_same_v<std::decay_t<decltype(effect)>, sync_effect>)
              again = true;
            else
              perform(effect);
          },
          e);
    }
    if (again) sync();
  }
  const auto wake = tracker_->wakeup();
  if (!wake || *wake - now() > tick_interval.count() || (wake_at_ && *wake_at_ <= *wake)) return;
  wake_at_ = *wake;
  delayed_send(this, std::chrono::milliseconds(std::max<time_ms>(*wake - now(), 1)), work([this] {
                 wake_at_.reset();
                 tracker_->tick(now());
                 flush();
               }));
}

void job_supervisor::perform(start_effect& e) {
  const auto counted = tracker_->counted();
  sent_[{e.where, e.what}] = {now(), e.replicas};
  send_to(
      e.where,
      message::start_attempt{
          context_.self(), job_, epoch_, e.what, std::move(e.replicas), {counted.attempts, counted.lost_task_seconds}});
}

void job_supervisor::perform(cancel_effect& e) {
  send_to(e.where, message::cancel_attempt{context_.self(), job_, epoch_, e.what});
}

void job_supervisor::perform(withdraw_effect& e) {
  send_to(e.where, message::withdraw_attempt{context_.self(), job_, epoch_, e.what});
}

void job_supervisor::perform(prefetch_effect& e) {
  send_to(e.where, message::prefetch_inputs{context_.self(), job_, epoch_, std::move(e.reduces)});
}

void job_supervisor::perform(commit_effect& e) {
  metadata::commit_task command{job_, epoch_, e.what.stage, e.what.task, std::move(e.commit)};
  auto go = [this, what = e.what, command = std::move(command)] {
    propose(command, [this, what, commit = command.commit](result<void> answer) {
      if (answer) {
        // Its member may have died between the commit and now: then metadata has forgotten it already.
        const bool there = context_.metadata.read([&](const metadata::state& s) {
          const auto* job = s.find_job(job_);
          if (job == nullptr || what.stage.value >= job->stages.size()) return true;  // ended: that is told by itself
          const auto& committed = job->stages[what.stage.value].committed;
          const auto found = committed.find(what.task);
          return found != committed.end() && found->second.attempt == what.attempt;
        });
        if (!there) {
          answer = error{errc::aborted, "its node died"};
        } else {
          const auto stages = tracker_->stage_counts().size();
          if (reads_dataset_.at(what.stage.value))
            input_bytes_ += commit.input_bytes, input_records_ += commit.input_records;
          if (what.stage.value + 1 == stages) output_records_ += commit.output_records;
          for (const auto& [name, value] : commit.counters)
            if (counters_.size() < message::counters_max || counters_.contains(name)) counters_[name] += value;
        }
      }
      tracker_->commit_answered(now(), what, answer);
      flush();
    });
  };
  if (started_)
    go();
  else
    after_start_.push_back(std::move(go));
}

void job_supervisor::perform(revoke_effect& e) {
  propose(metadata::revoke_task{job_, epoch_, e.what.stage, e.what.task, e.what.attempt},
          [this, what = e.what](result<void> answer) {
            tracker_->revoke_answered(now(), what, answer);
            flush();
          });
}

void job_supervisor::perform(finish_effect& e) {
  auto go = [this, outcome = e.outcome, why = std::move(e.error)] {
    const auto counted = tracker_->counted();
    propose(metadata::finish_job{job_, epoch_, outcome, why, counted.attempts, counted.lost_attempts,
                                 counted.lost_task_seconds},
            [this](result<void> answer) {
              tracker_->finish_answered(now(), answer);
              flush();
            });
  };
  if (started_)
    go();
  else
    after_start_.push_back(std::move(go));
}

void job_supervisor::perform(loss_effect& e) {
  std::map<std::string, std::string> fields{{"job", to_string(job_)},
                                            {"stage", to_string(e.what.stage)},
                                            {"task", to_string(e.what.task)},
                                            {"attempt", to_string(e.what.attempt)},
                                            {"blamed", is_blamed(e.kind) ? "true" : "false"},
                                            {"seconds", std::to_string(e.seconds)}};
  if (!e.dataset.empty()) fields.emplace("dataset", e.dataset);
  if (e.offset) fields.emplace("offset", std::to_string(*e.offset));
  say("attempt_lost", name_of(e.where), "job " + to_string(job_) + ": " + e.text, std::move(fields));
}

std::string job_supervisor::name_of(member_id id) const {
  return context_.metadata.read([&](const metadata::state& s) {
    const auto* m = s.find_member(id);
    return m == nullptr ? id.value.short_string() : m->name;
  });
}

void job_supervisor::say(std::string kind, std::string about, std::string text,
                         std::map<std::string, std::string> fields) {
  if (now() - second_began_ >= 1'000) {
    second_began_ = now();
    happenings_ = 0;
  }
  if (++happenings_ > happenings_a_second_max) {
    ++happenings_left_out_;
    return;
  }
  if (happenings_left_out_ > 0)
    text += " (and " + std::to_string(std::exchange(happenings_left_out_, 0)) + " more like this before)";
  if (text.size() > message::text_bytes_max) text.resize(message::text_bytes_max);
  fields.emplace("job", to_string(job_));
  const message::happening h{context_.self(), std::move(kind), std::move(about), std::move(text), std::move(fields)};
  for (const auto& [id, p] : *peers_)
    if (id != context_.config.self) send(p.gateway, h);
  send(node_, h);
}

// Proposals: repeated with the same request id for as long as this supervisor lives, so that they have one effect

void job_supervisor::propose(metadata::command command, std::function<void(result<void>)> then) {
  const auto id = request_id::random();
  proposals_.emplace(id, proposal{std::move(command), std::move(then)});
  send_proposal(id);
}

void job_supervisor::send_proposal(request_id id) {
  const auto found = proposals_.find(id);
  if (found == proposals_.end()) return;
  context_.metadata.propose(
      found->second.command, id, propose_deadline_ms,
      [this, id, self = caf::actor_cast<caf::actor>(this)](result<metadata::response> answer) {
        caf::anon_send(self, work([this, id, answer = std::move(answer)] { proposal_answered(id, answer); }));
      });
}

void job_supervisor::proposal_answered(request_id id, const result<metadata::response>& answer) {
  const auto found = proposals_.find(id);
  if (found == proposals_.end()) return;
  if (!answer && is_transient(answer.error().code())) {
    delayed_send(this, propose_pause, work([this, id] { send_proposal(id); }));
    return;
  }
  const auto then = std::move(found->second.then);
  proposals_.erase(found);
  then(answer ? ok() : result<void>(answer.error()));
}

// Nodes' reports

void job_supervisor::on_report(const message::node_report& report) {
  const auto where = report.sender.member;
  heard_at_[where] = now();
  std::set<attempt_ref> listed;
  auto& live = records_live_[where];
  live.clear();
  for (const auto& a : report.attempts) {
    listed.insert(a.what);
    if (!tracker_->is_out(a.what)) continue;  // its report was taken, or it was cancelled and that got lost
    if (a.has_slot) {
      tracker_->attempt_started(now(), a.what);
      if (a.what.stage.value < reads_dataset_.size() && reads_dataset_[a.what.stage.value])
        live[a.what] = a.input_records;
    }
  }
  const auto counted = tracker_->counted();
  const auto out = tracker_->out_at(where);
  for (const auto& a : report.attempts)
    if (std::find(out.begin(), out.end(), a.what) == out.end())
      send_to(where, message::cancel_attempt{context_.self(), job_, epoch_, a.what});
  for (const auto& what : out) {
    auto& sent = sent_[{where, what}];
    if (listed.contains(what) || now() - sent.at < start_grace_ms) continue;
    sent.at = now();  // the message was lost with a link; should it only have been late, the node knows the attempt
    send_to(where,
            message::start_attempt{
                context_.self(), job_, epoch_, what, sent.replicas, {counted.attempts, counted.lost_task_seconds}});
  }
}

void job_supervisor::on_tick() {
  const auto at = now();
  for (auto i = sent_.begin(); i != sent_.end();) i = tracker_->is_out(i->first.second) ? std::next(i) : sent_.erase(i);
  std::map<member_id, time_ms> with_attempts;  // when the last was sent there
  for (const auto& [key, sent] : sent_) with_attempts[key.first] = std::max(with_attempts[key.first], sent.at);
  for (const auto& [id, sent] : with_attempts) {
    const auto silent = at - std::max(heard_at_[id], sent);
    if (silent >= given_up_ms) {
      for (const auto& what : tracker_->out_at(id))
        tracker_->attempt_failed(
            at, what,
            {failure_kind::member_lost, errc::unavailable, "the node has not been heard of for 30 s", {}, {}});
    } else if (silent >= silence_ms_max) {
      send_to(id, message::node_report_wanted{context_.self(), job_, epoch_});
    }
  }
  std::erase_if(records_live_, [&](const auto& r) { return !with_attempts.contains(r.first); });
  tracker_->tick(at);
  flush();
}

message::job_status job_supervisor::status() {
  message::job_status s;
  s.job = job_;
  s.known = true;
  for (const auto& stage : tracker_->stage_counts()) s.stages.push_back({stage.total, stage.done, stage.running});
  const auto counted = tracker_->counted();
  s.attempts = counted.attempts;
  s.lost_attempts = counted.lost_attempts;
  s.lost_task_seconds = counted.lost_task_seconds;
  s.input_bytes = input_bytes_;
  s.input_records = input_records_;
  for (const auto& [member, live] : records_live_)
    for (const auto& [what, records] : live)
      if (tracker_->is_out(what)) s.input_records += records;
  s.output_records = output_records_;
  s.counters = counters_;
  return s;
}

}  // namespace troupe::actors
