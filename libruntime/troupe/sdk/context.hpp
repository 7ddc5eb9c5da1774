#pragma once
#include <charconv>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <troupe/sdk/abi.hpp>

namespace troupe {

/// What user code throws to end its job with a sentence; any other exception does as well.
class failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The `name=value` words of `run JOB … name=value`. A job declares what it takes (troupe::parameter in its
/// TROUPE_JOB), and is refused with others before it starts. Reading one that is missing, malformed or not declared
/// throws a `failure` that names it.
class parameters {
 public:
  explicit parameters(const troupe_task& task) noexcept : task_(&task) {}

  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const {
    check_declared(name);
    for (std::uint32_t i = 0; i < task_->parameter_count; ++i) {
      const auto& p = task_->parameters[i];
      if (std::string_view(p.name, p.name_size) == name) return std::string_view(p.value, p.value_size);
    }
    return std::nullopt;
  }
  [[nodiscard]] std::string_view text(std::string_view name) const {
    if (const auto value = find(name)) return *value;
    throw failure("the job needs a parameter: run it with " + std::string(name) + "=…");
  }
  [[nodiscard]] std::string_view text(std::string_view name, std::string_view otherwise) const {
    return find(name).value_or(otherwise);
  }
  [[nodiscard]] std::int64_t integer(std::string_view name) const {
    return number<std::int64_t>(name, text(name), "an integer");
  }
  [[nodiscard]] std::int64_t integer(std::string_view name, std::int64_t otherwise) const {
    return find(name) ? integer(name) : otherwise;
  }
  [[nodiscard]] double real(std::string_view name) const { return number<double>(name, text(name), "a number"); }
  [[nodiscard]] double real(std::string_view name, double otherwise) const {
    return find(name) ? real(name) : otherwise;
  }
  /// true, yes, 1 or false, no, 0.
  [[nodiscard]] bool flag(std::string_view name, bool otherwise = false) const {
    const auto value = find(name);
    if (!value) return otherwise;
    if (*value == "true" || *value == "yes" || *value == "1") return true;
    if (*value == "false" || *value == "no" || *value == "0") return false;
    throw failure("parameter " + std::string(name) + "=" + std::string(*value) + " is neither true nor false");
  }

 private:
  /// Read once a task, in `start`, so that a walk through a few names costs nothing.
  void check_declared(std::string_view name) const {
    if (task_->declared == nullptr) return;
    for (std::uint32_t i = 0; i < task_->declared_count; ++i)
      if (name == task_->declared[i].name) return;
    throw failure("the job reads parameter " + std::string(name) +
                  " and does not declare it: add troupe::parameter(\"" + std::string(name) +
                  "\", \"what it is for\") behind the pipeline in its TROUPE_JOB");
  }
  template <class T>
  static T number(std::string_view name, std::string_view value, const char* what) {
    T out{};
    const auto [rest, wrong] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (wrong != std::errc{} || rest != value.data() + value.size())
      throw failure("parameter " + std::string(name) + "=" + std::string(value) + " is not " + what);
    return out;
  }
  const troupe_task* task_;
};

/// A number that is summed over all tasks of a job and shown by `job ID`. Counts of attempts that did not become the
/// task's are not in it.
class counter {
 public:
  void add(std::int64_t delta = 1) noexcept { pending_ += delta; }
  counter& operator++() noexcept {
    ++pending_;
    return *this;
  }
  counter& operator+=(std::int64_t delta) noexcept {
    pending_ += delta;
    return *this;
  }

 private:
  friend class context;
  explicit counter(std::string_view name) : name_(name) {}
  std::string name_;
  std::int64_t pending_ = 0;
};

/// What a task may know and do besides its records. Owned by the engine, alive from `start` to the end of `finish`; a
/// mapper may keep a pointer to it. Only the task's thread calls it.
class context {
 public:
  context(const troupe_task& task, const troupe_host& host) noexcept : task_(&task), host_(&host), random_(task.seed) {}
  context(const context&) = delete;
  context& operator=(const context&) = delete;

  /// The counter of this name; the reference stays valid, so ask once, in `start`.
  [[nodiscard]] counter& counter_named(std::string_view name) {
    for (auto& known : counters_)
      if (known.name_ == name) return known;
    return counters_.emplace_back(counter(name));
  }
  /// The same for what is counted seldom.
  void count(std::string_view name, std::int64_t delta = 1) { counter_named(name).add(delta); }

  /// A line for `logs ID`. For what is rare: a job keeps its last 10,000 lines.
  void log(std::string_view line) { host_->log(host_->self, line.data(), line.size()); }

  [[nodiscard]] std::uint32_t task() const noexcept { return task_->task; }
  /// From 1. Never let output depend on it: attempts of one task must write the same bytes.
  [[nodiscard]] std::uint32_t attempt() const noexcept { return task_->attempt; }
  /// Which of the job's inputs, from 0, the present record comes from.
  [[nodiscard]] std::uint32_t input() const noexcept { return input_; }
  /// Of the present record, within its partition of the input dataset.
  [[nodiscard]] std::uint64_t offset() const noexcept { return *host_->current_offset; }
  /// When the job was accepted, in milliseconds since 1970: the only time that gives every attempt the same answer.
  [[nodiscard]] std::int64_t now_unix_ms() const noexcept { return task_->now_unix_ms; }
  /// The next of this task's random numbers (SplitMix64, Steele et al. 2014): the same row in every attempt.
  [[nodiscard]] std::uint64_t random() noexcept {
    auto z = random_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }

  /// The engine's: tells the worker what was counted since the last time.
  void flush_counters() {
    for (auto& c : counters_) {
      if (c.pending_ == 0) continue;
      host_->count(host_->self, c.name_.data(), c.name_.size(), c.pending_);
      c.pending_ = 0;
    }
  }
  /// The engine's.
  void set_input(std::uint32_t input) noexcept { input_ = input; }

 private:
  const troupe_task* task_;
  const troupe_host* host_;
  std::uint64_t random_;
  std::uint32_t input_ = 0;
  std::deque<counter> counters_;
};

}  // namespace troupe
