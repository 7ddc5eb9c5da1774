#include "troupe/dataflow/task_runtime.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <troupe/base/text.hpp>

#include "troupe/dataflow/sigbus_guard.hpp"

namespace troupe::dataflow {

namespace {

constexpr std::size_t log_line_bytes_max = 4096;
constexpr std::size_t counters_max = 256;
constexpr std::size_t counter_name_bytes_max = 128;

std::atomic<worker_control*> memory_page{nullptr};

/// Exceptions must not cross the module's boundary; one that does is the module's failure.
int run_stage(const troupe_stage& stage, const troupe_task& task, const troupe_host& host, troupe_failure& failure) {
  constexpr std::string_view escaped = "an exception left the module";
  try {
    return stage.run(&task, &host, &failure);
  } catch (const std::exception& e) {
    std::snprintf(failure.message, sizeof failure.message, "%s: %s", escaped.data(), e.what());
  } catch (...) {
    std::snprintf(failure.message, sizeof failure.message, "%s", escaped.data());
  }
  return 1;
}

void on_memory_out() {
  if (auto* control = memory_page.load(); control != nullptr) share<std::uint32_t>(control->memory_out, 1);
  throw std::bad_alloc();
}

}  // namespace

void install_memory_guard(worker_control& control) {
  memory_page = &control;
  std::set_new_handler(on_memory_out);
}

/// The C side of troupe_host.
struct task_runtime::host_functions {
  static task_runtime& of(void* self) { return *static_cast<task_runtime*>(self); }
  static int next_block(void* self, troupe_block* out) { return of(self).next_block(out); }
  static int open_chunk(void* self, uint64_t bytes_min, troupe_chunk* out) {
    return of(self).open_chunk(bytes_min, out);
  }
  static int publish(void* self, uint32_t partition, const troupe_chunk* chunk, uint64_t bytes, uint64_t records) {
    return of(self).publish(partition, chunk, bytes, records);
  }
  static int scratch_open(void* self, uint64_t* file) { return of(self).scratch_open(file); }
  static int scratch_append(void* self, uint64_t file, const void* data, uint64_t size) {
    return of(self).scratch_append(file, static_cast<const char*>(data), size);
  }
  static int scratch_read(void* self, uint64_t file, uint64_t offset, void* data, uint64_t size) {
    return of(self).scratch_read(file, offset, static_cast<char*>(data), size);
  }
  static void scratch_close(void* self, uint64_t file) { of(self).scratch_.erase(file); }
  static void log(void* self, const char* text, uint64_t size) { of(self).log(std::string_view(text, size)); }
  static void count(void* self, const char* name, uint64_t size, int64_t delta) {
    of(self).count(std::string_view(name, size), delta);
  }
};

task_runtime::task_runtime(int channel, worker_control& control, std::function<void(std::string_view)> log)
    : channel_(channel), control_(control), log_(std::move(log)) {}

task_runtime::~task_runtime() = default;

bool task_runtime::stopping() const { return stop_ || shared(control_.cancel) != 0; }

int task_runtime::fail(attempt_failure failure) {
  if (!outcome_.failure) outcome_.failure = std::move(failure);
  stop_ = true;
  return -1;
}

result<packet> task_runtime::ask(const worker_question& question) {
  TROUPE_TRY_VOID(send_packet(channel_, codec::encode(question), {}, true));
  TROUPE_TRY(auto answer, receive_packet(channel_, true));
  if (answer.closed) return error{errc::unavailable, "the daemon is gone"};
  return answer;
}

result<std::optional<packet>> task_runtime::ask_or_stop(const worker_question& question) {
  TROUPE_TRY(auto answer, ask(question));
  auto decoded = codec::decode<daemon_answer>(answer.data, "answer of the daemon");
  if (!decoded) return decoded.error();
  if (std::holds_alternative<stop_task>(*decoded)) {
    stop_ = true;
    return std::optional<packet>{};
  }
  return std::optional<packet>{std::move(answer)};
}

int task_runtime::next_block(troupe_block* out) {
  if (stopping()) return -1;
  switch (inputs_->next(*out)) {
    case task_inputs::outcome::block:
      outcome_.input_records += out->records;
      outcome_.input_bytes += out->size;
      share(control_.input_records, outcome_.input_records);
      share(control_.input_bytes, outcome_.input_bytes);
      return 1;
    case task_inputs::outcome::end:
      return 0;
    case task_inputs::outcome::stop:
      stop_ = true;
      return -1;
    case task_inputs::outcome::failed:
      return fail(inputs_->failure());
  }
  return -1;
}

int task_runtime::open_chunk(std::uint64_t bytes_min, troupe_chunk* out) {
  if (stopping()) return -1;
  auto answer = ask_or_stop(need_chunk{bytes_min});
  if (!answer) return fail({failure_kind::engine, answer.error().message(), {}, 0, {}, {}});
  if (!*answer) return -1;
  auto decoded = codec::decode<daemon_answer>((*answer)->data, "answer of the daemon");
  const auto* given = decoded ? std::get_if<chunk_given>(&*decoded) : nullptr;
  if (given == nullptr) return fail({failure_kind::engine, "the daemon's answer makes no sense", {}, 0, {}, {}});
  open_chunk_state state;
  mapping fresh;
  if (given->with_fd) {
    if ((*answer)->fds.empty())
      return fail({failure_kind::engine, "a slab's descriptor did not come along", {}, 0, {}, {}});
    auto mapped = mapping::of((*answer)->fds.front().get(), given->slab_size, true);
    if (!mapped) return fail({failure_kind::engine, mapped.error().message(), {}, 0, {}, {}});
    fresh = std::move(*mapped);
  }
  if (given->transient) {
    state.data = fresh.data() + given->offset;
    state.own = std::move(fresh);
  } else {
    if (given->with_fd) write_slabs_[given->slab] = std::move(fresh);
    write_slab_kept_ = given->slab;
    const auto slab = write_slabs_.find(given->slab);
    if (slab == write_slabs_.end() || given->offset + given->capacity > slab->second.size())
      return fail({failure_kind::engine, "a chunk lies in no slab of this worker", {}, 0, {}, {}});
    state.data = slab->second.data() + given->offset;
  }
  state.capacity = given->capacity;
  *out = troupe_chunk{state.data, given->capacity, given->chunk};
  chunks_[given->chunk] = std::move(state);
  return 0;
}

int task_runtime::publish(std::uint32_t partition, const troupe_chunk* chunk, std::uint64_t bytes,
                          std::uint64_t records) {
  if (stopping()) return -1;
  auto open = chunks_.find(chunk->handle);
  if (open == chunks_.end())
    return fail(
        {failure_kind::user_code, "the module published a chunk that it had not opened, or twice", {}, 0, {}, {}});
  if (bytes > open->second.capacity || partition >= order_->partitions)
    return fail({failure_kind::user_code,
                 "the module published " + std::to_string(bytes) + " bytes of a chunk of " +
                     std::to_string(open->second.capacity) + " to partition " + std::to_string(partition) + " of " +
                     std::to_string(order_->partitions),
                 {},
                 0,
                 {},
                 {}});
  const auto digest = xxh3_128(bytes_view(open->second.data, static_cast<std::size_t>(bytes)));
  chunks_.erase(open);
  auto sent = send_packet(
      channel_, codec::encode(worker_question{publish_chunk{chunk->handle, partition, bytes, records, digest}}), {},
      true);
  if (!sent) return fail({failure_kind::engine, sent.error().message(), {}, 0, {}, {}});
  share(control_.output_records, shared(control_.output_records) + records);
  share(control_.output_bytes, shared(control_.output_bytes) + bytes);
  return 0;
}

// Scratch files: without a name, so that nothing of them outlives the worker

int task_runtime::scratch_open(std::uint64_t* file) {
  if (stopping()) return -1;
  descriptor made(::open(order_->scratch_directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!made && (errno == EOPNOTSUPP || errno == EISDIR)) {  // a file system without O_TMPFILE
    auto path = order_->scratch_directory + "/scratch-XXXXXX";
    made = descriptor(::mkostemp(path.data(), O_CLOEXEC));
    if (made) ::unlink(path.c_str());
  }
  if (!made)
    return fail({failure_kind::engine,
                 error::from_errno("make a scratch file", order_->scratch_directory, errno).message(),
                 {},
                 0,
                 {},
                 {}});
  *file = ++last_scratch_;
  scratch_[*file] = {std::move(made), 0};
  return 0;
}

int task_runtime::scratch_append(std::uint64_t file, const char* data, std::uint64_t size) {
  if (stopping()) return -1;
  const auto found = scratch_.find(file);
  if (found == scratch_.end())
    return fail({failure_kind::user_code, "the module wrote to a scratch file that it had not opened", {}, 0, {}, {}});
  auto& [fd, bytes] = found->second;
  for (std::uint64_t done = 0; done < size;) {
    const auto written = ::pwrite(fd.get(), data + done, size - done, static_cast<off_t>(bytes + done));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0)
      return fail({failure_kind::engine,
                   error::from_errno("write a scratch file", order_->scratch_directory, errno).message(),
                   {},
                   0,
                   {},
                   {}});
    done += static_cast<std::uint64_t>(written);
  }
  bytes += size;
  outcome_.spilled_bytes += size;
  return 0;
}

int task_runtime::scratch_read(std::uint64_t file, std::uint64_t offset, char* data, std::uint64_t size) {
  if (stopping()) return -1;
  const auto found = scratch_.find(file);
  if (found == scratch_.end() || offset > found->second.second || size > found->second.second - offset)
    return fail({failure_kind::user_code, "the module read what is not in its scratch file", {}, 0, {}, {}});
  for (std::uint64_t done = 0; done < size;) {
    const auto got = ::pread(found->second.first.get(), data + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      return fail(
          {failure_kind::engine,
           error::from_errno("read a scratch file", order_->scratch_directory, got == 0 ? EIO : errno).message(),
           {},
           0,
           {},
           {}});
    done += static_cast<std::uint64_t>(got);
  }
  return 0;
}

void task_runtime::log(std::string_view text) { log_(text.substr(0, log_line_bytes_max)); }

void task_runtime::count(std::string_view name, std::int64_t delta) {
  auto key = std::string(name.substr(0, counter_name_bytes_max));
  if (outcome_.counters.size() >= counters_max && !outcome_.counters.contains(key)) return;
  outcome_.counters[key] += delta;
}

task_outcome task_runtime::run(const troupe_job& job, const task_order& order) {
  order_ = &order;
  outcome_ = task_outcome{};
  stop_ = false;
  inputs_.emplace(read_slabs_, control_, [this] { return ask_or_stop(need_inputs{}); });

  std::vector<troupe_parameter> parameters;
  for (const auto& [name, value] : order.parameters)
    parameters.push_back({name.data(), name.size(), value.data(), value.size()});
  troupe_task task{};
  task.size = sizeof task;
  task.stage = order.key.stage.value;
  task.task = order.key.task.value;
  task.attempt = order.key.attempt.value;
  task.partitions = order.partitions;
  task.parameter_count = static_cast<std::uint32_t>(parameters.size());
  task.parameters = parameters.data();
  task.seed = order.seed;
  task.now_unix_ms = order.now_unix_ms;
  task.memory_bytes = order.memory_bytes;
  task.branch = order.branch;
  task.branch_task = order.branch_task;
  task.declared = job.parameters;
  task.declared_count = job.parameter_count;
  troupe_host host{};
  host.size = sizeof host;
  host.self = this;
  host.next_block = host_functions::next_block;
  host.open_chunk = host_functions::open_chunk;
  host.publish = host_functions::publish;
  host.log = host_functions::log;
  host.count = host_functions::count;
  host.current_offset = &control_.current_offset;
  host.scratch_open = host_functions::scratch_open;
  host.scratch_append = host_functions::scratch_append;
  host.scratch_read = host_functions::scratch_read;
  host.scratch_close = host_functions::scratch_close;
  troupe_failure failure{};

  if (order.key.stage.value >= job.stage_count) {
    fail({failure_kind::engine,
          "the module's job has " + std::to_string(job.stage_count) + " stages, and stage " +
              to_string(order.key.stage) + " was asked for",
          {},
          0,
          {},
          {}});
  } else if (run_stage(job.stages[order.key.stage.value], task, host, failure) != 0) {
    failure.message[sizeof failure.message - 1] = '\0';
    attempt_failure of_module{failure_kind::user_code, failure.message, {}, shared(control_.input), {}, {}};
    // A stage that throws before its first record is at none.
    if (failure.has_offset != 0 && failure.offset != no_offset) of_module.offset = failure.offset;
    if (shared(control_.memory_out) != 0) {
      of_module.kind = failure_kind::memory_limit;
      of_module.message = "ran out of memory: the limit of a task is " + format_bytes(order.memory_bytes) + " (" +
                          of_module.message + ")";
    }
    fail(std::move(of_module));
  } else if (stopping()) {
    // The module was told to stop and did; who told it knows why.
    fail({failure_kind::cancelled, "told to stop", {}, 0, {}, {}});
  }
  inputs_.reset();
  chunks_.clear();
  scratch_.clear();
  std::erase_if(write_slabs_, [this](const auto& slab) { return slab.first != write_slab_kept_; });
  if (auto last = ask(need_settled{}); !last) fail({failure_kind::engine, last.error().message(), {}, 0, {}, {}});
  order_ = nullptr;
  return std::move(outcome_);
}

}  // namespace troupe::dataflow
