#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <troupe/sdk/abi.hpp>
#include <utility>
#include <vector>

/// From the nodes of a pipeline, which are types, to the stages of the module's table. A node that moves data (a
/// shuffle, a join, a sort) ends a stage and begins another; everything else is fused into the stage that it is in.
/// Done once, when the module is loaded.
namespace troupe::sdk {

template <class... Ts>
struct type_list {};

using stage_function = int (*)(const troupe_task*, const troupe_host*, troupe_failure*);

/// Its address names the type.
template <class T>
struct type_mark {
  static constexpr char mark = 0;
};

/// The stages found so far. Equal types are equal computations, so a part that is used twice is one stage.
class plan_builder {
 public:
  struct stage {
    std::string name;
    stage_function run = nullptr;
    std::uint32_t partitions = 0;
    std::vector<std::vector<troupe_edge>> branches;
  };

  /// The stage that `Code` is, and the stages before it. `round`: of an iteration, if it depends on that.
  template <class Code>
  std::uint32_t add(std::uint32_t round) {
    const std::pair key(static_cast<const void*>(&type_mark<Code>::mark), Code::mentions_loop ? round : 0);
    if (const auto known = numbers_.find(key); known != numbers_.end()) return known->second;
    stage made{Code::name(), &Code::run, Code::partitions, Code::plan(*this, round)};
    const auto number = static_cast<std::uint32_t>(stages_.size());
    stages_.push_back(std::move(made));
    numbers_.emplace(key, number);
    return number;
  }
  [[nodiscard]] const std::deque<stage>& stages() const noexcept { return stages_; }

  /// An operator's own parameter, which the job then takes without saying so.
  void takes(const char* name, const char* about) { parameters_.emplace(name, about); }
  [[nodiscard]] const std::map<std::string, std::string>& parameters() const noexcept { return parameters_; }

 private:
  std::map<std::string, std::string> parameters_;
  std::deque<stage> stages_;
  std::map<std::pair<const void*, std::uint32_t>, std::uint32_t> numbers_;
};

/// The C table of a pipeline's stages. It stays where it is.
class stage_table {
 public:
  explicit stage_table(const plan_builder& plan) {
    for (const auto& s : plan.stages()) {
      names_.push_back(s.name);
      auto& branches = branches_.emplace_back();
      for (const auto& b : s.branches) {
        const auto& edges = edges_.emplace_back(b);
        branches.push_back({static_cast<std::uint32_t>(edges.size()), edges.data()});
      }
      stages_.push_back({sizeof(troupe_stage), s.partitions, s.run, names_.back().c_str(),
                         static_cast<std::uint32_t>(branches.size()), branches.data()});
    }
    // One map and one reduce have been called so for long, whatever else is fused into them.
    const bool classic = stages_.size() == 1 || (stages_.size() == 2 && stages_[1].branch_count == 1);
    if (classic && stages_[0].branch_count == 1 && branches_[0][0].edges[0].kind == TROUPE_EDGE_DATASET) {
      stages_[0].name = "map";
      if (stages_.size() == 2) stages_[1].name = "reduce";
    }
  }
  stage_table(const stage_table&) = delete;
  stage_table& operator=(const stage_table&) = delete;
  [[nodiscard]] const std::vector<troupe_stage>& stages() const noexcept { return stages_; }

 private:
  std::deque<std::string> names_;
  std::deque<std::vector<troupe_edge>> edges_;
  std::deque<std::vector<troupe_branch>> branches_;
  std::vector<troupe_stage> stages_;
};

}  // namespace troupe::sdk
