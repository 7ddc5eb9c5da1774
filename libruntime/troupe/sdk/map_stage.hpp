#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <troupe/sdk/map_sinks.hpp>
#include <troupe/sdk/pipeline.hpp>
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
      at = load_varint(at, end, size);
      if (at == nullptr || size > static_cast<std::uint64_t>(end - at)) damaged_block("a record's length is wrong");
      const bytes_view bytes(at, static_cast<std::size_t>(size));
      at += size;
      if constexpr (Source::format == TROUPE_BYTES) {
        f(bytes);
      } else {
        if (!decode_record(bytes, record)) damaged_block("a record is not of the struct that the job reads");
        f(static_cast<const typename Source::input_type&>(record));
      }
    }
  }
}

/// Which sink a shuffle needs on its mapping side.
template <class M, class Shuffle>
struct sink_of;
template <class M>
struct sink_of<M, shuffle_none> {
  using type = std::conditional_t<std::is_void_v<typename M::value_type>, record_sink<M>, pair_sink<M>>;
};
template <class M, class F>
struct sink_of<M, shuffle_fold<F>> {
  using type = fold_sink<M, F>;
};
template <class M, class R>
struct sink_of<M, shuffle_group<R>> {
  using type = group_sink<M>;
};

/// One map task: all its blocks through the user's mapper into the sink.
template <class Pipeline>
void run_map(const troupe_task& task, const troupe_host& host, host_port& port, context& user) {
  using M = typename Pipeline::mapper;
  const parameters given(task);
  typename sink_of<M, typename Pipeline::shuffle>::type sink(task, port, given, user);
  auto& emit = sink.emitter();
  auto mapper = std::make_unique<M>();
  if constexpr (requires { mapper->start(given, user); }) mapper->start(given, user);
  troupe_block block{};
  while (port.next_block(block)) {
    user.set_input(block.input);
    for_each_record<typename Pipeline::source>(
        block,
        host.current_offset, [&](const auto& record) __attribute__((always_inline)) { mapper->map(record, emit); });
    // What is queued belongs to this block's records: it must not be blamed on the next one's.
    sink.drain();
    user.flush_counters();
  }
  if constexpr (requires { mapper->finish(emit); }) mapper->finish(emit);
  sink.finish();
}

}  // namespace troupe::sdk
