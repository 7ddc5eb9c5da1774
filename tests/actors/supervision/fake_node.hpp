#pragma once
#include <actors/supervision/node_ports.hpp>
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>
#include <troupe/base/checksum.hpp>
#include <tuple>

namespace troupe::actors::testing {

inline member_id member(std::uint8_t n) {
  member_id id;
  id.value.octets[0] = n;
  return id;
}

/// What all nodes of a test share: who published what, who is dead, and how attempts behave.
struct fake_world {
  using verdict = std::optional<dataflow::attempt_failure>;

  std::mutex mutex;
  std::map<dataflow::attempt_key, member_id> published;
  std::set<member_id> dead;
  std::set<dataflow::attempt_key> unreadable;  ///< map outputs that their node cannot give any more
  /// How an attempt ends; called on the node's worker thread. None: well.
  std::function<verdict(member_id, const dataflow::attempt_key&)> behave = [](member_id, const dataflow::attempt_key&) {
    return verdict();
  };
  std::function<bool(const dataflow::attempt_key&)> held = [](const dataflow::attempt_key&) {
    return false;
  };                            ///< runs until released or cancelled
  std::set<member_id> held_at;  ///< attempts on these run until released or cancelled
  std::condition_variable changed;
  std::vector<dataflow::attempt_key> started;
  std::map<std::tuple<member_id, dataflow::attempt_key, std::uint32_t>, int> fetched;  ///< map outputs, by whom
  std::atomic<int> cancelled{0};
  std::atomic<int> running{0};
  std::atomic<int> running_max{0};

  void release_held() {
    {
      std::lock_guard lock(mutex);
      held = [](const dataflow::attempt_key&) { return false; };
      held_at.clear();
    }
    changed.notify_all();
  }
  template <class F>
  bool wait_for(F f) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), f);
  }
};

/// The ports of one pretended node: attempts run on threads of their own, outputs are only names.
class fake_node final : public node_ports {
 public:
  fake_node(fake_world& world, member_id self, std::set<segment_id> segments)
      : world_(world), self_(self), segments_(std::move(segments)) {}
  ~fake_node() override { join(); }

  void join() {
    std::vector<std::thread> threads;
    {
      std::lock_guard lock(world_.mutex);
      ending_ = true;
      threads = std::move(threads_);
    }
    world_.changed.notify_all();
    for (auto& t : threads) t.join();
  }

  void fetch_module(const std::string& hash, std::vector<member_id>, reply<std::string> then) override {
    then("/modules/" + hash + ".so");
  }

  void fetch_map_output(member_id from, const dataflow::attempt_key& attempt, std::uint32_t partition,
                        reply<std::vector<dataflow::block_ref>> then) override {
    std::optional<error> why;
    {
      std::lock_guard lock(world_.mutex);
      const auto found = world_.published.find(attempt);
      if (from != self_) ++world_.fetched[{self_, attempt, partition}];
      if (world_.dead.contains(from))
        why = error{errc::unavailable, "connection refused"};
      else if (found == world_.published.end() || found->second != from || world_.unreadable.contains(attempt))
        why = error{errc::not_found, "no such attempt"};
    }
    world_.changed.notify_all();
    if (why) return then(*why);
    dataflow::block_ref block;
    block.id = dataflow::block_id(attempt.task.value * 1'000ULL + partition + 1);
    block.size = 10;
    then(std::vector<dataflow::block_ref>{block});
  }

  void fetch_segment_range(job_id, dataset_id, const metadata::segment&, std::uint64_t, std::uint64_t,
                           reply<fetched_blocks> then) override {
    ++fetched_ranges;
    then(fetched_blocks{{{dataflow::block_id(7), 10, 1, {}}}, record_offset(0)});
  }
  [[nodiscard]] std::optional<std::string> local_segment(segment_id segment) const override {
    if (!segments_.contains(segment)) return std::nullopt;
    return "/segments/" + to_string(segment);
  }

  std::shared_ptr<data::replicated_writer> open_output(data::output_spec spec) override {
    struct writer final : data::replicated_writer {
      explicit writer(data::output_spec s) : spec(std::move(s)) {}
      void append(bytes_view payload, std::uint64_t records, done then) override {
        segment.bytes += payload.size();
        segment.file_bytes += payload.size() + 64;
        segment.records += records;
        then(ok());
      }
      void seal(std::function<void(result<data::sealed_output>)> then) override {
        segment.id = spec.segment;
        segment.holders = spec.replicas;
        then(data::sealed_output{segment, {}});
      }
      void abort() override {}
      data::output_spec spec;
      metadata::segment segment;
    };
    return std::make_shared<writer>(std::move(spec));
  }
  void report_damage(dataset_id, segment_id, member_id, log_index, const std::string&) override { ++damages; }
  [[nodiscard]] std::uint64_t prefetch_bytes_max() const override { return 1 << 20; }
  void discard(const std::vector<dataflow::block_ref>& blocks) override {
    discarded += static_cast<int>(blocks.size());
  }
  void release_job(job_id) override { ++released; }
  void release_attempt(const dataflow::attempt_key&) override {}

  void run(dataflow::task_assignment assignment, std::shared_ptr<attempt_observer> observer) override {
    std::lock_guard lock(world_.mutex);
    threads_.emplace_back([this, a = std::move(assignment), o = std::move(observer)] { work(a, *o); });
  }
  void cancel(const dataflow::attempt_key& attempt) override {
    {
      std::lock_guard lock(world_.mutex);
      cancels_.insert(attempt);
    }
    world_.changed.notify_all();
  }
  [[nodiscard]] std::optional<attempt_progress> progress(const dataflow::attempt_key&) const override {
    return attempt_progress{5, 100, 0, 0, {}};
  }
  [[nodiscard]] std::vector<worker_info> workers() const override {
    worker_info w;
    w.pid = 4'711;
    w.state = worker_state::busy;
    w.attempt = dataflow::attempt_key{job_id(1), stage_index(0), task_index(3), attempt_number(1)};
    w.actor = "mapper job 1 stage 0 task 3 attempt 1";
    return {w};
  }

  std::atomic<int> fetched_ranges{0}, damages{0}, discarded{0}, released{0};

 private:
  void work(const dataflow::task_assignment& a, attempt_observer& o) {
    {
      std::unique_lock lock(world_.mutex);
      world_.started.push_back(a.key);
      world_.running_max = std::max<int>(world_.running_max, ++world_.running);
      world_.changed.notify_all();
      o.started(4'711);
      world_.changed.wait(lock, [&] {
        return (!world_.held(a.key) && !world_.held_at.contains(self_)) || cancels_.contains(a.key) || ending_ ||
               world_.dead.contains(self_);
      });
      --world_.running;
      if (cancels_.contains(a.key) || ending_) {
        ++world_.cancelled;
        world_.changed.notify_all();
        lock.unlock();
        return o.failed({dataflow::failure_kind::cancelled, "cancelled", {}, 0, {}, {}});
      }
    }
    o.log("working on " + dataflow::to_string(a.key));
    if (const auto why = world_.behave(self_, a.key)) return o.failed(*why);
    dataflow::attempt_result r;
    r.input_records = 10;
    r.input_bytes = 100;
    r.counters["lines"] = 10;
    r.digest = {a.key.task.value, a.key.stage.value};
    // As the SDK does: a task of the last stage writes the partition of its own number.
    if (a.last_stage && a.key.task.value >= a.partitions)
      return o.failed(
          {dataflow::failure_kind::worker_died, "published to a partition that is not there", {}, 0, {}, {}});
    if (a.last_stage) {
      const auto text = std::make_shared<std::string>("a record");
      output_chunk chunk;
      chunk.bytes = *text;
      chunk.records = 1;
      chunk.digest = xxh3_128(*text);
      chunk.hold = text;
      o.output(std::move(chunk));
      r.output_records = 1;
    } else {
      std::lock_guard lock(world_.mutex);
      world_.published[a.key] = self_;
    }
    o.finished(r);
  }

  fake_world& world_;
  const member_id self_;
  const std::set<segment_id> segments_;
  std::vector<std::thread> threads_;
  std::set<dataflow::attempt_key> cancels_;
  bool ending_ = false;
};

}  // namespace troupe::actors::testing
