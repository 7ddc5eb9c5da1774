#include <actors/supervision/reduce_prefetch.hpp>
#include <algorithm>

namespace troupe::actors {

reduce_prefetch::reduce_prefetch(node_ports& ports, poster post, member_id self)
    : ports_(ports), post_(std::move(post)), self_(self), alive_(std::make_shared<reduce_prefetch*>(this)) {}

// What is wanted

void reduce_prefetch::add_todo(job_state& job, task_index reduce, task_index map) {
  const auto found = job.known.find(map);
  if (found == job.known.end() || found->second.where == self_ || job.entries.contains({reduce, map})) return;
  job.todo.insert({reduce, map});
}

void reduce_prefetch::want(job_id id, const std::vector<task_index>& reduces) {
  auto& job = jobs_[id];
  std::set<task_index> wanted(reduces.begin(), reduces.end());
  for (const auto reduce : job.begun) wanted.erase(reduce);
  const auto before = std::exchange(job.wanted, std::move(wanted));
  for (const auto reduce : before)
    if (!job.wanted.contains(reduce)) drop(job, reduce);
  for (const auto reduce : job.wanted)
    if (!before.contains(reduce))
      for (const auto& [map, s] : job.known) add_todo(job, reduce, map);
  pump();
}

void reduce_prefetch::sources(job_id id, source_map committed) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  auto& job = found->second;
  const auto before = std::exchange(job.known, std::move(committed));
  std::vector<task_index> changed;
  bool moved = false;  // not only more than before
  for (const auto& [map, s] : job.known) {
    const auto old = before.find(map);
    if (old != before.end() && old->second == s) continue;
    moved = moved || old != before.end();
    changed.push_back(map);
  }
  moved = moved || before.size() + changed.size() > job.known.size();
  // An entry may be of a map that was lost a while ago and is committed again now.
  if (!changed.empty() || moved)
    for (auto i = job.entries.begin(); i != job.entries.end();) {
      auto& e = i->second;
      const auto now = job.known.find(i->first.second);
      if (now == job.known.end() || now->second == e.of || e.waiter) {
        ++i;
      } else if (now->second.digest == e.of.digest && now->second.where != self_ && e.state != entry_state::failed) {
        e.of = now->second;
        ++i;
      } else {
        i = drop(job, i);
      }
    }
  if (moved) std::erase_if(job.todo, [&](const position& p) { return !job.known.contains(p.second); });
  for (const auto map : changed)
    for (const auto reduce : job.wanted) add_todo(job, reduce, map);
  pump();
}

void reduce_prefetch::attempt_begins(job_id id, task_index reduce) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  auto& job = found->second;
  job.wanted.erase(reduce);
  job.begun.insert(reduce);
  std::erase_if(job.todo, [&](const position& p) { return p.first == reduce; });
}

void reduce_prefetch::attempt_over(job_id id, task_index reduce) {
  if (const auto found = jobs_.find(id); found != jobs_.end()) drop(found->second, reduce);
  pump();
}

void reduce_prefetch::release(job_id id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  for (const auto& [what, e] : found->second.entries) bytes_held_ -= e.bytes;
  jobs_.erase(found);
}

void reduce_prefetch::drop(job_state& job, task_index reduce) {
  std::erase_if(job.todo, [&](const position& p) { return p.first == reduce; });
  auto i = job.entries.lower_bound({reduce, task_index(0)});
  while (i != job.entries.end() && i->first.first == reduce) i = i->second.waiter ? std::next(i) : drop(job, i);
}

/// One that is on its way is given back when it arrives and finds no entry.
std::map<reduce_prefetch::position, reduce_prefetch::entry>::iterator reduce_prefetch::drop(
    job_state& job, std::map<position, entry>::iterator at) {
  if (!at->second.blocks.empty()) ports_.discard(at->second.blocks);
  bytes_held_ -= at->second.bytes;
  return job.entries.erase(at);
}

// Fetching

void reduce_prefetch::pump() {
  if (outstanding_ >= fetches_outstanding_max) return;
  const bool idle = std::all_of(jobs_.begin(), jobs_.end(), [](const auto& j) { return j.second.todo.empty(); });
  if (idle) return;
  const auto most = ports_.prefetch_bytes_max();
  for (auto& [id, job] : jobs_) {
    while (!job.todo.empty()) {
      const auto each = fetches_done_ == 0 ? 0 : bytes_fetched_ / fetches_done_;
      if (outstanding_ >= fetches_outstanding_max || bytes_held_ + outstanding_ * each >= most) return;
      const auto next = *job.todo.begin();
      job.todo.erase(job.todo.begin());
      start(id, job, next);
    }
  }
}

void reduce_prefetch::start(job_id id, job_state& job, position what) {
  const auto source = job.known.find(what.second);
  if (source == job.known.end()) return;
  auto& e = job.entries[what];
  e.of = source->second;
  e.asked = e.of.attempt;
  e.fetch_id = ++last_fetch_;
  ++outstanding_;
  ports_.fetch_map_output(
      e.of.where, {id, stage_index(0), what.second, e.asked}, what.first.value,
      [weak = std::weak_ptr(alive_), post = post_, id, what, fetch = e.fetch_id](result<blocks> got) {
        post([weak, id, what, fetch, got = std::move(got)] {
          if (const auto alive = weak.lock()) (*alive)->arrived(id, what, fetch, got);
        });
      });
}

void reduce_prefetch::arrived(job_id id, position what, std::uint64_t fetch_id, result<blocks> got) {
  --outstanding_;
  const auto job = jobs_.find(id);
  std::optional<std::map<position, entry>::iterator> at;
  if (job != jobs_.end())
    if (const auto found = job->second.entries.find(what);
        found != job->second.entries.end() && found->second.fetch_id == fetch_id)
      at = found;
  if (!at) {  // not wanted any more
    if (got && !got->empty()) ports_.discard(*got);
    return pump();
  }
  auto& e = (*at)->second;
  std::uint64_t bytes = 0;
  if (got) {
    for (const auto& b : *got) bytes += b.size;
    bytes_fetched_ += bytes;
    ++fetches_done_;
  }
  if (e.waiter) {
    const auto then = std::move(e.waiter);
    const auto of = e.of;
    const bool outdated = e.asked != of.attempt;  // the same bytes, but of an attempt that may be gone with its node
    job->second.entries.erase(*at);
    if (!got && outdated)
      ports_.fetch_map_output(of.where, {id, stage_index(0), what.second, of.attempt}, what.first.value, then);
    else
      then(std::move(got));
    return pump();
  }
  if (got) {
    e.state = entry_state::here;
    e.blocks = std::move(*got);
    e.bytes = bytes;
    bytes_held_ += bytes;
  } else if (e.asked != e.of.attempt) {
    job->second.entries.erase(*at);
    if (job->second.wanted.contains(what.first)) add_todo(job->second, what.first, what.second);
  } else {
    e.state = entry_state::failed;  // the attempt will find out, and its supervisor hear of it
  }
  pump();
}

void reduce_prefetch::fetch(member_id from, const dataflow::attempt_key& map, task_index reduce, reply then) {
  if (const auto job = jobs_.find(map.job); job != jobs_.end()) {
    const auto at = job->second.entries.find({reduce, map.task});
    if (at != job->second.entries.end() && at->second.of.attempt == map.attempt && !at->second.waiter) {
      auto& e = at->second;
      if (e.state == entry_state::fetching) {
        e.waiter = std::move(then);
        return;
      }
      const bool is_here = e.state == entry_state::here;
      auto found = std::move(e.blocks);
      bytes_held_ -= e.bytes;
      job->second.entries.erase(at);
      if (is_here) {
        then(std::move(found));
        return pump();
      }
    }
  }
  ports_.fetch_map_output(from, map, reduce.value, std::move(then));
}

}  // namespace troupe::actors
