#include <actors/messages.hpp>
#include <actors/supervision/attempt_run.hpp>
#include <algorithm>

namespace troupe::actors {

using scheduling::failure;
using scheduling::failure_kind;

/// From the pool's thread to the owner's; chunks go straight to the sink.
class attempt_run::observer final : public attempt_observer {
 public:
  observer(std::weak_ptr<attempt_run> run, poster post, std::shared_ptr<output_sink> sink)
      : run_(std::move(run)), post_(std::move(post)), sink_(std::move(sink)) {}

  void started(std::uint32_t worker_pid) override {
    hand_over([worker_pid](attempt_run& run) { run.on_started(worker_pid); });
  }
  void output(output_chunk chunk) override {
    if (sink_) sink_->take(std::move(chunk));
  }
  void log(std::string line) override {
    hand_over([line = std::move(line)](attempt_run& run) { run.listener_.attempt_log(run, line); });
  }
  void finished(const dataflow::attempt_result& result) override {
    hand_over([result](attempt_run& run) { run.on_finished(result); });
  }
  void failed(const dataflow::attempt_failure& failure) override {
    hand_over([failure](attempt_run& run) { run.on_failed(failure); });
  }

 private:
  template <class F>
  void hand_over(F f) {
    post_([run = run_, f = std::move(f)] {
      if (const auto alive = run.lock()) f(*alive);
    });
  }
  std::weak_ptr<attempt_run> run_;
  poster post_;
  std::shared_ptr<output_sink> sink_;
};

attempt_run::attempt_run(attempt_plan plan, member_id self, troupe::incarnation incarnation, node_ports& ports,
                         poster post, attempt_listener& listener)
    : plan_(std::move(plan)),
      self_(self),
      incarnation_(incarnation),
      ports_(ports),
      post_(std::move(post)),
      listener_(listener) {}

attempt_run::~attempt_run() {
  if (sink_ && phase_ != phase::over) sink_->abort();
}

double attempt_run::seconds_worked() const {
  if (!has_slot()) return worked_;
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - slot_since_).count();
}

// Preparing

void attempt_run::prepare() {
  phase_ = phase::preparing;
  parts_missing_ = 1U + (plan_.split ? 1 : 0) + (plan_.sources.empty() ? 0 : 1);
  ports_.fetch_module(plan_.assignment.module_hash, plan_.module_holders,
                      [weak = weak_from_this(), post = post_](result<std::string> path) {
                        post([weak, path = std::move(path)] {
                          if (const auto run = weak.lock()) run->on_module(path);
                        });
                      });
  if (plan_.split && phase_ == phase::preparing) fetch_split();
  fetched_.resize(plan_.sources.size());
  while (phase_ == phase::preparing && next_source_ < plan_.sources.size() &&
         sources_outstanding_ < fetches_outstanding_max)
    fetch_next_source();
}

void attempt_run::on_module(result<std::string> path) {
  if (phase_ != phase::preparing) return;
  if (!path)
    return fail_preparing({failure_kind::engine,
                           path.error().code(),
                           "the module cannot be had here: " + path.error().message(),
                           {},
                           {}});
  plan_.assignment.module_path = std::move(*path);
  one_part_ready();
}

void attempt_run::fetch_split() {
  const auto& s = *plan_.split;
  if (plan_.has_local_copy) {
    if (auto path = ports_.local_segment(s.segment)) {
      split_input_ =
          dataflow::segment_range{std::move(*path), s.segment,          s.from,          s.to, s.first_offset.value,
                                  s.input,          plan_.input_format, plan_.split_edge};
      return one_part_ready();
    }
    ports_.report_damage(s.dataset, s.segment, self_, plan_.segment.made(self_), "its file is gone");
    plan_.has_local_copy = false;
  }
  ports_.fetch_segment_range(
      key().job, s.dataset, plan_.segment, s.from, s.to,
      [weak = weak_from_this(), post = post_, ports = &ports_](result<node_ports::fetched_blocks> got) {
        post([weak, ports, got = std::move(got)] {
          const auto run = weak.lock();
          if (!run || run->phase_ != phase::preparing) {
            if (got) ports->discard(got->blocks);
            return;
          }
          if (!got) {
            const bool no_room = got.error().code() == errc::resource_exhausted;
            return run->fail_preparing({no_room ? failure_kind::engine : failure_kind::input_lost,
                                        got.error().code(),
                                        got.error().message(),
                                        {},
                                        {}});
          }
          run->split_blocks_ = got->blocks;
          const auto& split = *run->plan_.split;
          run->split_input_ =
              dataflow::block_range{got->blocks, static_cast<std::uint32_t>(run->plan_.input_format),
                                    split.first_offset.value + got->first.value, split.input, run->plan_.split_edge};
          run->one_part_ready();
        });
      });
}

void attempt_run::fetch_next_source() {
  const auto position = next_source_++;
  ++sources_outstanding_;
  const auto& source = plan_.sources[position];
  const bool remote = source.where != self_;
  listener_.attempt_fetches(*this, source,
                            [weak = weak_from_this(), post = post_, ports = &ports_, position,
                             remote](result<std::vector<dataflow::block_ref>> blocks) {
                              post([weak, ports, position, remote, blocks = std::move(blocks)] {
                                const auto run = weak.lock();
                                if (run && run->phase_ == phase::preparing) return run->on_source(position, blocks);
                                if (blocks && remote) ports->discard(*blocks);
                              });
                            });
}

void attempt_run::on_source(std::size_t position, result<std::vector<dataflow::block_ref>> blocks) {
  --sources_outstanding_;
  if (!blocks) {
    const auto& source = plan_.sources[position];
    const auto code = blocks.error().code();
    failure why{code == errc::resource_exhausted ? failure_kind::engine : failure_kind::input_lost,
                code,
                "the output of " + scheduling::task_name(source.key.stage, source.key.task) +
                    " cannot be had: " + blocks.error().message(),
                {},
                {}};
    if (why.kind == failure_kind::input_lost)
      why.sources.push_back({source.key.stage, source.key.task, source.key.attempt});
    return fail_preparing(std::move(why));
  }
  fetched_[position] = std::move(*blocks);
  if (next_source_ < plan_.sources.size()) return fetch_next_source();
  if (sources_outstanding_ > 0) return;
  one_part_ready();
}

/// In the order of edges, whatever came first.
void attempt_run::list_inputs() {
  auto& inputs = plan_.assignment.inputs;
  for (std::uint32_t e = 0; e < plan_.edges; ++e) {
    if (plan_.split && plan_.split_edge == e) {
      inputs.push_back(std::move(*split_input_));
      continue;
    }
    dataflow::block_range all;
    all.format = 255;  // TROUPE_SHUFFLE of sdk/abi.hpp: as an earlier stage published it
    all.edge = e;
    for (std::size_t i = 0; i < fetched_.size(); ++i)
      if (plan_.sources[i].edge == e) all.blocks.insert(all.blocks.end(), fetched_[i].begin(), fetched_[i].end());
    inputs.emplace_back(std::move(all));
  }
}

void attempt_run::one_part_ready() {
  if (--parts_missing_ > 0) return;
  list_inputs();
  phase_ = phase::waiting;
  listener_.attempt_ready(*this);
}

void attempt_run::fail_preparing(failure why) { end(attempt_outcome(std::move(why))); }

// Running

void attempt_run::run() {
  phase_ = phase::running;
  slot_since_ = std::chrono::steady_clock::now();
  if (plan_.output) sink_ = std::make_shared<output_sink>(ports_, *plan_.output);
  ports_.run(plan_.assignment, std::make_shared<observer>(weak_from_this(), post_, sink_));
}

void attempt_run::on_started(std::uint32_t pid) { worker_pid_ = pid; }

void attempt_run::on_finished(dataflow::attempt_result outcome) {
  if (phase_ == phase::running) worked_ = seconds_worked();
  const bool stopped = phase_ == phase::stopping;
  phase_ = phase::sealing;
  listener_.attempt_left_slot(*this);
  if (stopped) {
    if (sink_)
      sink_->abort();
    else
      ports_.release_attempt(key());
    return end(std::nullopt);
  }
  discard_inputs();
  if (!sink_) return finish(std::move(outcome), std::nullopt);
  sink_->seal([weak = weak_from_this(), post = post_,
               outcome = std::move(outcome)](result<std::optional<data::sealed_output>> sealed) {
    post([weak, outcome, sealed = std::move(sealed)] {
      if (const auto run = weak.lock()) run->on_sealed(outcome, sealed);
    });
  });
}

void attempt_run::on_failed(const dataflow::attempt_failure& why) {
  if (phase_ == phase::running) worked_ = seconds_worked();
  const bool stopped = phase_ == phase::stopping;
  phase_ = phase::sealing;
  listener_.attempt_left_slot(*this);
  if (sink_) sink_->abort();
  if (stopped) return end(std::nullopt);
  end(attempt_outcome(blame(why)));
}

failure attempt_run::blame(const dataflow::attempt_failure& why) {
  failure out;
  out.message = why.message;
  out.offset = why.offset;
  switch (why.kind) {
    case dataflow::failure_kind::user_code:
      out.kind = failure_kind::user_code;
      break;
    case dataflow::failure_kind::worker_died:
      out.kind = failure_kind::worker_died;
      break;
    case dataflow::failure_kind::memory_limit:
      out.kind = failure_kind::memory_limit;
      break;
    case dataflow::failure_kind::time_limit:
      out.kind = failure_kind::time_limit;
      break;
    case dataflow::failure_kind::input_lost:
      out.kind = failure_kind::input_lost;
      break;
    case dataflow::failure_kind::engine:
    case dataflow::failure_kind::cancelled:
      out.kind = failure_kind::engine;
      break;  // nobody here asked for it
  }
  out.code = scheduling::is_blamed(out.kind)        ? errc::user_code
             : out.kind == failure_kind::input_lost ? errc::corrupted
                                                    : errc::internal;
  if (out.kind != failure_kind::input_lost) return out;
  const bool of_split = plan_.split && (!why.lost_input || *why.lost_input == plan_.split_edge);
  if (of_split) {
    if (plan_.has_local_copy)
      ports_.report_damage(plan_.split->dataset, plan_.split->segment, self_, plan_.segment.made(self_), why.message);
    return out;
  }
  for (std::size_t i = 0; i < fetched_.size(); ++i) {
    const auto& blocks = fetched_[i];
    const bool here = why.lost_block &&
                      std::any_of(blocks.begin(), blocks.end(), [&](const auto& b) { return b.id == *why.lost_block; });
    if (here)
      out.sources.push_back({plan_.sources[i].key.stage, plan_.sources[i].key.task, plan_.sources[i].key.attempt});
  }
  return out;
}

void attempt_run::on_sealed(dataflow::attempt_result outcome, result<std::optional<data::sealed_output>> sealed) {
  if (phase_ == phase::over) return;
  if (!sealed) {
    if (phase_ == phase::stopping) return end(std::nullopt);
    return end(attempt_outcome(failure{failure_kind::engine,
                                       sealed.error().code(),
                                       "its output could not be written: " + sealed.error().message(),
                                       {},
                                       {}}));
  }
  std::optional<metadata::segment> output;
  if (*sealed) output = (*sealed)->segment;
  finish(std::move(outcome), std::move(output));
}

void attempt_run::finish(dataflow::attempt_result outcome, std::optional<metadata::segment> output) {
  metadata::task_commit commit;
  commit.attempt = key().attempt;
  commit.where = self_;
  commit.where_incarnation = incarnation_;
  commit.digest = outcome.digest;
  commit.input_bytes = outcome.input_bytes;
  commit.input_records = outcome.input_records;
  commit.output_records = outcome.output_records;
  commit.output_bytes = outcome.output_bytes;
  commit.spilled_bytes = outcome.spilled_bytes;
  commit.milliseconds = static_cast<std::uint64_t>(worked_ * 1000);
  commit.output = std::move(output);
  for (auto& [name, value] : outcome.counters) {
    if (commit.counters.size() == message::counters_max) break;
    if (name.size() <= message::counter_name_bytes_max) commit.counters.emplace(name, value);
  }
  end(attempt_outcome(std::move(commit)));
}

// Ending

void attempt_run::stop() {
  switch (phase_) {
    case phase::planned:
    case phase::preparing:
    case phase::waiting:
      return end(std::nullopt);
    case phase::running:
      worked_ = seconds_worked();
      phase_ = phase::stopping;  // the observer hears when the worker is free again
      ports_.cancel(key());
      return;
    case phase::sealing:
      phase_ = phase::stopping;
      if (sink_) sink_->abort();
      return end(std::nullopt);
    case phase::stopping:
    case phase::over:
      return;
  }
}

void attempt_run::end(std::optional<attempt_outcome> outcome) {
  if (phase_ == phase::over) return;
  phase_ = phase::over;
  discard_inputs();
  const auto self = shared_from_this();  // the listener may let go
  listener_.attempt_over(*this, std::move(outcome));
}

/// Only what came from elsewhere: local map outputs are the job's.
void attempt_run::discard_inputs() {
  for (std::size_t i = 0; i < fetched_.size(); ++i)
    if (!fetched_[i].empty() && plan_.sources[i].where != self_) ports_.discard(fetched_[i]);
  fetched_.clear();
  if (!split_blocks_.empty()) ports_.discard(split_blocks_);
  split_blocks_.clear();
}

}  // namespace troupe::actors
