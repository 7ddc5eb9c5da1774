#include <support/catch.hpp>
#include <thread>
#include <troupe/telemetry/metrics.hpp>

using namespace troupe::telemetry;

namespace {
bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}
}  // namespace

TEST_CASE("a registry writes Prometheus text: names in order, help, type, labels") {
  metrics registry;
  registry.get_counter("b_total", "Things done", {{"kind", "x"}}).add(3);
  registry.get_counter("b_total", "Things done", {{"kind", "y"}}).add();
  registry.get_gauge("a_bytes", "Held now").set(-7);
  registry.set_gauge_source("c", "Asked for", [] { return 0.25; });

  const auto text = registry.prometheus_text();
  CHECK(text.find("# HELP a_bytes Held now\n# TYPE a_bytes gauge\na_bytes -7\n# HELP b_total Things done\n") == 0);
  CHECK(has_line(text, "b_total{kind=\"x\"} 3"));
  CHECK(has_line(text, "b_total{kind=\"y\"} 1"));
  CHECK(has_line(text, "c 0.25"));
}

TEST_CASE("the same name and labels give the same series, for ever") {
  metrics registry;
  auto& first = registry.get_counter("n_total", "n", {{"a", "1"}});
  for (int i = 0; i < 100; ++i) registry.get_counter("n_total", "n", {{"a", "other" + std::to_string(i)}});
  CHECK(&registry.get_counter("n_total", "n", {{"a", "1"}}) == &first);
}

TEST_CASE("label values and help texts can't forge lines") {
  metrics registry;
  registry.get_counter("n_total", "two\nlines", {{"a", "quote \" backslash \\ newline \n end"}}).add();
  const auto text = registry.prometheus_text();
  CHECK(has_line(text, "# HELP n_total two\\nlines"));
  CHECK(has_line(text, "n_total{a=\"quote \\\" backslash \\\\ newline \\n end\"} 1"));
}

TEST_CASE("a histogram's buckets are cumulative and inclusive, its sum and count are there") {
  metrics registry;
  auto& h = registry.get_histogram("t_seconds", "Took", {0.1, 1}, {{"op", "read"}});
  for (const double v : {0.05, 0.1, 0.5, 7.0}) h.observe(v);
  const auto text = registry.prometheus_text();
  CHECK(has_line(text, "t_seconds_bucket{op=\"read\",le=\"0.1\"} 2"));
  CHECK(has_line(text, "t_seconds_bucket{op=\"read\",le=\"1\"} 3"));
  CHECK(has_line(text, "t_seconds_bucket{op=\"read\",le=\"+Inf\"} 4"));
  CHECK(has_line(text, "t_seconds_sum{op=\"read\"} 7.65"));
  CHECK(has_line(text, "t_seconds_count{op=\"read\"} 4"));
  CHECK(h.count() == 4);
}

TEST_CASE("series above the limit are counted and not shown") {
  metrics registry;
  for (std::size_t i = 0; i < metrics::series_max + 5; ++i)
    registry.get_counter("n_total", "n", {{"i", std::to_string(i)}}).add();
  const auto text = registry.prometheus_text();
  CHECK(has_line(text, "troupe_metrics_dropped_total 5"));
  CHECK(has_line(text, "n_total{i=\"9999\"} 1"));
  CHECK(text.find("i=\"10000\"") == std::string::npos);
}

TEST_CASE("threads count together") {
  metrics registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) registry.get_counter("n_total", "n").add();
    });
  for (auto& t : threads) t.join();
  CHECK(registry.get_counter("n_total", "n").value() == 40'000);
}
