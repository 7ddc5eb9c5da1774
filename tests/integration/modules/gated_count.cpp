#include <troupe/sdk.hpp>

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

/// Counts words, but its tasks wait until a file exists, so that a test decides how far a job gets.
/// Parameters: map_gate=PATH, free_maps=N (map tasks below N do not wait), reduce_gate=PATH, gated_reduce=N (only
/// reduce task N waits), undetermined=1 (each map task also emits a word that no other attempt would).
inline void wait_for(std::string_view gate) {
  const std::string path(gate);
  while (!path.empty() && ::access(path.c_str(), F_OK) != 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

struct gated_words : troupe::mapper<std::string_view, std::string_view, std::uint64_t> {
  void start(const troupe::parameters& parameters, troupe::context& context) {
    if (static_cast<std::int64_t>(context.task()) >= parameters.integer("free_maps", 0))
      wait_for(parameters.text("map_gate", ""));
    if (parameters.integer("undetermined", 0) != 0) mark_ = "attempt of process " + std::to_string(::getpid());
  }
  void map(std::string_view line, emitter& emit) {
    if (!mark_.empty()) emit(mark_, 1);
    mark_.clear();
    for (auto word : troupe::words(line)) emit(word, 1);
  }

 private:
  std::string mark_;
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

TROUPE_JOB(gated_count,
           troupe::read_lines() | troupe::map<gated_words>() | troupe::reduce<gated_sum>() |
               troupe::write("word", "count"),
           troupe::parameter("map_gate", "maps wait until this file exists"),
           troupe::parameter("free_maps", "so many do not"),
           troupe::parameter("reduce_gate", "reducers wait until this file exists"),
           troupe::parameter("gated_reduce", "only this one does"),
           troupe::parameter("undetermined", "1: attempts differ in what they write"));
