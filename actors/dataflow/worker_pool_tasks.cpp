#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <caf/send.hpp>
#include <troupe/base/engine_parameters.hpp>
#include <troupe/base/text.hpp>

#include "actors/dataflow/worker_messages.hpp"
#include "actors/dataflow/worker_pool_impl.hpp"

namespace troupe::actors {

using namespace dataflow;

namespace {

constexpr std::size_t log_lines_max = 1'000;  ///< of one attempt; then one line says that the rest is dropped
/// An order crosses CAF, where large messages delay small ones; what can grow in it are parameters.
constexpr std::size_t order_bytes_max = 56 << 10;

attempt_failure engine_failure(std::string why) { return {failure_kind::engine, std::move(why), {}, 0, {}, {}}; }

std::string last_words(const std::string& line) { return line.empty() ? "" : ": " + line; }

}  // namespace

// From run() to a worker

void worker_pool_impl::on_run(task_assignment assignment, std::shared_ptr<attempt_observer> observer) {
  const auto key = assignment.key;
  const auto same = [&](const std::unique_ptr<attempt>& task) { return task && task->assignment.key == key; };
  const bool runs = std::any_of(queue_.begin(), queue_.end(), same) ||
                    std::any_of(workers_.begin(), workers_.end(), [&](const auto& w) { return same(w.second->task); });
  auto task = std::make_unique<attempt>();
  task->assignment = std::move(assignment);
  task->observer = std::move(observer);
  task->serial = ++last_id_;
  if (task->assignment.memory_bytes == 0) task->assignment.memory_bytes = options_.memory_bytes;
  const auto refuse = [&](attempt_failure why) {
    later([o = std::move(task->observer), why = std::move(why)] { o->failed(why); });
  };
  if (closing_) return refuse({failure_kind::cancelled, "the node is going down", {}, 0, {}, {}});
  if (runs) return refuse(engine_failure(to_string(key) + " runs here already"));
  const auto& a = task->assignment;
  const auto asked = a.parameters.find(network_parameter);
  const bool asks = asked != a.parameters.end() && asked->second == "yes";
  if (asks && options_.network == worker_network::forbidden)
    return refuse({failure_kind::user_code,
                   "the job asks for the network, which this node's owner forbids (--worker-network)",
                   {},
                   0,
                   {},
                   {}});
  task->network = asks || options_.network == worker_network::allowed;
  task->order =
      codec::encode(task_order{a.key, a.module_path, a.module_hash, a.job_name, a.parameters, a.partitions, a.seed,
                               a.now_unix_ms, a.memory_bytes, a.branch, a.branch_task, options_.scratch_directory});
  if (task->order.size() > order_bytes_max)
    return refuse(engine_failure("the job's parameters take " + format_bytes(task->order.size()) + "; the limit is " +
                                 format_bytes(order_bytes_max)));
  if (!task->assignment.last_stage) {
    if (auto begun = blocks_.implementation().begin_attempt(key); !begun)
      return refuse({failure_kind::cancelled, begun.error().message(), {}, 0, {}, {}});
  }
  if (queue_.empty() && place(task)) return;
  if (queue_.size() >= options_.queued_max)
    return fail_attempt(std::move(task),
                        engine_failure(std::to_string(queue_.size()) + " tasks wait for a worker already"));
  queue_.push_back(std::move(task));
}

void worker_pool_impl::serve_queue() {
  while (!queue_.empty() && place(queue_.front())) queue_.pop_front();
}

/// Finds a worker: a warm one of the module, one without a module, a new one, or one that takes the place of an idle
/// one. False: all are busy.
bool worker_pool_impl::place(std::unique_ptr<attempt>& task) {
  worker* blank = nullptr;
  worker* oldest = nullptr;
  std::size_t ending = 0;
  for (auto& [owner, w] : workers_) {
    if (w->state == worker_state::ending) ++ending;
    if (w->state != worker_state::idle) continue;
    const bool fits = w->network == task->network;
    if (fits && w->module_hash == task->assignment.module_hash) {
      assign(*w, std::move(task));
      return true;
    }
    if (fits && w->module_hash.empty())
      blank = w.get();
    else if (oldest == nullptr || w->since < oldest->since)
      oldest = w.get();
  }
  if (blank != nullptr) {
    assign(*blank, std::move(task));
    return true;
  }
  if (workers_.size() >= options_.workers_max) {
    // The place is free once it is buried, which serves the queue.
    if (oldest != nullptr && ending == 0) kill_worker(*oldest);
    return false;
  }
  auto* fresh = fork_one(task->network);
  if (fresh == nullptr) {
    fail_attempt(std::move(task),
                 engine_failure("a worker process could not be started: out of processes, descriptors or memory"));
    return true;
  }
  fresh->task = std::move(task);
  return true;
}

void worker_pool_impl::assign(worker& w, std::unique_ptr<attempt> task) {
  w.control->current_offset = no_offset;
  for (auto* field :
       {&w.control->input_records, &w.control->input_bytes, &w.control->output_records, &w.control->output_bytes})
    share<std::uint64_t>(*field, 0);
  for (auto* field :
       {&w.control->input, &w.control->item, &w.control->cancel, &w.control->memory_out, &w.control->input_fault})
    share<std::uint32_t>(*field, 0);
  w.module_hash = task->assignment.module_hash;
  w.state = worker_state::busy;
  w.since = clock::now();
  w.last_error_line.clear();
  task->started = w.since;
  w.task = std::move(task);
  later([o = w.task->observer, pid = w.process.pid] { o->started(pid); });
  caf::anon_send(w.host, message::run_task{std::move(w.task->order)});
}

// The end of an attempt

void worker_pool_impl::fail_attempt(std::unique_ptr<attempt> task, attempt_failure failure) {
  if (!task->assignment.last_stage) blocks_.implementation().release_attempt(task->assignment.key);
  later([o = std::move(task->observer), failure = std::move(failure)] { o->failed(failure); });
}

/// The worker is to be killed, and this is what its attempt will have failed of.
void worker_pool_impl::condemn(worker& w, failure_kind kind, std::string message) {
  if (w.task && !w.task->verdict) {
    attempt_failure why{kind, std::move(message), {}, shared(w.control->input), {}, {}};
    if (const auto at = shared(w.control->current_offset); at != no_offset && w.state == worker_state::busy)
      why.offset = at;
    w.task->verdict = std::move(why);
  }
  kill_worker(w);
}

void worker_pool_impl::close_task(worker& w, bool worker_lives) {
  auto& store = blocks_.implementation();
  store.cancel_wait(w.owner);
  store.end_task(w.owner, worker_lives);
  // The worker keeps exactly this one mapped for writing.
  std::erase_if(w.write_slabs, [&](slab_id slab) { return slab != w.write_slab_kept; });
  w.task->pins.clear();
}

void worker_pool_impl::on_task_ended(std::uint64_t token, const std::string& outcome) {
  auto* w = by_token(token);
  if (w == nullptr || w->state != worker_state::busy || !w->task) return;
  auto decoded = codec::decode<task_outcome>(outcome, "outcome of a task");
  if (!decoded) return condemn(*w, failure_kind::worker_died, "its worker reported nonsense: its memory is damaged");
  finish(*w, *decoded);
}

void worker_pool_impl::finish(worker& w, const task_outcome& outcome) {
  close_task(w, true);
  auto task = std::move(w.task);
  ++w.tasks_done;
  auto failure = outcome.failure;
  if (failure && failure->kind == failure_kind::user_code && !failure->offset)
    if (const auto at = shared(w.control->current_offset); at != no_offset) failure->offset = at;
  // A verdict of ours explains why the worker was told to stop; an attempt that was done before it heard of it is done.
  if (task->verdict && (failure || task->verdict->kind != failure_kind::cancelled)) failure = task->verdict;
  if (failure && failure->lost_input && *failure->lost_input >= task->assignment.inputs.size())
    failure->lost_input.reset();
  const bool failed = failure.has_value();
  if (failed) {
    fail_attempt(std::move(task), std::move(*failure));
  } else {
    attempt_result done;
    done.digest = task->digest.finish();
    done.input_bytes = outcome.input_bytes;
    done.input_records = outcome.input_records;
    done.output_bytes = task->output_bytes;
    done.output_records = task->output_records;
    done.counters = outcome.counters;
    done.spilled_bytes = outcome.spilled_bytes;
    if (!task->assignment.last_stage) blocks_.implementation().finish_attempt(task->assignment.key);
    later([o = std::move(task->observer), done = std::move(done)] { o->finished(done); });
  }
  // What an attempt that failed leaves behind (memory of the module's, blocks that were sent ahead and not taken, with
  // descriptors that are not sent twice) must not meet another task.
  if (failed)
    kill_worker(w);
  else
    become_idle(w);
}

attempt_failure worker_pool_impl::post_mortem(const worker& w, int status) const {
  const auto& task = *w.task;
  if (task.verdict) return *task.verdict;
  if (w.host == nullptr)
    return engine_failure("a worker did not start: " + describe_end(status) + last_words(w.last_error_line));
  attempt_failure why{failure_kind::worker_died, describe_end(status), {}, shared(w.control->input), {}, {}};
  if (WIFEXITED(status) && WEXITSTATUS(status) == worker_exit_input_lost && shared(w.control->input_fault) != 0) {
    why.kind = failure_kind::input_lost;
    why.message = "input cannot be read: a page of it is not on the disk any more";
    if (const auto item = shared(w.control->item); item < task.assignment.inputs.size()) {
      why.lost_input = item;
      if (const auto* file = std::get_if<segment_range>(&task.assignment.inputs[item]))
        why.message = "segment file " + file->path + " cannot be read: a page of it is not on the disk any more";
    }
    return why;
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
    why.message += ", by somebody else or by the system for want of memory";
  if (const auto at = shared(w.control->current_offset); at != no_offset) {
    why.offset = at;
    why.message += " at record " + std::to_string(at);
  }
  if (shared(w.control->memory_out) != 0) {
    why.kind = failure_kind::memory_limit;
    why.message += ", out of memory: the limit of a task is " + format_bytes(task.assignment.memory_bytes);
  }
  why.message += last_words(w.last_error_line);
  return why;
}

void worker_pool_impl::on_cancel(const attempt_key& key) {
  const attempt_failure cancelled{failure_kind::cancelled, "cancelled", {}, 0, {}, {}};
  for (auto i = queue_.begin(); i != queue_.end(); ++i)
    if ((*i)->assignment.key == key) {
      auto task = std::move(*i);
      queue_.erase(i);
      return fail_attempt(std::move(task), cancelled);
    }
  for (auto& [owner, w] : workers_) {
    if (!w->task || w->task->assignment.key != key) continue;
    // One that is still starting goes on without it, as a spare.
    if (w->state == worker_state::starting) return fail_attempt(std::move(w->task), cancelled);
    auto& task = *w->task;
    if (task.kill_at || w->state != worker_state::busy) return;
    if (!task.verdict) task.verdict = cancelled;
    task.kill_at = clock::now() + options_.cancel_grace;
    share<std::uint32_t>(w->control->cancel, 1);
    if (task.wanted_chunk) {
      task.wanted_chunk.reset();
      blocks_.implementation().cancel_wait(owner);
      answer(*w, stop_task{});
    }
    return;
  }
}

void worker_pool_impl::on_logged(std::uint64_t token, std::string line) {
  auto* w = by_token(token);
  if (w == nullptr || !w->task || w->task->log_lines > log_lines_max) return;
  if (++w->task->log_lines > log_lines_max) line = "further lines of this attempt are dropped";
  later([o = w->task->observer, line = std::move(line)] { o->log(line); });
}

}  // namespace troupe::actors
