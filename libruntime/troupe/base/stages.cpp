#include <algorithm>
#include <numeric>
#include <troupe/base/stages.hpp>

namespace troupe {

namespace {

error wrong(std::size_t stage, const std::string& what) {
  return {errc::invalid_argument, "stage " + std::to_string(stage) + " " + what};
}

/// The edge that says how many tasks a branch has; none: only broadcasts, one task.
const stage_edge* leading(const stage_branch& branch) {
  const auto found = std::find_if(branch.edges.begin(), branch.edges.end(),
                                  [](const stage_edge& e) { return e.kind != edge_kind::broadcast; });
  return found == branch.edges.end() ? nullptr : &*found;
}

result<void> check_branch(const std::vector<stage_shape>& stages, std::size_t s, const stage_branch& branch,
                          std::uint32_t inputs) {
  if (branch.edges.empty() || branch.edges.size() > edges_max)
    return wrong(s, "has a branch of " + std::to_string(branch.edges.size()) + " edges");
  const auto* lead = leading(branch);
  std::size_t datasets = 0;
  for (const auto& e : branch.edges) {
    if (e.kind > edge_kind::forward) return wrong(s, "has an edge of no known kind");
    if (e.kind == edge_kind::dataset) {
      if (++datasets > 1) return wrong(s, "reads two datasets in one branch");
      if (e.from != all_inputs && inputs != 0 && e.from >= inputs)
        return wrong(s, "reads input " + std::to_string(e.from + 1) + " of " + std::to_string(inputs));
      if (e.from != all_inputs && inputs == 0) return wrong(s, "reads an input by number, but the job takes any");
    } else {
      if (e.from >= s) return wrong(s, "reads stage " + std::to_string(e.from) + ", which is not before it");
      const auto& source = stages[e.from];
      if (e.kind != edge_kind::partitioned && source.partitions != 0 && e.partition >= source.partitions)
        return wrong(s, "reads a partition that stage " + std::to_string(e.from) + " does not write");
      if (e.kind == edge_kind::partitioned && lead->kind == edge_kind::partitioned &&
          stages[lead->from].partitions != source.partitions)
        return wrong(s, "reads two shuffles that are partitioned differently");
    }
    if (e.kind != edge_kind::broadcast && e.kind != lead->kind)
      return wrong(s, "has a branch whose edges do not agree on how many tasks there are");
  }
  return ok();
}

}  // namespace

std::uint32_t stage_layout::branch_of(std::uint32_t task) const noexcept {
  std::uint32_t b = 0;
  while (b + 1 < branches.size() && task >= branches[b].first_task + branches[b].tasks) ++b;
  return b;
}

std::vector<stage_shape> classic_stages(std::uint32_t stages) {
  std::vector<stage_shape> out;
  out.push_back({"map", {{{{edge_kind::dataset, all_inputs, 0}}}}, 0});
  if (stages > 1) out.push_back({"reduce", {{{{edge_kind::partitioned, 0, 0}}}}, 0});
  return out;
}

result<void> check_stages(const std::vector<stage_shape>& stages, std::uint32_t inputs) {
  if (stages.empty() || stages.size() > stages_max)
    return error{errc::invalid_argument,
                 "it has " + std::to_string(stages.size()) + " stages, not 1 to " + std::to_string(stages_max)};
  std::vector<bool> read(stages.size(), false);
  for (std::size_t s = 0; s < stages.size(); ++s) {
    if (stages[s].name.size() > 128) return wrong(s, "has a name of more than 128 bytes");
    if (stages[s].partitions > 4'096) return wrong(s, "writes more than 4096 partitions");
    if (stages[s].branches.empty() || stages[s].branches.size() > branches_max)
      return wrong(s, "has " + std::to_string(stages[s].branches.size()) + " branches");
    for (const auto& branch : stages[s].branches) {
      TROUPE_TRY_VOID(check_branch(stages, s, branch, inputs));
      for (const auto& e : branch.edges)
        if (e.kind != edge_kind::dataset) read[e.from] = true;
    }
  }
  for (std::size_t s = 0; s + 1 < stages.size(); ++s)
    if (!read[s]) return wrong(s, "is read by nobody");
  return ok();
}

result<std::vector<stage_layout>> lay_out(const std::vector<stage_shape>& stages,
                                          const std::vector<std::uint32_t>& splits, std::uint32_t shuffle_partitions) {
  const auto all_splits = std::accumulate(splits.begin(), splits.end(), std::uint64_t{0});
  std::vector<stage_layout> out;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    stage_layout layout;
    std::uint64_t tasks = 0;
    for (const auto& branch : stages[s].branches) {
      std::optional<std::uint64_t> wanted;
      for (const auto& e : branch.edges) {
        std::uint64_t count = 0;
        if (e.kind == edge_kind::broadcast) continue;
        if (e.kind == edge_kind::dataset)
          count = e.from == all_inputs ? all_splits : e.from < splits.size() ? splits[e.from] : 0;
        else
          count = e.kind == edge_kind::partitioned ? out[e.from].partitions : out[e.from].tasks;
        if (wanted && *wanted != count)
          return wrong(s, "reads stages of " + std::to_string(*wanted) + " and " + std::to_string(count) +
                              " tasks side by side");
        wanted = count;
      }
      const auto here = wanted.value_or(1);
      layout.branches.push_back({static_cast<std::uint32_t>(tasks), static_cast<std::uint32_t>(here)});
      tasks += here;
      if (tasks > 0x7fffffff) return wrong(s, "has too many tasks");
    }
    layout.tasks = static_cast<std::uint32_t>(tasks);
    const bool last = s + 1 == stages.size();
    // A task of the last stage writes the partition of its own number.
    layout.partitions = last ? layout.tasks : stages[s].partitions != 0 ? stages[s].partitions : shuffle_partitions;
    out.push_back(std::move(layout));
  }
  return out;
}

std::optional<std::uint32_t> split_of(const stage_shape& stage, const stage_layout& layout,
                                      const std::vector<std::uint32_t>& splits, std::uint32_t task) {
  const auto b = layout.branch_of(task);
  const auto* lead = leading(stage.branches[b]);
  if (lead == nullptr || lead->kind != edge_kind::dataset) return std::nullopt;
  auto split = task - layout.branches[b].first_task;
  if (lead->from != all_inputs)
    for (std::uint32_t i = 0; i < lead->from && i < splits.size(); ++i) split += splits[i];
  return split;
}

bool reads_dataset(const stage_shape& stage) noexcept {
  return std::any_of(stage.branches.begin(), stage.branches.end(), [](const stage_branch& b) {
    return std::any_of(b.edges.begin(), b.edges.end(),
                       [](const stage_edge& e) { return e.kind == edge_kind::dataset; });
  });
}

}  // namespace troupe
