#include <actors/supervision/node_attempts.hpp>
#include <chrono>
#include <troupe/telemetry/journal.hpp>

namespace troupe::actors {

using scheduling::attempt_ref;
using scheduling::failure;
using scheduling::failure_kind;

namespace {

constexpr int ticks_to_repeat = 4;  ///< a second

attempt_ref ref_of(const dataflow::attempt_key& key) { return {key.stage, key.task, key.attempt}; }

std::string cut(std::string text) {
  if (text.size() > message::text_bytes_max) text.resize(message::text_bytes_max);
  return text;
}

}  // namespace

node_attempts::node_attempts(const node_context& context, poster post, sender send)
    : context_(context),
      post_(std::move(post)),
      send_(std::move(send)),
      queue_(std::max(context.config.slots, 1U)),
      prefetch_(context.ports, post_, context.config.self) {}

node_attempts::~node_attempts() { stop(); }

// What supervisors ask for

void node_attempts::start(const message::start_attempt& wanted) {
  if (stopped_) return;
  const auto key = key_of(wanted.job, wanted.what);
  if (auto report = reports_.find(key); report != reports_.end())
    return send_(report->second.supervisor, report->second.message);  // it missed the report
  if (attempts_.contains(key)) return;
  auto* const job = heard_from(wanted.job, wanted.epoch, wanted.sender.member);
  if (job == nullptr) return;
  if (job->withdrawn.contains(wanted.what))
    return send_(wanted.sender.member,
                 caf::make_message(message::attempt_withdrawn{self(), wanted.job, wanted.epoch, wanted.what, true}));
  job->tallies = wanted.tallies;
  if (attempts_.size() >= attempts_max)
    return send_report(
        {wanted, nullptr},
        failure{failure_kind::engine, errc::resource_exhausted, "this node has too many attempts already", {}, {}});
  auto& a = attempts_.emplace(key, attempt{wanted, nullptr}).first->second;
  plan(a);
}

void node_attempts::plan(attempt& a) {
  if (without_lease_) return;  // when it is back
  const auto id = a.wanted.job;
  auto planned = context_.metadata.read([&](const metadata::state& state) {
    return plan_attempt(state, context_.config.self, id, a.wanted.epoch, a.wanted.what, a.wanted.replicas,
                        jobs_[id].splits);
  });
  if (planned && !*planned) return;  // the next change of metadata tries again
  if (!planned) {
    const auto gone = a;
    attempts_.erase(key_of(id, a.wanted.what));
    if (planned.error().code() != errc::cancelled)
      send_report(gone, failure{failure_kind::engine, planned.error().code(), planned.error().message(), {}, {}});
    return;
  }
  auto& assignment = (*planned)->assignment;
  assignment.memory_bytes = context_.config.task_memory_bytes;
  assignment.time_limit_ms = context_.config.task_time_limit_ms;
  a.run = std::make_shared<attempt_run>(std::move(**planned), context_.config.self, context_.config.incarnation,
                                        context_.ports, post_, *this);
  const auto run = a.run;  // prepare may end it at once
  if (a.wanted.what.stage.value == 1) prefetch_.attempt_begins(id, a.wanted.what.task);
  run->prepare();
}

void node_attempts::cancel(const message::cancel_attempt& unwanted) {
  const auto key = key_of(unwanted.job, unwanted.what);
  const auto found = attempts_.find(key);
  if (found == attempts_.end() || found->second.wanted.epoch != unwanted.epoch) {
    reports_.erase(key);
    return;
  }
  if (const auto run = found->second.run)
    run->stop();
  else
    attempts_.erase(found);
}

/// Dropped only while all slots are taken: with a free one it waits for its inputs, and would elsewhere, too.
void node_attempts::withdraw(const message::withdraw_attempt& wanted) {
  if (stopped_) return;
  const auto key = key_of(wanted.job, wanted.what);
  if (auto report = reports_.find(key); report != reports_.end())
    return send_(report->second.supervisor, report->second.message);
  auto* const job = heard_from(wanted.job, wanted.epoch, wanted.sender.member);
  if (job == nullptr) return;
  const auto found = attempts_.find(key);
  bool dropped = true;  // one that is not here was lost with a link, and shall not come any more
  if (found != attempts_.end()) {
    const auto run = found->second.run;
    dropped = queue_.slots_taken() >= queue_.slots() && (!run || run->now() < attempt_run::phase::running);
    if (dropped && run)
      run->stop();
    else if (dropped)
      attempts_.erase(found);
  }
  if (dropped) job->withdrawn.insert(wanted.what);
  send_(wanted.sender.member,
        caf::make_message(message::attempt_withdrawn{self(), wanted.job, wanted.epoch, wanted.what, dropped}));
}

void node_attempts::prefetch(const message::prefetch_inputs& wanted) {
  if (stopped_ || heard_from(wanted.job, wanted.epoch, wanted.sender.member) == nullptr) return;
  prefetch_.want(wanted.job, wanted.reduces);
  read_sources(wanted.job);
}

/// What is committed may be many thousand entries: not at every commit, and in between the tick is soon enough.
void node_attempts::read_sources(job_id id) {
  if (!prefetch_.wants(id)) return;
  auto& read_at = jobs_.at(id).sources_read_at;
  const auto now = std::chrono::steady_clock::now();
  if (now - read_at < sources_interval) return;
  read_at = now;
  reduce_prefetch::source_map committed;
  context_.metadata.read([&](const metadata::state& state) {
    const auto* job = state.find_job(id);
    if (job == nullptr || job->stages.size() < 2) return;
    for (const auto& [task, commit] : job->stages[0].committed)
      committed.emplace_hint(committed.end(), task,
                             reduce_prefetch::source{commit.where, commit.attempt, commit.digest});
  });
  prefetch_.sources(id, std::move(committed));
}

void node_attempts::attempt_fetches(attempt_run& run, const attempt_plan::source& source,
                                    node_ports::reply<std::vector<dataflow::block_ref>> then) {
  // Only the first shuffle's blocks travel before their stage starts.
  if (run.key().stage.value == 1 && source.key.stage.value == 0 && source.partition == run.key().task.value)
    return prefetch_.fetch(source.where, source.key, run.key().task, std::move(then));
  context_.ports.fetch_map_output(source.where, source.key, source.partition, std::move(then));
}

node_attempts::job_here* node_attempts::heard_from(job_id id, troupe::epoch epoch, member_id supervisor) {
  auto& job = jobs_[id];
  if (epoch < job.epoch) return nullptr;
  if (epoch > job.epoch) {
    stop_older(id, epoch);
    job.epoch = epoch;
    job.withdrawn.clear();
  }
  job.supervisor = supervisor;
  return &job;
}

double node_attempts::stop_older(job_id job, epoch than) {
  double seconds = 0;
  std::vector<dataflow::attempt_key> old;
  for (const auto& [key, a] : attempts_)
    if (key.job == job && a.wanted.epoch < than) old.push_back(key);
  for (const auto& key : old) {
    const auto found = attempts_.find(key);
    if (found == attempts_.end()) continue;
    if (const auto run = found->second.run) {
      seconds += run->seconds_worked();
      run->stop();
    } else {
      attempts_.erase(found);
    }
  }
  std::erase_if(reports_, [&](const auto& r) { return r.first.job == job; });
  return seconds;
}

void node_attempts::take_over(const message::take_over_job& by) {
  if (stopped_) return;
  auto& job = jobs_[by.job];
  if (by.epoch < job.epoch) return;
  message::job_taken_over answer{self(), by.job, by.epoch, 0, job.tallies};
  if (by.epoch > job.epoch) {
    answer.seconds_stopped = stop_older(by.job, by.epoch);
    job.epoch = by.epoch;
    job.withdrawn.clear();
  }
  job.supervisor = by.sender.member;
  send_(by.sender.member, caf::make_message(answer));
}

void node_attempts::report(const message::node_report_wanted& asked) {
  const auto found = jobs_.find(asked.job);
  if (found != jobs_.end() && asked.epoch == found->second.epoch) return send_progress(asked.job, found->second);
  job_here nothing;
  nothing.epoch = asked.epoch;
  nothing.supervisor = asked.sender.member;
  if (found == jobs_.end() || asked.epoch > found->second.epoch) send_progress(asked.job, nothing);
}

void node_attempts::taken(const message::report_taken& report) { reports_.erase(key_of(report.job, report.what)); }

// What metadata says

void node_attempts::job_changed(job_id id) {
  if (!jobs_.contains(id)) return;
  const auto ended = context_.metadata.read([&](const metadata::state& state) {
    return state.find_job(id) != nullptr && !state.running_jobs().contains(id);
  });
  if (ended) return end_job(id);
  read_sources(id);
  std::vector<dataflow::attempt_key> waiting;
  for (const auto& [key, a] : attempts_)
    if (key.job == id && !a.run) waiting.push_back(key);
  for (const auto& key : waiting)
    if (const auto found = attempts_.find(key); found != attempts_.end() && !found->second.run) plan(found->second);
}

void node_attempts::check_all() {
  std::vector<job_id> ids;
  for (const auto& [id, job] : jobs_) ids.push_back(id);
  for (const auto id : ids) job_changed(id);
}

void node_attempts::end_job(job_id id) {
  auto job = std::move(jobs_.at(id));
  flush_log(id, job);
  jobs_.erase(id);
  std::vector<std::shared_ptr<attempt_run>> runs;
  for (auto i = attempts_.begin(); i != attempts_.end();) {
    if (i->first.job != id || i->second.run) {
      if (i->first.job == id) runs.push_back(i->second.run);
      ++i;
    } else {
      i = attempts_.erase(i);
    }
  }
  for (const auto& run : runs) run->stop();
  std::erase_if(reports_, [&](const auto& r) { return r.first.job == id; });
  prefetch_.release(id);
  context_.ports.release_job(id);
}

// What attempts say

void node_attempts::attempt_ready(attempt_run& run) {
  const auto key = run.key();
  if (auto queued = queue_.add(key.job, ref_of(key)); !queued) {
    const auto found = attempts_.find(key);
    const auto a = found->second;
    run.stop();
    return send_report(a, failure{failure_kind::engine, queued.error().code(), queued.error().message(), {}, {}});
  }
  fill_slots();
}

void node_attempts::fill_slots() {
  while (const auto next = queue_.next()) {
    const auto key = key_of(next->first, next->second);
    const auto found = attempts_.find(key);
    if (found == attempts_.end()) {
      queue_.remove(next->first, next->second);
      continue;
    }
    const auto& wanted = found->second.wanted;
    send_(wanted.sender.member,
          caf::make_message(message::attempt_started{self(), wanted.job, wanted.epoch, wanted.what}));
    found->second.run->run();
  }
}

void node_attempts::attempt_left_slot(attempt_run& run) {
  queue_.remove(run.key().job, ref_of(run.key()));
  fill_slots();
}

void node_attempts::attempt_over(attempt_run& run, std::optional<attempt_outcome> outcome) {
  const auto key = run.key();
  queue_.remove(key.job, ref_of(key));
  if (key.stage.value == 1) prefetch_.attempt_over(key.job, key.task);
  const auto found = attempts_.find(key);
  if (found != attempts_.end() && found->second.run.get() == &run) {
    const auto a = std::move(found->second);
    attempts_.erase(found);
    if (const auto job = jobs_.find(key.job); outcome && job != jobs_.end()) {
      flush_log(key.job, job->second);  // so that they are there before the job can end
      send_report(a, std::move(*outcome));
    }
  }
  fill_slots();
}

void node_attempts::attempt_log(attempt_run& run, std::string line) {
  const auto found = jobs_.find(run.key().job);
  if (found == jobs_.end()) return;
  auto& job = found->second;
  if (++job.lines > limits::job_log_lines_max) {
    ++job.lines_dropped;
    return;
  }
  line = cut(std::move(line));
  job.log_bytes += line.size() + 64;
  job.log.push_back({telemetry::now_unix_ms(), context_.config.name, ref_of(run.key()), std::move(line)});
  if (job.log_bytes >= log_buffer_bytes) flush_log(found->first, job);
}

// Sending

void node_attempts::send_report(const attempt& a, attempt_outcome outcome) {
  const auto& w = a.wanted;
  caf::message report;
  if (auto* commit = std::get_if<metadata::task_commit>(&outcome)) {
    report = caf::make_message(message::attempt_finished{self(), w.job, w.epoch, w.what, std::move(*commit)});
  } else {
    auto& why = std::get<failure>(outcome);
    if (why.sources.size() > message::sources_max) why.sources.resize(message::sources_max);
    report =
        caf::make_message(message::attempt_failed{self(), w.job, w.epoch, w.what, why.kind, why.code,
                                                  cut(std::move(why.message)), why.offset, std::move(why.sources)});
  }
  reports_[key_of(w.job, w.what)] = {w.sender.member, report, 0};
  send_(w.sender.member, report);
}

void node_attempts::send_progress(job_id id, const job_here& here) {
  message::node_report report{self(), id, here.epoch, {}};
  for (const auto& [key, a] : attempts_) {
    if (key.job != id || a.wanted.epoch != here.epoch) continue;
    if (a.run && a.run->now() >= attempt_run::phase::stopping) continue;
    message::attempt_progress p{a.wanted.what, a.run && a.run->has_slot(), 0};
    if (p.has_slot)
      if (const auto progress = context_.ports.progress(key)) p.input_records = progress->input_records;
    report.attempts.push_back(p);
  }
  for (const auto& [key, due] : reports_)  // finished, but the supervisor may not know yet
    if (key.job == id) report.attempts.push_back({ref_of(key), false, 0});
  send_(here.supervisor, caf::make_message(std::move(report)));
}

void node_attempts::flush_log(job_id id, job_here& here) {
  if (here.log.empty() && here.lines_dropped == 0) return;
  message::log_lines lines{self(), id, std::exchange(here.log, {}), std::exchange(here.lines_dropped, 0)};
  here.log_bytes = 0;
  send_(here.supervisor, caf::make_message(std::move(lines)));
}

void node_attempts::tick() {
  for (auto& [id, job] : jobs_) {
    flush_log(id, job);
    read_sources(id);
    const bool has_any =
        std::any_of(attempts_.begin(), attempts_.end(), [id = id](const auto& a) { return a.first.job == id; });
    if (has_any) send_progress(id, job);
  }
  prefetch_.pump();  // memory may have come free
  for (auto& [key, due] : reports_)
    if (++due.ticks % ticks_to_repeat == 0) send_(due.supervisor, due.message);
}

void node_attempts::lease_changed(const std::string& why) {
  without_lease_ = !why.empty();
  if (stopped_) return;
  if (!without_lease_) return check_all();
  std::vector<attempt> ending;
  for (const auto& [key, a] : attempts_)
    if (a.run && a.run->now() < attempt_run::phase::stopping) ending.push_back(a);
  for (const auto& a : ending) {
    a.run->stop();
    send_report(a, failure{failure_kind::engine, errc::unavailable, "stopped by its own node: " + why, {}, {}});
  }
}

void node_attempts::stop() {
  if (std::exchange(stopped_, true)) return;
  std::vector<std::shared_ptr<attempt_run>> runs;
  for (const auto& [key, a] : attempts_)
    if (a.run) runs.push_back(a.run);
  for (const auto& run : runs) run->stop();
  reports_.clear();
}

}  // namespace troupe::actors
