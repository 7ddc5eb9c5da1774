#pragma once
#include <stdlib.h>
#include <actors/cluster/basp_bridge.hpp>
#include <actors/dataflow/worker_messages.hpp>
#include <actors/dataflow/worker_pool.hpp>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <support/catch.hpp>
#include <troupe/format/segment.hpp>

namespace worker_tests {

using namespace troupe;
using namespace troupe::dataflow;
using namespace troupe::actors;

inline constexpr auto patience = std::chrono::seconds(60);

struct temporary_directory {
  std::filesystem::path path;
  temporary_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "troupe-worker-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~temporary_directory() { std::filesystem::remove_all(path); }
};

/// Collects what an attempt's observer hears.
class listener : public attempt_observer {
 public:
  bool keep_output = true;  ///< holds on to chunks until release_output(), which ends that

  void started(std::uint32_t pid) override {
    note([&] { worker_pid_ = pid; });
  }
  void output(output_chunk chunk) override {
    note([&] {
      bytes_ += chunk.bytes.size();
      content_.append(chunk.bytes);
      if (keep_output) held_.push_back(std::move(chunk));
    });
  }
  void log(std::string line) override {
    note([&] { lines_.push_back(std::move(line)); });
  }
  void finished(const attempt_result& r) override {
    note([&] { result_ = r; });
  }
  void failed(const attempt_failure& f) override {
    note([&] { failure_ = f; });
  }

  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, patience, condition);
  }
  void wait_end() {
    REQUIRE(wait([this] { return result_ || failure_; }));
  }
  void wait_line(const std::string& line) {
    REQUIRE(wait([&] { return failure_ || std::find(lines_.begin(), lines_.end(), line) != lines_.end(); }));
  }
  attempt_result expect_finished() {
    wait_end();
    if (failure_) FAIL("failed: " << failure_->message);
    return *result_;
  }
  attempt_failure expect_failed() {
    wait_end();
    REQUIRE(failure_.has_value());
    return *failure_;
  }
  std::size_t outstanding() {
    std::lock_guard lock(mutex_);
    return held_.size();
  }
  void release_output() {
    std::vector<output_chunk> gone;
    std::lock_guard lock(mutex_);
    keep_output = false;
    gone.swap(held_);
  }

  std::uint32_t worker_pid_ = 0;
  std::vector<std::string> lines_;
  std::optional<attempt_result> result_;
  std::optional<attempt_failure> failure_;
  std::uint64_t bytes_ = 0;
  std::string content_;

 private:
  template <class F>
  void note(F f) {
    std::lock_guard lock(mutex_);
    f();
    changed_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<output_chunk> held_;
};

struct daemon_config : basp_config {
  daemon_config() { add_message_types<caf::id_block::troupe_worker>(); }
};

/// A block store and a pool, as a daemon has them.
struct node {
  temporary_directory directory;
  daemon_config config;
  caf::actor_system system{config};
  basp_bridge bridge{system};
  std::unique_ptr<block_store> blocks;
  std::unique_ptr<worker_pool> pool;

  explicit node(std::uint32_t workers_max = 2, std::uint64_t budget_bytes = 32 << 20) {
    block_store_options options;
    options.spill_directory = directory.path / "spill";
    options.budget_bytes = budget_bytes;
    options.slab_bytes = 2 << 20;
    auto opened = block_store::open(options);
    REQUIRE_OK(opened);
    blocks = std::move(*opened);
    worker_pool_options pool_options;
    pool_options.worker_program = TEST_WORKER;
    pool_options.workers_max = workers_max;
    pool_options.output_window_bytes = 3 << 20;
    pool_options.start_time_max = patience;
    auto started = worker_pool::start(system, bridge, *blocks, pool_options);
    REQUIRE_OK(started);
    pool = std::move(*started);
  }

  /// An attempt of the first stage of a job of the test module.
  task_assignment assignment(const std::string& job, std::uint32_t task, std::uint32_t attempt = 1) {
    task_assignment a;
    a.key = {job_id{1}, stage_index{0}, task_index{task}, attempt_number{attempt}};
    a.module_path = TEST_MODULE;
    a.module_hash = "the test module";
    a.job_name = job;
    a.parameters["who"] = "the test";
    a.partitions = 3;
    return a;
  }

  std::shared_ptr<listener> run(const task_assignment& a) {
    auto l = std::make_shared<listener>();
    pool->run(a, l);
    return l;
  }

  /// A sealed segment of lines «line 0»…, `per_batch` in a batch; the positions of its batches.
  std::vector<std::uint64_t> write_segment(const std::filesystem::path& path, std::uint64_t id, std::size_t batches,
                                           std::size_t per_batch) {
    format::segment_header header;
    header.segment = segment_id{id};
    bytes file = format::encode_segment_header(header);
    format::segment_builder builder(segment_id{id});
    std::vector<std::uint64_t> positions;
    std::uint64_t line = 0;
    for (std::size_t b = 0; b < batches; ++b) {
      bytes payload;
      const auto first = line;
      for (std::size_t i = 0; i < per_batch; ++i) payload += "line " + std::to_string(line++) + "\n";
      format::batch_header h;
      h.segment = segment_id{id};
      h.first_offset = record_offset{first};
      h.count = static_cast<std::uint32_t>(per_batch);
      char raw[format::batch_header_bytes];
      format::encode_batch_header(h, payload, raw);
      positions.push_back(builder.file_bytes());
      builder.add(h, raw, payload);
      file.append(raw, sizeof raw);
      file += payload;
    }
    positions.push_back(builder.file_bytes());
    file += format::encode_segment_footer(builder.footer());
    std::ofstream(path, std::ios::binary) << file;
    return positions;
  }

  /// A whole segment of 10 lines as input 0.
  segment_range ten_lines() {
    const auto path = directory.path / "5.seg";
    const auto positions = write_segment(path, 5, 2, 5);
    return {path.string(), segment_id{5}, 0, positions.back(), 0, 0, data_format::lines};
  }

  bytes content(const attempt_key& key, std::uint32_t partition) {
    auto refs = blocks->get(key, partition_index{partition});
    REQUIRE_OK(refs);
    bytes all;
    for (const auto& ref : *refs) {
      auto pin = blocks->pin(ref.id);
      REQUIRE_OK(pin);
      bytes part(ref.size, '\0');
      REQUIRE_OK(pin->read(0, part.data(), part.size()));
      CHECK(xxh3_128(part) == ref.digest);
      all += part;
    }
    return all;
  }
};

}  // namespace worker_tests
