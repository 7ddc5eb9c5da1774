#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::telemetry {

/// Only grows. Name it `…_total`. Any thread.
class counter {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Goes up and down. Any thread.
class gauge {
 public:
  void set(std::int64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t n) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

/// Counts observations in fixed buckets. Bounds are inclusive upper ones, ascending; +Inf is implied. Any thread.
class histogram {
 public:
  explicit histogram(std::vector<double> bounds);
  void observe(double value) noexcept;
  [[nodiscard]] std::uint64_t count() const noexcept;
  [[nodiscard]] double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }
  [[nodiscard]] const std::vector<double>& bounds() const noexcept { return bounds_; }
  /// Observations in bucket `index`, not cumulative; the last one is +Inf's.
  [[nodiscard]] std::uint64_t in_bucket(std::size_t index) const noexcept {
    return buckets_[index].load(std::memory_order_relaxed);
  }

  /// 0.1 ms to 10 s in steps of about 2.5: for latencies in seconds.
  static std::vector<double> latency_seconds();

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> buckets_;
  std::atomic<double> sum_{0};
};

using labels = std::vector<std::pair<std::string, std::string>>;

/// All series of a node. A series is made at first mention and lives as long as the registry, so references stay valid:
/// look up once, keep the reference. Any thread. Asking for a name with another kind than before, or for a name that
/// Prometheus would not take, breaks an invariant.
///
///   auto& accepted = registry.get_counter("troupe_gate_accepted_total", "Connections accepted", {{"protocol",
///   "http"}}); accepted.add();
class metrics {
 public:
  /// Series beyond this are given out but not shown (labels must never be made from user data without a bound);
  /// `troupe_metrics_dropped_total` counts them.
  static constexpr std::size_t series_max = 10'000;

  counter& get_counter(std::string_view name, std::string_view help, const labels& with = {});
  gauge& get_gauge(std::string_view name, std::string_view help, const labels& with = {});
  /// `bounds` counts at the first mention of the name.
  histogram& get_histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                           const labels& with = {});
  /// A gauge that is read when somebody asks; `read` is called under the registry's lock and must be quick. A second
  /// call for the same series replaces it.
  void set_gauge_source(std::string_view name, std::string_view help, std::function<double()> read,
                        const labels& with = {});

  /// Prometheus text format 0.0.4, names in order.
  [[nodiscard]] std::string prometheus_text() const;

 private:
  enum class kind { counter, gauge, histogram };
  struct series {
    std::unique_ptr<counter> as_counter;
    std::unique_ptr<gauge> as_gauge;
    std::unique_ptr<histogram> as_histogram;
    std::function<double()> source;
  };
  struct family {
    kind what;
    std::string help;
    std::vector<double> bounds;
    std::map<std::string, series> by_labels;
  };
  series& find(std::string_view name, std::string_view help, kind what, const labels& with);

  mutable std::mutex mutex_;
  std::map<std::string, family, std::less<>> families_;
  std::size_t series_count_ = 0;
  std::uint64_t dropped_ = 0;
  series overflow_counter_, overflow_gauge_, overflow_histogram_;
};

}  // namespace troupe::telemetry
