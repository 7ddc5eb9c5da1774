#include <algorithm>
#include <cmath>
#include <cstdio>
#include <troupe/base/invariant.hpp>
#include <troupe/telemetry/metrics.hpp>

namespace troupe::telemetry {

namespace {

bool is_metric_name(std::string_view name) {
  const auto fits = [](char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' || (!first && c >= '0' && c <= '9');
  };
  return !name.empty() && fits(name.front(), true) &&
         std::all_of(name.begin() + 1, name.end(), [&](char c) { return fits(c, false); });
}

/// Backslash, newline and (within labels) the quote are escaped; a help text keeps its quotes.
void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
}

/// `a="b",c="d"`: the series' key and its text alike.
std::string label_text(const labels& with) {
  std::string text;
  for (const auto& [name, value] : with) {
    TROUPE_INVARIANT(is_metric_name(name), name);
    if (!text.empty()) text += ',';
    text += name;
    text += "=\"";
    append_escaped(text, value, true);
    text += '"';
  }
  return text;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  for (int digits = 1; digits < 17; ++digits) {  // the shortest text that reads back as the same number
    char shorter[32];
    std::snprintf(shorter, sizeof shorter, "%.*g", digits, value);
    double back = 0;
    if (std::sscanf(shorter, "%lf", &back) == 1 && back == value) return shorter;
  }
  return text;
}

void append_sample(std::string& out, std::string_view name, std::string_view label, std::string_view value) {
  out += name;
  if (!label.empty()) {
    out += '{';
    out += label;
    out += '}';
  }
  out += ' ';
  out += value;
  out += '\n';
}

void append_histogram(std::string& out, const std::string& name, const std::string& label, const histogram& values) {
  const std::string separator = label.empty() ? "" : ",";
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i <= values.bounds().size(); ++i) {
    cumulative += values.in_bucket(i);
    const auto bound = i < values.bounds().size() ? number_text(values.bounds()[i]) : std::string("+Inf");
    append_sample(out, name + "_bucket", label + separator + "le=\"" + bound + "\"", std::to_string(cumulative));
  }
  append_sample(out, name + "_sum", label, number_text(values.sum()));
  append_sample(out, name + "_count", label, std::to_string(cumulative));
}

}  // namespace

histogram::histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), buckets_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds_.size() + 1)) {
  TROUPE_INVARIANT(std::is_sorted(bounds_.begin(), bounds_.end()), "bounds of a histogram are not ascending");
}

void histogram::observe(double value) noexcept {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  buckets_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::uint64_t histogram::count() const noexcept {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i <= bounds_.size(); ++i) total += in_bucket(i);
  return total;
}

std::vector<double> histogram::latency_seconds() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
}

metrics::series& metrics::find(std::string_view name, std::string_view help, kind what, const labels& with) {
  auto at = families_.find(name);
  if (at == families_.end()) {
    TROUPE_INVARIANT(is_metric_name(name), std::string(name));
    at = families_.emplace(std::string(name), family{what, std::string(help), {}, {}}).first;
  }
  TROUPE_INVARIANT(at->second.what == what, std::string(name) + " is already known as a metric of another kind");
  auto key = label_text(with);
  const auto known = at->second.by_labels.find(key);
  if (known != at->second.by_labels.end()) return known->second;
  if (series_count_ >= series_max) {
    ++dropped_;
    return what == kind::counter ? overflow_counter_ : what == kind::gauge ? overflow_gauge_ : overflow_histogram_;
  }
  ++series_count_;
  return at->second.by_labels[std::move(key)];
}

counter& metrics::get_counter(std::string_view name, std::string_view help, const labels& with) {
  const std::lock_guard lock(mutex_);
  auto& found = find(name, help, kind::counter, with);
  if (!found.as_counter) found.as_counter = std::make_unique<counter>();
  return *found.as_counter;
}

gauge& metrics::get_gauge(std::string_view name, std::string_view help, const labels& with) {
  const std::lock_guard lock(mutex_);
  auto& found = find(name, help, kind::gauge, with);
  if (!found.as_gauge) found.as_gauge = std::make_unique<gauge>();
  return *found.as_gauge;
}

histogram& metrics::get_histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                                  const labels& with) {
  const std::lock_guard lock(mutex_);
  auto& found = find(name, help, kind::histogram, with);
  if (!found.as_histogram) {
    auto& known = families_.find(name)->second.bounds;
    if (known.empty()) known = std::move(bounds);
    found.as_histogram = std::make_unique<histogram>(known);
  }
  return *found.as_histogram;
}

void metrics::set_gauge_source(std::string_view name, std::string_view help, std::function<double()> read,
                               const labels& with) {
  const std::lock_guard lock(mutex_);
  find(name, help, kind::gauge, with).source = std::move(read);
}

std::string metrics::prometheus_text() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, values] : families_) {
    out += "# HELP " + name + ' ';
    append_escaped(out, values.help, false);
    out += "\n# TYPE " + name;
    out += values.what == kind::counter ? " counter\n" : values.what == kind::gauge ? " gauge\n" : " histogram\n";
    for (const auto& [label, one] : values.by_labels) {
      if (one.as_counter)
        append_sample(out, name, label, std::to_string(one.as_counter->value()));
      else if (one.as_histogram)
        append_histogram(out, name, label, *one.as_histogram);
      else if (one.source)
        append_sample(out, name, label, number_text(one.source()));
      else if (one.as_gauge)
        append_sample(out, name, label, std::to_string(one.as_gauge->value()));
    }
  }
  out += "# HELP troupe_metrics_dropped_total Series asked for above the registry's limit\n";
  out += "# TYPE troupe_metrics_dropped_total counter\n";
  append_sample(out, "troupe_metrics_dropped_total", "", std::to_string(dropped_));
  return out;
}

}  // namespace troupe::telemetry
