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
  std::uint32_t map_tasks = 2;          ///< the records are divided among them, in order
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
};
struct published {
  std::uint32_t partition;
  std::string bytes;
  std::uint64_t records;
};

/// The worker's side of the table, in memory.
class memory_host {
 public:
  memory_host(outcome& into, const options& chosen, std::vector<input_block> blocks)
      : into_(into), chosen_(chosen), blocks_(std::move(blocks)) {
    host_ = {sizeof(troupe_host), this, next_block, open_chunk, publish, log, count, &offset_};
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
    *out = {me.bytes_.get(), block.bytes.size(), block.records, block.first_offset, 0, block.format};
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
    me.into_.blocks.push_back(std::to_string(partition) + ":" + me.output.back().bytes);
    me.chunks_[chunk->handle].reset();  // touching it from here on is a defect
    return 0;
  }
  static void log(void* self, const char* text, std::uint64_t size) { of(self).into_.log.emplace_back(text, size); }
  static void count(void* self, const char* name, std::uint64_t size, std::int64_t delta) {
    of(self).into_.counters[std::string(name, size)] += delta;
  }

  outcome& into_;
  const options& chosen_;
  std::vector<input_block> blocks_;
  std::size_t at_ = 0;
  std::uint64_t offset_ = 0;
  std::unique_ptr<char[]> bytes_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  troupe_host host_{};
};

inline void encode_input(const troupe_job& job, std::string_view record, std::string& out) {
  if (job.input_format == TROUPE_LINES) {
    out.append(record).push_back('\n');
  } else {
    append_varint(out, record.size());
    out.append(record);
  }
}

/// Input records, already as bytes, through all stages.
inline outcome run_encoded(const job& what, const std::vector<std::string>& records,
                           const std::map<std::string, std::string>& given, const options& chosen) {
  const auto& table = what.table();
  outcome out;
  out.output_schema = what.output_schema();
  std::vector<troupe_parameter> parameters;
  for (const auto& [name, value] : given) parameters.push_back({name.data(), name.size(), value.data(), value.size()});
  const auto map_tasks = std::max<std::uint32_t>(chosen.map_tasks, 1);
  const auto partitions = table.stage_count == 1 ? map_tasks : std::max<std::uint32_t>(chosen.partitions, 1);
  std::vector<std::vector<input_block>> inputs(map_tasks);
  for (std::uint32_t t = 0; t < map_tasks; ++t) {
    const std::size_t begin = records.size() * t / map_tasks, end = records.size() * (t + 1) / map_tasks;
    for (std::size_t i = begin; i < end; ++i) {
      if ((i - begin) % std::max<std::uint64_t>(chosen.block_records, 1) == 0)
        inputs[t].push_back({"", 0, i, table.input_format});
      encode_input(table, records[i], inputs[t].back().bytes);
      ++inputs[t].back().records;
    }
  }
  for (std::uint32_t stage = 0; stage < table.stage_count; ++stage) {
    std::vector<std::vector<input_block>> outputs(partitions);
    for (std::uint32_t t = 0; t < inputs.size(); ++t) {
      memory_host host(out, chosen, std::move(inputs[t]));
      const troupe_task task{sizeof(troupe_task),
                             stage,
                             t,
                             1,
                             partitions,
                             static_cast<std::uint32_t>(parameters.size()),
                             parameters.data(),
                             chosen.seed + t,
                             chosen.now_unix_ms,
                             chosen.memory_bytes};
      troupe_failure failed{};
      if (table.stages[stage].run(&task, &host.host(), &failed) != 0) {
        out.failed = true;
        out.message = failed.message;
        if (failed.has_offset != 0) out.offset = failed.offset;
        return out;
      }
      for (auto& p : host.output) outputs.at(p.partition).push_back({std::move(p.bytes), p.records, 0, TROUPE_SHUFFLE});
    }
    inputs = std::move(outputs);
  }
  for (const auto& partition : inputs) {
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

/// Input of texts: lines (without line ends), or records of format bytes.
inline outcome run(const job& what, const std::vector<std::string>& records,
                   const std::map<std::string, std::string>& parameters = {}, const options& chosen = {}) {
  if (what.table().input_format == TROUPE_RECORDS)
    throw std::logic_error("this job reads described structs: give run a vector of them");
  return detail::run_encoded(what, records, parameters, chosen);
}

/// Input of described structs.
template <sdk::described_struct Record>
outcome run(const job& what, const std::vector<Record>& records,
            const std::map<std::string, std::string>& parameters = {}, const options& chosen = {}) {
  if (what.table().input_format != TROUPE_RECORDS)
    throw std::logic_error("this job reads texts: give run a vector of strings");
  std::vector<std::string> encoded;
  for (const auto& record : records) {
    std::string bytes(sdk::encoded_size(record), '\0');
    sdk::encode_field(bytes.data(), record);
    encoded.push_back(std::move(bytes));
  }
  return detail::run_encoded(what, encoded, parameters, chosen);
}

/// A pipeline without a name.
template <class Source, class M, class Shuffle, class Record>
outcome run(const sdk::pipeline<Source, M, Shuffle>& pipeline, const std::vector<Record>& records,
            const std::map<std::string, std::string>& parameters = {}, const options& chosen = {}) {
  return run(job("unnamed", pipeline), records, parameters, chosen);
}

}  // namespace troupe::testing
