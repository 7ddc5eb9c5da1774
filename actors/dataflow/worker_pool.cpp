#include "actors/dataflow/worker_pool.hpp"

#include "actors/dataflow/worker_pool_impl.hpp"

namespace troupe::actors {

using namespace dataflow;

namespace {

/// «mapper job 7 stage 0 task 3 attempt 1», as the actor in the worker calls itself.
std::string actor_name(const attempt_key& key) {
  return (key.stage.value == 0 ? "mapper " : "reducer ") + to_string(key);
}

}  // namespace

std::optional<attempt_progress> worker_pool_impl::progress(const attempt_key& key) const {
  std::lock_guard lock(mutex_);
  for (const auto& [owner, w] : workers_) {
    if (!w->task || w->task->assignment.key != key || w->state != worker_state::busy) continue;
    attempt_progress p{shared(w->control->input_records),
                       shared(w->control->input_bytes),
                       shared(w->control->output_records),
                       shared(w->control->output_bytes),
                       {}};
    if (const auto at = shared(w->control->current_offset); at != no_offset) p.offset = at;
    return p;
  }
  return std::nullopt;
}

std::vector<worker_info> worker_pool_impl::tree() const {
  std::lock_guard lock(mutex_);
  std::vector<worker_info> all;
  for (const auto& [owner, w] : workers_) {
    worker_info info{w->process.pid, w->state, w->module_hash, w->tasks_done, {}, {}};
    if (w->task) {
      info.attempt = w->task->assignment.key;
      info.actor = actor_name(*info.attempt);
    }
    all.push_back(std::move(info));
  }
  return all;
}

result<std::unique_ptr<worker_pool>> worker_pool::start(caf::actor_system& system, basp_bridge& bridge,
                                                        block_store& blocks, worker_pool_options options) {
  auto impl = std::make_shared<worker_pool_impl>(system, bridge, blocks, std::move(options));
  TROUPE_TRY_VOID(impl->start());
  return std::unique_ptr<worker_pool>(new worker_pool(std::move(impl)));
}

worker_pool::worker_pool(std::shared_ptr<worker_pool_impl> impl) : impl_(std::move(impl)) {}
worker_pool::~worker_pool() { impl_->stop(); }

void worker_pool::run(task_assignment assignment, std::shared_ptr<attempt_observer> observer) {
  impl_->post([impl = impl_.get(), a = std::move(assignment), o = std::move(observer)]() mutable {
    impl->on_run(std::move(a), std::move(o));
  });
}
void worker_pool::cancel(const attempt_key& attempt) {
  impl_->post([impl = impl_.get(), attempt] { impl->on_cancel(attempt); });
}
void worker_pool::kill_all() {
  impl_->kill_workers();
  impl_->post([impl = impl_.get()] { impl->on_kill_all(); });
}
std::optional<attempt_progress> worker_pool::progress(const attempt_key& attempt) const {
  return impl_->progress(attempt);
}
std::vector<worker_info> worker_pool::tree() const { return impl_->tree(); }

}  // namespace troupe::actors
