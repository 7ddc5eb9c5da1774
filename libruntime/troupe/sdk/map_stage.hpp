#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <troupe/sdk/record.hpp>
#include <troupe/sdk/task_env.hpp>
#include <troupe/sdk/words.hpp>

namespace troupe::sdk {

/// Throws what is said when a block's bytes are not what its format promises.
[[noreturn]] inline void damaged_block(const char* what) {
  throw std::runtime_error(std::string("the input does not decode: ") + what);
}

/// Calls f(record) for each record of a block and keeps the worker's current offset at the record that f is in.
template <class Source, class F>
void for_each_record(const troupe_block& block, std::uint64_t* current_offset, F&& f) {
  const char* at = block.data;
  const char* const end = block.data + block.size;
  std::uint64_t offset = block.first_offset;
  if (block.format != static_cast<std::uint32_t>(Source::format))
    damaged_block("its format is not the one that the job reads");
  if constexpr (Source::format == TROUPE_LINES) {
    line_ends ends(at, end);
    while (at != end) {
      const char* const line_end = ends.next();
      __atomic_store_n(current_offset, offset++, __ATOMIC_RELAXED);
      f(std::string_view(at, static_cast<std::size_t>(line_end - at)));
      at = line_end == end ? end : line_end + 1;
    }
  } else {
    typename Source::input_type record{};
    while (at != end) {
      std::uint64_t size = 0;
      __atomic_store_n(current_offset, offset++, __ATOMIC_RELAXED);
      at = load_number(at, end, size);
      if (at == nullptr || size > static_cast<std::uint64_t>(end - at)) damaged_block("a record's length is wrong");
      const bytes_view bytes(at, static_cast<std::size_t>(size));
      at += size;
      if constexpr (Source::format == TROUPE_BYTES) {
        f(bytes);
      } else {
        if (!decode_record<typename Source::input_type, true>(bytes, record))
          damaged_block("a record is not of the struct that the job reads");
        f(static_cast<const typename Source::input_type&>(record));
      }
    }
  }
}

/// The head of a stage that reads a dataset.
template <class Source>
struct dataset_head {
  template <class Next>
  static void run(task_env& env, Next& next) {
    troupe_block block{};
    while (env.next_block(block)) {
      env.user.set_input(block.input);
      for_each_record<Source>(
          block, env.host.current_offset, [&](const auto& record) __attribute__((always_inline)) { next(record); });
      // What is queued belongs to this block's records: it must not be blamed on the next one's.
      next.drain();
      env.user.flush_counters();
    }
  }
};

}  // namespace troupe::sdk
