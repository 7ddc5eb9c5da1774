#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <troupe/base/result.hpp>
#include <vector>

/// The stages of a job as a graph: what a module's table says, what metadata keeps, what the scheduler follows. A stage
/// reads edges and writes partitions; stages are numbered so that an edge comes from a smaller number, and the last one
/// writes the job's output. doc/design/dataflow.md
namespace troupe {

/// Where an edge's blocks come from, and which of them a task reads. Numbers on disk: append only.
enum class edge_kind : std::uint8_t {
  dataset,      ///< one split of an input for each task
  partitioned,  ///< task i: partition i of every task of the stage
  broadcast,    ///< every task: one partition of every task of the stage
  forward,      ///< task i: one partition of task i of the stage
};
BOOST_DESCRIBE_ENUM(edge_kind, dataset, partitioned, broadcast, forward)

inline constexpr std::uint32_t all_inputs = 0xffffffff;

struct stage_edge {
  edge_kind kind = edge_kind::dataset;
  std::uint32_t from = all_inputs;  ///< dataset: number of the input, or all_inputs; else number of the stage
  std::uint32_t partition = 0;      ///< broadcast, forward: which one
  friend bool operator==(const stage_edge&, const stage_edge&) = default;
};
BOOST_DESCRIBE_STRUCT(stage_edge, (), (kind, from, partition))

/// Some of a stage's tasks: those that read these edges. A union has a branch for each of its sides.
struct stage_branch {
  std::vector<stage_edge> edges;
  friend bool operator==(const stage_branch&, const stage_branch&) = default;
};
BOOST_DESCRIBE_STRUCT(stage_branch, (), (edges))

struct stage_shape {
  std::string name;                    ///< for people: «map, combine»
  std::vector<stage_branch> branches;  ///< tasks are numbered through them
  std::uint32_t partitions = 0;        ///< of what each task writes; 0: as many as the plan's shuffle has
  friend bool operator==(const stage_shape&, const stage_shape&) = default;
};
BOOST_DESCRIBE_STRUCT(stage_shape, (), (name, branches, partitions))

inline constexpr std::size_t stages_max = 512;
inline constexpr std::size_t branches_max = 64;  ///< of a stage
inline constexpr std::size_t edges_max = 128;    ///< of a branch: the rounds of an iterate_until are one's

/// A stage with its numbers: follows from the shape, the inputs' splits and the plan's partitions alone.
struct stage_layout {
  struct branch {
    std::uint32_t first_task = 0;
    std::uint32_t tasks = 0;
  };
  std::vector<branch> branches;
  std::uint32_t tasks = 0;
  std::uint32_t partitions = 0;

  /// The branch of a task below `tasks`.
  [[nodiscard]] std::uint32_t branch_of(std::uint32_t task) const noexcept;
};

/// What modules of one map and one reduce (or of a map alone) have always been.
[[nodiscard]] std::vector<stage_shape> classic_stages(std::uint32_t stages);

/// Whether the graph can be run: edges from earlier stages, partitions that are there, every stage but the last read by
/// somebody, branches whose edges agree on how many tasks there are. `inputs`: how many the job has; 0: any number.
[[nodiscard]] result<void> check_stages(const std::vector<stage_shape>& stages, std::uint32_t inputs);

/// `stages` must have passed check_stages. `splits`: of each input. invalid_argument when forward edges of one branch
/// come from stages with different numbers of tasks.
[[nodiscard]] result<std::vector<stage_layout>> lay_out(const std::vector<stage_shape>& stages,
                                                        const std::vector<std::uint32_t>& splits,
                                                        std::uint32_t shuffle_partitions);

/// Which split, counted through all inputs, a task reads; none: it reads no dataset.
[[nodiscard]] std::optional<std::uint32_t> split_of(const stage_shape& stage, const stage_layout& layout,
                                                    const std::vector<std::uint32_t>& splits, std::uint32_t task);

/// Whether any task of the stage reads a dataset.
[[nodiscard]] bool reads_dataset(const stage_shape& stage) noexcept;

}  // namespace troupe
