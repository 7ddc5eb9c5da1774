#include <troupe/sdk.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

/// Counts words, but its tasks wait until a file exists, so that a test decides how far a job gets.
/// Parameters: map_gate=PATH, free_maps=N (map tasks below N do not wait), reduce_gate=PATH, gated_reduce=N (only
/// reduce task N waits).
inline void wait_for(std::string_view gate) {
  const std::string path(gate);
  while (!path.empty() && ::access(path.c_str(), F_OK) != 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

struct gated_words : troupe::mapper<std::string_view, std::string_view, std::uint64_t> {
  void start(const troupe::parameters& parameters, troupe::context& context) {
    if (static_cast<std::int64_t>(context.task()) >= parameters.integer("free_maps", 0))
      wait_for(parameters.text("map_gate", ""));
  }
  void map(std::string_view line, emitter& emit) {
    for (auto word : troupe::words(line)) emit(word, 1);
  }
};

struct gated_sum : troupe::reducer<std::string_view, std::uint64_t, std::string_view, std::uint64_t> {
  void start(const troupe::parameters& parameters, troupe::context& context) {
    const auto gated = parameters.integer("gated_reduce", -1);
    if (gated < 0 || gated == static_cast<std::int64_t>(context.task())) wait_for(parameters.text("reduce_gate", ""));
  }
  void reduce(std::string_view word, troupe::values<std::uint64_t>& values, emitter& emit) {
    std::uint64_t total = 0;
    for (auto value : values) total += value;
    emit(word, total);
  }
};

TROUPE_JOB(gated_count, troupe::read_lines() | troupe::map<gated_words>() | troupe::reduce<gated_sum>() |
                            troupe::write("word", "count"));
