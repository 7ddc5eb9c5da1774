#pragma once
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <troupe/sdk/job.hpp>
#include <utility>
#include <vector>

/// The worker's side of a module's table, in memory, for testing.hpp.
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
  std::vector<std::vector<std::string>> more_encoded;  ///< of the outputs behind the first
  std::vector<std::string>
      blocks;  ///< everything published, by every task, with its partition in front: to compare two runs byte by byte
  schema output_schema;
  std::map<std::string, std::int64_t> counters;
  std::vector<std::string> log;
  std::uint64_t spilled_bytes = 0;  ///< written to scratch files

  [[nodiscard]] bool ok() const noexcept { return !failed; }
  /// The records as a described struct, or as std::pair of key and value.
  template <class Record>
  [[nodiscard]] std::vector<Record> records(std::size_t output = 0) const {
    std::vector<Record> out;
    for (const auto& bytes : output == 0 ? encoded : more_encoded.at(output - 1))
      if (!sdk::decode_record(bytes, out.emplace_back()))
        throw std::runtime_error("the job's output is not of the type that records<T>() asks for");
    return out;
  }
  /// Keys and values; the last one of a key counts.
  template <class Key, class Value>
  [[nodiscard]] std::map<Key, Value> map(std::size_t output = 0) const {
    std::map<Key, Value> out;
    for (auto& [key, value] : records<std::pair<Key, Value>>(output)) out[std::move(key)] = std::move(value);
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

}  // namespace detail
}  // namespace troupe::testing
