#pragma once
#include <concepts>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <troupe/sdk/testing_host.hpp>
#include <type_traits>
#include <utility>
#include <vector>

/// A whole job inside a unit test or gdb: no cluster, no processes, no threads; the same C table and the same code as
/// in a worker.
///
///     auto out = troupe::testing::run(troupe_jobs::word_count, {"a b a", "b a"});
///     REQUIRE(out.ok());
///     CHECK(out.map<std::string, std::uint64_t>() == std::map<std::string, std::uint64_t>{{"a", 3}, {"b", 2}});
namespace troupe::testing {

namespace detail {

/// What a stage's tasks published, and how many there are.
struct stage_result {
  std::vector<std::vector<published>> tasks;
  std::vector<std::uint32_t> branch_of;  ///< each task
  std::uint32_t partitions = 0;
};

/// How many tasks a branch has: as base/stages.hpp counts them, for tables that a compiler made.
inline std::uint32_t tasks_of(const troupe_branch& branch,
                              const std::vector<std::vector<std::vector<input_block>>>& splits,
                              const std::vector<stage_result>& before) {
  for (std::uint32_t e = 0; e < branch.edge_count; ++e) {
    const auto& edge = branch.edges[e];
    if (edge.kind == TROUPE_EDGE_PARTITIONED) return before.at(edge.from).partitions;
    if (edge.kind == TROUPE_EDGE_FORWARD) return static_cast<std::uint32_t>(before.at(edge.from).tasks.size());
    if (edge.kind != TROUPE_EDGE_DATASET) continue;
    std::size_t count = 0;
    for (std::size_t i = 0; i < splits.size(); ++i)
      if (edge.from == UINT32_MAX || edge.from == i) count += splits[i].size();
    return static_cast<std::uint32_t>(count);
  }
  return 1;
}

/// The blocks that a task reads, in the order of its edges.
inline std::vector<input_block> blocks_of(const troupe_branch& branch, std::uint32_t task,
                                          const std::vector<std::vector<std::vector<input_block>>>& splits,
                                          const std::vector<stage_result>& before) {
  std::vector<input_block> out;
  for (std::uint32_t e = 0; e < branch.edge_count; ++e) {
    const auto& edge = branch.edges[e];
    if (edge.kind == TROUPE_EDGE_DATASET) {
      auto left = task;
      for (std::size_t i = 0; i < splits.size(); ++i) {
        if (edge.from != UINT32_MAX && edge.from != i) continue;
        if (left < splits[i].size()) {
          for (auto block : splits[i][left]) {
            block.edge = e;
            out.push_back(std::move(block));
          }
          break;
        }
        left -= static_cast<std::uint32_t>(splits[i].size());
      }
      continue;
    }
    const auto& source = before.at(edge.from);
    const auto partition = edge.kind == TROUPE_EDGE_PARTITIONED ? task : edge.partition;
    for (std::uint32_t t = 0; t < source.tasks.size(); ++t) {
      if (edge.kind == TROUPE_EDGE_FORWARD && t != task) continue;
      for (const auto& p : source.tasks[t])
        if (p.partition == partition) out.push_back({p.bytes, p.records, 0, TROUPE_SHUFFLE, 0, e});
    }
  }
  return out;
}

inline bool takes(const troupe_job& table, std::string_view name) {
  return std::any_of(table.parameters, table.parameters + table.parameter_count,
                     [&](const troupe_declared& p) { return name == p.name; });
}

/// Which of the job's outputs a branch of its last stage writes.
inline std::uint32_t output_of(const troupe_job& table, std::uint32_t branch) {
  std::uint32_t output = 0, past = 0;
  while (output + 1 < table.output_count && branch >= (past += table.outputs[output].branches)) ++output;
  return output;
}

/// Input records, already as bytes, one vector for each input, through all stages.
inline outcome run_encoded(const job& what, const std::vector<std::vector<std::string>>& inputs,
                           const std::map<std::string, std::string>& given, const options& chosen,
                           bool declares = true) {
  const auto& table = what.table();
  outcome out;
  out.output_schema = what.output_schema();
  if (table.input_count != 0 && table.input_count != inputs.size())
    throw std::logic_error("this job reads " + std::to_string(table.input_count) + " inputs: give run as many");
  std::vector<troupe_parameter> parameters;
  for (const auto& [name, value] : given) {
    if (declares && !takes(table, name)) {
      out.failed = true;
      out.message = "job " + what.name() + " takes no parameter " + name;
      return out;
    }
    parameters.push_back({name.data(), name.size(), value.data(), value.size()});
  }
  std::vector<std::vector<std::vector<input_block>>> splits;
  for (std::uint32_t i = 0; i < inputs.size(); ++i)
    splits.push_back(
        split_input(inputs[i], i, table.input_count == 0 ? table.input_format : table.inputs[i].format, chosen));
  std::vector<stage_result> results;
  for (std::uint32_t s = 0; s < table.stage_count; ++s) {
    const auto& stage = table.stages[s];
    const bool last = s + 1 == table.stage_count;
    stage_result result;
    std::uint32_t all = 0;
    for (std::uint32_t b = 0; b < stage.branch_count; ++b) all += tasks_of(stage.branches[b], splits, results);
    result.partitions = last                    ? all
                        : stage.partitions != 0 ? stage.partitions
                                                : std::max<std::uint32_t>(chosen.partitions, 1);
    for (std::uint32_t b = 0; b < stage.branch_count; ++b) {
      const auto tasks = tasks_of(stage.branches[b], splits, results);
      for (std::uint32_t t = 0; t < tasks; ++t) {
        const auto number = static_cast<std::uint32_t>(result.tasks.size());
        memory_host host(out, chosen, blocks_of(stage.branches[b], t, splits, results),
                         std::to_string(s) + "." + std::to_string(number) + ":");
        const troupe_task task{sizeof(troupe_task),
                               s,
                               number,
                               1,
                               result.partitions,
                               static_cast<std::uint32_t>(parameters.size()),
                               parameters.data(),
                               chosen.seed + number,
                               chosen.now_unix_ms,
                               chosen.memory_bytes,
                               b,
                               t,
                               declares ? table.parameters : nullptr,
                               declares ? table.parameter_count : 0};
        troupe_failure failed{};
        if (stage.run(&task, &host.host(), &failed) != 0) {
          out.failed = true;
          out.message = failed.message;
          if (failed.has_offset != 0) out.offset = failed.offset;
          return out;
        }
        result.tasks.push_back(std::move(host.output));
        result.branch_of.push_back(b);
      }
    }
    results.push_back(std::move(result));
  }
  out.more_encoded.resize(table.output_count == 0 ? 0 : table.output_count - 1);
  for (std::size_t t = 0; t < results.back().tasks.size(); ++t) {
    const auto output = output_of(table, results.back().branch_of[t]);
    auto& into = output == 0 ? out.encoded : out.more_encoded[output - 1];
    for (const auto& block : results.back().tasks[t]) {
      const char* at = block.bytes.data();
      const char* const end = at + block.bytes.size();
      std::uint64_t found = 0;
      for (; at != end; ++found) {
        std::uint64_t size = 0;
        at = load_varint(at, end, size);
        if (at == nullptr || size > static_cast<std::uint64_t>(end - at))
          throw std::runtime_error("the job published a chunk that does not hold whole records");
        into.emplace_back(at, size);
        at += size;
      }
      if (found != block.records) throw std::runtime_error("the job published a chunk with a wrong number of records");
    }
  }
  return out;
}

}  // namespace detail

/// One of several inputs: lines, or structs.
class input {
 public:
  input(const std::vector<std::string>& texts) : records(texts) {}
  input(std::initializer_list<const char*> texts) : records(texts.begin(), texts.end()) {}
  template <class Record>
  requires sdk::described_struct<Record> input(const std::vector<Record>& structs) {
    for (const auto& record : structs) {
      std::string bytes(sdk::encoded_size(record), '\0');
      sdk::encode_field(bytes.data(), record);
      records.push_back(std::move(bytes));
    }
  }
  std::vector<std::string> records;
};

/// A job of several inputs: `run_inputs(troupe_jobs::joined, {orders, customers})`.
inline outcome run_inputs(const job& what, const std::vector<input>& inputs,
                          const std::map<std::string, std::string>& parameters = {}, const options& chosen = {}) {
  std::vector<std::vector<std::string>> encoded;
  encoded.reserve(inputs.size());
  for (const auto& i : inputs) encoded.push_back(i.records);
  return detail::run_encoded(what, encoded, parameters, chosen);
}

/// A job that reads texts.
inline outcome run(const job& what, const std::vector<std::string>& records,
                   const std::map<std::string, std::string>& parameters = {}, const options& chosen = {}) {
  if (what.table().input_format == TROUPE_RECORDS)
    throw std::logic_error("this job reads structs: give run a vector of them");
  return detail::run_encoded(what, {records}, parameters, chosen);
}

/// A job that reads structs.
template <sdk::described_struct Record>
outcome run(const job& what, const std::vector<Record>& records,
            const std::map<std::string, std::string>& parameters = {}, const options& chosen = {}) {
  if (what.table().input_format != TROUPE_RECORDS)
    throw std::logic_error("this job reads texts: give run a vector of strings");
  return detail::run_encoded(what, {input(records).records}, parameters, chosen);
}

/// A pipeline without a name, which cannot declare parameters: it takes any.
template <class Node, class Record>
outcome run(const sdk::pipeline<Node>& pipeline, const std::vector<Record>& records,
            const std::map<std::string, std::string>& parameters = {}, const options& chosen = {}) {
  std::vector<std::string> encoded;
  if constexpr (sdk::described_struct<Record>)
    encoded = input(records).records;
  else
    encoded.assign(records.begin(), records.end());
  return detail::run_encoded(job("unnamed", pipeline), {encoded}, parameters, chosen, false);
}

}  // namespace troupe::testing
