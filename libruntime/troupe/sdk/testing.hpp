#pragma once
#include <concepts>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <troupe/sdk/job.hpp>
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

struct options {
  std::uint32_t map_tasks = 2;          ///< splits of each input: the records are divided among them, in order
  std::uint32_t partitions = 3;         ///< of the shuffle
  std::uint64_t block_records = 16;     ///< of an input block
  std::uint64_t chunk_bytes = 1 << 16;  ///< what open_chunk gives, unless more is asked for
  std::uint64_t memory_bytes = 64 << 20;
  std::uint64_t seed = 1;
  std::int64_t now_unix_ms = 1'700'000'000'000;
  std::uint64_t blocks_until_stop = UINT64_MAX;  ///< then every call of a task says stop, as when a job is cancelled
};

struct outcome {
  bool failed = false;
  std::string message;                  ///< of the task that failed; the job ends there
  std::optional<std::uint64_t> offset;  ///< of the record it failed at, counted from the first of all
  std::vector<std::string> encoded;     ///< output records in the order of partitions: their fields' bytes
  std::vector<std::string>
      blocks;  ///< everything published, by every task, with its partition in front: to compare two runs byte by byte
  schema output_schema;
  std::map<std::string, std::int64_t> counters;
  std::vector<std::string> log;
  std::uint64_t spilled_bytes = 0;  ///< written to scratch files

  [[nodiscard]] bool ok() const noexcept { return !failed; }
  /// The records as a described struct, or as std::pair of key and value.
  template <class Record>
  [[nodiscard]] std::vector<Record> records() const {
    std::vector<Record> out;
    for (const auto& bytes : encoded)
      if (!sdk::decode_record(bytes, out.emplace_back()))
        throw std::runtime_error("the job's output is not of the type that records<T>() asks for");
    return out;
  }
  /// Keys and values; the last one of a key counts.
  template <class Key, class Value>
  [[nodiscard]] std::map<Key, Value> map() const {
    std::map<Key, Value> out;
    for (auto& [key, value] : records<std::pair<Key, Value>>()) out[std::move(key)] = std::move(value);
    return out;
  }
};

namespace detail {

struct input_block {
  std::string bytes;
  std::uint64_t records = 0;
  std::uint64_t first_offset = 0;
  std::uint32_t format = 0;
  std::uint32_t input = 0;
  std::uint32_t edge = 0;
};
struct published {
  std::uint32_t partition;
  std::string bytes;
  std::uint64_t records;
};

/// The worker's side of the table, in memory.
class memory_host {
 public:
  memory_host(outcome& into, const options& chosen, std::vector<input_block> blocks, std::string name)
      : into_(into), chosen_(chosen), blocks_(std::move(blocks)), name_(std::move(name)) {
    host_ = {sizeof(troupe_host), this,           next_block,   open_chunk,   publish, log, count, &offset_,
             scratch_open,        scratch_append, scratch_read, scratch_close};
  }
  const troupe_host& host() const noexcept { return host_; }
  std::vector<published> output;

 private:
  static memory_host& of(void* self) { return *static_cast<memory_host*>(self); }
  static int next_block(void* self, troupe_block* out) {
    auto& me = of(self);
    me.bytes_.reset();
    if (me.at_ >= me.chosen_.blocks_until_stop) return -1;
    if (me.at_ == me.blocks_.size()) return 0;
    const auto& block = me.blocks_[me.at_++];
    // A copy of exactly its size, gone at the next call: so AddressSanitizer sees who reads too far or too late.
    me.bytes_ = std::make_unique<char[]>(block.bytes.size());
    std::memcpy(me.bytes_.get(), block.bytes.data(), block.bytes.size());
    *out = {me.bytes_.get(), block.bytes.size(), block.records, block.first_offset,
            block.input,     block.format,       block.edge};
    return 1;
  }
  static int open_chunk(void* self, std::uint64_t bytes_min, troupe_chunk* out) {
    auto& me = of(self);
    if (me.at_ >= me.chosen_.blocks_until_stop) return -1;
    const auto size = std::max(bytes_min, me.chosen_.chunk_bytes);
    me.chunks_.push_back(std::make_unique<char[]>(size));
    *out = {me.chunks_.back().get(), size, me.chunks_.size() - 1};
    return 0;
  }
  static int publish(void* self, std::uint32_t partition, const troupe_chunk* chunk, std::uint64_t bytes,
                     std::uint64_t records) {
    auto& me = of(self);
    me.output.push_back({partition, std::string(chunk->data, bytes), records});
    me.into_.blocks.push_back(me.name_ + std::to_string(partition) + ":" + me.output.back().bytes);
    me.chunks_[chunk->handle].reset();  // touching it from here on is a defect
    return 0;
  }
  static int scratch_open(void* self, std::uint64_t* file) {
    auto& me = of(self);
    *file = ++me.last_scratch_;
    me.scratch_[*file];
    return 0;
  }
  static int scratch_append(void* self, std::uint64_t file, const void* data, std::uint64_t size) {
    auto& me = of(self);
    me.scratch_.at(file).append(static_cast<const char*>(data), size);
    me.into_.spilled_bytes += size;
    return 0;
  }
  static int scratch_read(void* self, std::uint64_t file, std::uint64_t offset, void* data, std::uint64_t size) {
    const auto& content = of(self).scratch_.at(file);
    if (offset > content.size() || size > content.size() - offset)
      throw std::logic_error("a read beyond the end of a scratch file");
    std::memcpy(data, content.data() + offset, size);
    return 0;
  }
  static void scratch_close(void* self, std::uint64_t file) { of(self).scratch_.erase(file); }
  static void log(void* self, const char* text, std::uint64_t size) { of(self).into_.log.emplace_back(text, size); }
  static void count(void* self, const char* name, std::uint64_t size, std::int64_t delta) {
    of(self).into_.counters[std::string(name, size)] += delta;
  }

  outcome& into_;
  const options& chosen_;
  std::vector<input_block> blocks_;
  std::string name_;
  std::map<std::uint64_t, std::string> scratch_;
  std::uint64_t last_scratch_ = 0;
  std::size_t at_ = 0;
  std::uint64_t offset_ = 0;
  std::unique_ptr<char[]> bytes_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  troupe_host host_{};
};

inline void encode_input(std::uint32_t format, std::string_view record, std::string& out) {
  if (format == TROUPE_LINES) {
    out.append(record).push_back('\n');
  } else {
    append_varint(out, record.size());
    out.append(record);
  }
}

/// The splits of one input, each a row of blocks.
inline std::vector<std::vector<input_block>> split_input(const std::vector<std::string>& records, std::uint32_t number,
                                                         std::uint32_t format, const options& chosen) {
  const auto splits = std::max<std::uint32_t>(chosen.map_tasks, 1);
  std::vector<std::vector<input_block>> out(splits);
  for (std::uint32_t t = 0; t < splits; ++t) {
    const std::size_t begin = records.size() * t / splits, end = records.size() * (t + 1) / splits;
    for (std::size_t i = begin; i < end; ++i) {
      if ((i - begin) % std::max<std::uint64_t>(chosen.block_records, 1) == 0)
        out[t].push_back({"", 0, i, format, number, 0});
      encode_input(format, records[i], out[t].back().bytes);
      ++out[t].back().records;
    }
  }
  return out;
}

/// What a stage's tasks published, and how many there are.
struct stage_result {
  std::vector<std::vector<published>> tasks;
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

/// Input records, already as bytes, one vector for each input, through all stages.
inline outcome run_encoded(const job& what, const std::vector<std::vector<std::string>>& inputs,
                           const std::map<std::string, std::string>& given, const options& chosen) {
  const auto& table = what.table();
  outcome out;
  out.output_schema = what.output_schema();
  if (table.input_count != 0 && table.input_count != inputs.size())
    throw std::logic_error("this job reads " + std::to_string(table.input_count) + " inputs: give run as many");
  std::vector<troupe_parameter> parameters;
  for (const auto& [name, value] : given) parameters.push_back({name.data(), name.size(), value.data(), value.size()});
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
                               t};
        troupe_failure failed{};
        if (stage.run(&task, &host.host(), &failed) != 0) {
          out.failed = true;
          out.message = failed.message;
          if (failed.has_offset != 0) out.offset = failed.offset;
          return out;
        }
        result.tasks.push_back(std::move(host.output));
      }
    }
    results.push_back(std::move(result));
  }
  for (const auto& partition : results.back().tasks) {
    for (const auto& block : partition) {
      const char* at = block.bytes.data();
      const char* const end = at + block.bytes.size();
      std::uint64_t found = 0;
      for (; at != end; ++found) {
        std::uint64_t size = 0;
        at = load_varint(at, end, size);
        if (at == nullptr || size > static_cast<std::uint64_t>(end - at))
          throw std::runtime_error("the job published a chunk that does not hold whole records");
        out.encoded.emplace_back(at, size);
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

/// A pipeline without a name.
template <class Node, class Record>
outcome run(const sdk::pipeline<Node>& pipeline, const std::vector<Record>& records,
            const std::map<std::string, std::string>& parameters = {}, const options& chosen = {}) {
  return run(job("unnamed", pipeline), records, parameters, chosen);
}

}  // namespace troupe::testing
