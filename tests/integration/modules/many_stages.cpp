#include <troupe/sdk.hpp>

#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

/// Jobs of many stages whose tasks wait at their beginning until a file exists: gate1=PATH holds the tasks of the first
/// gated stage, gate2=PATH those of the second, and so on; a test kills what runs there.
namespace many_stages {

using namespace troupe;

template <int Number>
struct gate {
  void start(const parameters& given, context&) {
    const std::string path(given.text("gate" + std::to_string(Number), ""));
    while (!path.empty() && ::access(path.c_str(), F_OK) != 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  template <class Record>
  Record operator()(const Record& record) const {
    return record;
  }
};

parameter gate_parameter(int number) { return {"gate" + std::to_string(number), "tasks wait until this file exists"}; }

using count = std::pair<std::string_view, std::uint64_t>;

/// Words with how often they come, …
constexpr auto counts = read_lines() |
                        flat_map<std::pair<std::string_view, std::uint64_t>>([](std::string_view line, auto& emit) {
                          for (auto word : words(line)) emit({word, 1});
                        }) |
                        map<gate<1>>() | fold_by_key<sum>();
/// … how many words begin with each letter, …
constexpr auto letters = counts |
                         map([](const count& c) { return std::pair(c.first.substr(0, 2), std::uint64_t{1}); }) |
                         map<gate<2>>() | fold_by_key<sum>();
/// … joined by that letter, sorted and numbered: map, fold, join, sort key, sample, distribute, sort, number.
TROUPE_JOB(ranked,
           counts | map([](const count& c) { return std::pair(c.first.substr(0, 2), c); }) | join(letters) |
               map<gate<3>>() | sort_by_descending([](const auto& r) {
                 return std::pair(r.second.first.second, r.second.first.first);
               }) |
               map<gate<4>>() | zip_with_index() | map<gate<5>>() | map([](const auto& r) {
                 const auto& [number, joined] = r;
                 return std::pair(number, joined.second);
               }) |
               write("rank", "what"),
           gate_parameter(1), gate_parameter(2), gate_parameter(3), gate_parameter(4), gate_parameter(5));

/// State that goes round: each number is replaced by the sum of those that share its digits' sum.
TROUPE_JOB(rounds, counts | iterate<3>([](auto state) {
                     return state | map([](const count& c) { return std::pair(c.first.substr(0, 2), c.second); }) |
                            map<gate<2>>() | fold_by_key<maximum>() | join_small(counts) |
                            map([](const auto& r) { return std::pair(r.first, r.second.first + r.second.second); }) |
                            union_with(state) | fold_by_key<sum>();
                   }) | sort_by([](const auto& r) {
                     return r.first;
                   }) | write("word", "sum"),
           gate_parameter(1), gate_parameter(2));

/// Two datasets of one job.
TROUPE_JOB(forked,
           counts | filter([](const count& c) { return c.second > 100; }) | map<gate<2>>() | fold_by_key<sum>() |
               write("word", "count").named("frequent"),
           counts | filter([](const count& c) { return c.second <= 100; }) | write("word", "count").named("rare"),
           gate_parameter(1), gate_parameter(2));

/// Halves every count until none is above one.
TROUPE_JOB(halved,
           counts | map([](const count& c) { return std::pair(std::string(c.first), c.second); }) |
               iterate_until<30>(
                   [](auto state) {
                     return state | map([](const auto& c) { return std::pair(c.first, c.second / 2); }) |
                            map<gate<2>>() | fold_by_key<sum>();
                   },
                   [](auto, auto after) { return after | map([](const auto& c) { return c.second <= 1; }); }) |
               sort_by([](const auto& c) { return c.first; }) | write("word", "left"),
           gate_parameter(1), gate_parameter(2));

/// Everything that may need more than a task's memory.
struct lengths : reducer<std::string_view, std::uint64_t, std::string, std::uint64_t> {
  void reduce(std::string_view key, values<std::uint64_t>& all, emitter& emit) {
    std::uint64_t sum = 0;
    for (auto v : all) sum = sum * 31 + v;
    emit(key, sum);
  }
};
constexpr auto by_line =
    read_lines() | map([](std::string_view line) { return std::pair(line.substr(0, 12), line.size()); });
TROUPE_JOB(large_groups,
           by_line | reduce<lengths>() | sort_by([](const auto& r) { return r.second; }) | write("key", "sum"));
TROUPE_JOB(large_sort, read_lines() | sort_by([](std::string_view line) { return line; }) | write("line"));
TROUPE_JOB(large_join,
           by_line | join(read_lines() | map([](std::string_view line) {
                            return std::pair(line.substr(0, 12), line.substr(12));
                          })) |
               map([](const auto& r) { return std::pair(r.first, r.second.first + r.second.second.size()); }) |
               write());
TROUPE_JOB(large_fold, read_lines() | distinct() | write("line"));

}  // namespace many_stages
