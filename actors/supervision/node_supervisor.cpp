#include <actors/monitoring/monitor.hpp>
#include <actors/supervision/job_supervisor.hpp>
#include <actors/supervision/node_supervisor.hpp>
#include <algorithm>
#include <caf/send.hpp>
#include <chrono>
#include <troupe/telemetry/journal.hpp>

namespace troupe::actors {

namespace {

supervision::time_ms steady_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

constexpr std::chrono::seconds child_answer_max{1};
constexpr const char* monitor_name = "monitor";
std::string name_of(job_id job) { return "job_supervisor/" + to_string(job); }

}  // namespace

node_supervisor::node_supervisor(caf::actor_config& config, std::shared_ptr<const node_context> context)
    : caf::event_based_actor(config), context_(std::move(context)) {
  const auto& c = context_->config;
  if (c.keeper != nullptr) logs_ = job_logs(*c.keeper, c.job_log_directory);
}

caf::behavior node_supervisor::make_behavior() {
  set_down_handler([this](const caf::down_msg& down) { child_ended(down); });
  // Callbacks hold the actor weakly: work that comes after its end is dropped, and nothing keeps it.
  attempts_.emplace(
      *context_,
      [weak = caf::actor_cast<caf::actor_addr>(this)](std::function<void()> f) {
        if (const auto self = caf::actor_cast<caf::actor>(weak))
          caf::anon_send(self, local::posted_work{std::make_shared<std::function<void()>>(std::move(f))});
      },
      [this](member_id where, caf::message m) { send_to(where, std::move(m)); });
  publish_peers();
  start_monitor();
  take_up_jobs();
  delayed_send(this, tick_interval, local::tick{});
  return {
      // To the attempts of this node
      [this](const message::start_attempt& m) {
        if (is_current(m.sender)) attempts_->start(m);
      },
      [this](const message::cancel_attempt& m) {
        if (is_current(m.sender)) attempts_->cancel(m);
      },
      [this](const message::withdraw_attempt& m) {
        if (is_current(m.sender)) attempts_->withdraw(m);
      },
      [this](const message::prefetch_inputs& m) {
        if (is_current(m.sender)) attempts_->prefetch(m);
      },
      [this](const message::take_over_job& m) {
        if (is_current(m.sender)) attempts_->take_over(m);
      },
      [this](const message::node_report_wanted& m) {
        if (is_current(m.sender)) attempts_->report(m);
      },
      [this](const message::report_taken& m) { attempts_->taken(m); },
      // To the supervisors of jobs
      [this](const message::attempt_started& m) {
        if (is_current(m.sender)) to_job(m.job, caf::make_message(m));
      },
      [this](const message::attempt_finished& m) {
        if (is_current(m.sender)) to_job(m.job, caf::make_message(m));
      },
      [this](const message::attempt_failed& m) {
        if (is_current(m.sender)) to_job(m.job, caf::make_message(m));
      },
      [this](const message::attempt_withdrawn& m) {
        if (is_current(m.sender)) to_job(m.job, caf::make_message(m));
      },
      [this](const message::node_report& m) {
        if (is_current(m.sender)) to_job(m.job, caf::make_message(m));
      },
      [this](const message::job_taken_over& m) {
        if (is_current(m.sender)) to_job(m.job, caf::make_message(m));
      },
      [this](message::log_lines& m) {
        if (is_current(m.sender)) logs_.add(m.job, std::move(m.lines), m.dropped, telemetry::now_unix_ms());
      },
      [this](const message::happening& m) {
        if (!is_current(m.sender)) return;
        if (const auto found = children_.find(monitor_name); found != children_.end()) send(found->second.actor, m);
      },
      // Questions
      [this](const message::job_status_query& q) {
        auto promise = make_response_promise<message::job_status>();
        message::job_status unknown;
        unknown.job = q.job;
        if (const auto found = children_.find(name_of(q.job)); found != children_.end())
          request(found->second.actor, child_answer_max, q)
              .then([promise](message::job_status& s) mutable { promise.deliver(std::move(s)); },
                    [promise, unknown](const caf::error&) mutable { promise.deliver(unknown); });
        else
          promise.deliver(unknown);
        return promise;
      },
      [this](const message::job_log_query& q) { return logs_.page(q); },
      [this](const message::tree_query& q) {
        const auto all = tree();
        message::tree_page page;
        for (std::size_t i = q.from; i < all.size() && page.entries.size() < message::tree_page_entries; ++i)
          page.entries.push_back(all[i]);
        page.more = q.from + page.entries.size() < all.size();
        return page;
      },
      // From this process
      [this](const local::peer_connected& m) {
        auto peers = std::make_shared<peer_map>(*peers_);
        (*peers)[m.member] = {m.incarnation, m.gateway};
        peers_ = std::move(peers);
        publish_peers();
      },
      [this](const local::peer_lost& m) {
        auto peers = std::make_shared<peer_map>(*peers_);
        peers->erase(m.member);
        peers_ = std::move(peers);
        publish_peers();
      },
      [this](const local::metadata_changed& m) {
        if (m.members || m.job.value != 0) take_up_jobs();
        if (m.job.value != 0)
          to_job(m.job, caf::make_message(m));
        else
          to_all_jobs(caf::make_message(m));
        if (m.job.value != 0) attempts_->job_changed(m.job);
      },
      [this](const local::lease_changed& m) { attempts_->lease_changed(m.why); },
      [](local::posted_work& w) { (*w.run)(); },
      [this](local::tick) { on_tick(); },
      [this](local::stop) { shut_down(); },
  };
}

void node_supervisor::on_exit() {
  if (attempts_) attempts_->stop();
  attempts_.reset();
  children_.clear();
  peers_ = std::make_shared<peer_map>();
}

bool node_supervisor::is_current(const message::sender& from) const {
  if (from.member == context_->config.self) return from.incarnation == context_->config.incarnation;
  const auto found = peers_->find(from.member);
  return found != peers_->end() && found->second.incarnation == from.incarnation;
}

void node_supervisor::send_to(member_id where, caf::message m) {
  if (where == context_->config.self)
    send(this, std::move(m));
  else if (const auto found = peers_->find(where); found != peers_->end())
    send(found->second.gateway, std::move(m));
}

void node_supervisor::publish_peers() { to_all_jobs(caf::make_message(local::peers_changed{peers_})); }

void node_supervisor::to_job(job_id job, const caf::message& m) {
  if (const auto found = children_.find(name_of(job)); found != children_.end()) send(found->second.actor, m);
}

void node_supervisor::to_all_jobs(const caf::message& m) {
  for (const auto& [name, c] : children_)
    if (c.job.value != 0) send(c.actor, m);
}

// Children

void node_supervisor::start_monitor() {
  auto actor = spawn<monitor_actor>(context_);
  monitor(actor);
  children_[monitor_name] = {actor, job_id(0), epoch(0)};
  if (!policy_.has(monitor_name)) policy_.add(monitor_name, supervision::restart::permanent);
}

void node_supervisor::start_job(job_id job, troupe::epoch epoch) {
  const auto name = name_of(job);
  auto actor = spawn<job_supervisor>(*context_, caf::actor_cast<caf::actor>(this), job, epoch, peers_);
  monitor(actor);
  children_[name] = {actor, job, epoch};
  if (!policy_.has(name)) policy_.add(name, supervision::restart::transient);
}

/// Jobs that metadata gives to this node and that have no supervisor here yet. One of an older epoch ends by itself,
/// and its end comes back here.
void node_supervisor::take_up_jobs() {
  if (stopping_) return;
  std::vector<std::pair<job_id, troupe::epoch>> mine;
  context_->metadata.read([&](const metadata::state& s) {
    for (const auto id : s.running_jobs())
      if (const auto* job = s.find_job(id); job->supervisor == context_->config.self)
        mine.emplace_back(id, job->supervisor_epoch);
  });
  for (const auto& [id, epoch] : mine)
    if (!children_.contains(name_of(id))) start_job(id, epoch);
}

void node_supervisor::child_ended(const caf::down_msg& down) {
  const auto found = std::find_if(children_.begin(), children_.end(),
                                  [&](const auto& c) { return c.second.actor.address() == down.source; });
  if (found == children_.end()) return;
  const auto name = found->first;
  const auto c = found->second;
  children_.erase(found);
  if (stopping_) {
    if (children_.empty()) quit();
    return;
  }
  const bool normal = down.reason == caf::exit_reason::normal;
  const auto verdict = policy_.ended(name, normal ? std::string() : to_string(down.reason), steady_ms());
  if (verdict.escalate) {
    context_->config.escalated(verdict.reason);
    return shut_down();
  }
  for (const auto& again : verdict.start) {
    if (again == monitor_name)
      start_monitor();
    else
      start_job(c.job, c.epoch);  // when the job is not its any more, it ends at once, normally
  }
  summaries_.erase(c.job);
  take_up_jobs();
}

void node_supervisor::on_tick() {
  if (stopping_) return;
  attempts_->tick();
  if (++ticks_ % ticks_to_check == 0) {
    attempts_->check_all();
    take_up_jobs();
    for (const auto& [name, c] : children_)
      if (c.job.value != 0)
        request(c.actor, child_answer_max, local::job_summary_wanted{})
            .then([this, job = c.job](local::job_summary& s) { summaries_[job] = std::move(s); },
                  [](const caf::error&) {});
  }
  delayed_send(this, tick_interval, local::tick{});
}

std::vector<message::tree_entry> node_supervisor::tree() {
  const auto& node = context_->config.name;
  std::vector<message::tree_entry> entries;
  message::tree_entry e;
  e.id = node;
  e.kind = "node";
  e.name = node;
  e.node = node;
  e.state = "running";
  context_->metadata.read([&](const metadata::state& s) {
    if (const auto* m = s.find_member(context_->config.self)) {
      e.pid = m->pid;
      e.state = m->state == metadata::member_state::suspect ? "suspect" : "running";
      e.detail = m->address;
    }
  });
  const auto pid = e.pid;
  entries.push_back(e);
  const auto root = node + "/node_supervisor";
  auto detail = std::to_string(attempts_->slots_taken());
  detail.append(" of ").append(std::to_string(context_->config.slots)).append(" slots taken, ");
  detail.append(std::to_string(attempts_->count())).append(" attempts here");
  entries.push_back({root, node, "node_supervisor", "node_supervisor", node, stopping_ ? "stopping" : "running", 0, pid,
                     std::move(detail)});
  for (const auto& [name, c] : children_) {
    message::tree_entry child{std::string(node).append("/").append(name),
                              root,
                              c.job.value == 0 ? "monitor" : "job_supervisor",
                              name,
                              node,
                              "running",
                              policy_.restarts_of(name),
                              pid,
                              {}};
    if (const auto found = summaries_.find(c.job); c.job.value != 0 && found != summaries_.end()) {
      child.detail = found->second.name;
      if (!found->second.detail.empty()) child.detail.append(": ").append(found->second.detail);
    }
    entries.push_back(std::move(child));
  }
  for (const auto& w : context_->ports.workers()) {
    const auto id = node + "/worker/" + std::to_string(w.pid);
    const char* state = w.state == worker_state::starting ? "starting"
                        : w.state == worker_state::idle   ? "idle"
                        : w.state == worker_state::busy   ? "busy"
                                                          : "ending";
    auto does = std::to_string(w.tasks_done) + " tasks done";
    if (!w.module_hash.empty()) does.append(", module ").append(w.module_hash, 0, 8);
    entries.push_back({id, root, "worker", "worker/" + std::to_string(w.pid), node, state, 0, w.pid, std::move(does)});
    if (!w.attempt) continue;
    const auto& a = *w.attempt;
    const std::string kind = a.stage.value == 0 ? "mapper" : "reducer";
    auto name = kind + "/" + to_string(a.job);
    for (const auto& part : {to_string(a.stage), to_string(a.task), to_string(a.attempt)})
      name.append(".").append(part);
    entries.push_back({std::string(node).append("/").append(name), id, kind, name, node, "running",
                       (a.attempt.value - 1) % 8, w.pid, w.actor});
  }
  return entries;
}

void node_supervisor::shut_down() {
  if (std::exchange(stopping_, true)) return;
  attempts_->stop();
  if (children_.empty()) return quit();
  for (const auto& [name, c] : children_) send(c.actor, local::stop{});
}

}  // namespace troupe::actors
