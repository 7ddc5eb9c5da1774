#pragma once
#include <algorithm>
#include <troupe/sdk/nodes.hpp>

namespace troupe::sdk {

/// What can be kept of a value that may be a view.
template <class T>
using owned_value = std::conditional_t<std::same_as<T, std::string_view>, std::string, T>;

/// The Count records with the greatest `By`; among equals those that came first.
template <class Record, class By, std::size_t Count>
class best_records {
 public:
  using rank_type = owned_value<std::remove_cvref_t<std::invoke_result_t<By&, const Record&>>>;

  explicit best_records(const task_env& env) { start_user(by_, env); }
  void operator()(const Record& record) {
    const auto& rank = by_(record);
    const auto number = came_++;
    if (kept_.size() == Count && !(kept_.front().rank < rank)) return;  // an equal one came later
    std::string bytes(encoded_size(record), '\0');
    encode_field(bytes.data(), record);
    if (kept_.size() == Count) {
      std::pop_heap(kept_.begin(), kept_.end(), is_better);
      kept_.pop_back();
    }
    kept_.push_back({rank_type(rank), number, std::move(bytes)});
    std::push_heap(kept_.begin(), kept_.end(), is_better);
  }
  /// The best first.
  template <class F>
  void for_each(F&& f) {
    std::sort(kept_.begin(), kept_.end(), is_better);
    Record record{};
    for (const auto& e : kept_) {
      if (!decode_record(bytes_view(e.bytes), record)) throw std::logic_error("a kept record does not decode");
      f(std::as_const(record));
    }
  }

 private:
  struct entry {
    rank_type rank;
    std::uint64_t number;
    std::string bytes;
  };
  static bool is_better(const entry& x, const entry& y) {
    if (y.rank < x.rank) return true;
    if (x.rank < y.rank) return false;
    return x.number < y.number;
  }
  By by_;
  std::uint64_t came_ = 0;
  std::vector<entry> kept_;  ///< a heap with the worst in front
};

template <class Record, class By, std::size_t Count>
class top_sink {
 public:
  static constexpr const char* word = "top";
  static constexpr std::uint32_t partitions = 1;
  explicit top_sink(task_env& env) : best_(env), out_(env.port, 0, output_chunk_bytes) {}
  void operator()(const Record& record) { best_(record); }
  void drain() noexcept {}
  void finish() {
    best_.for_each([&](const Record& record) { write_record(out_, record); });
    out_.flush();
  }

 private:
  best_records<Record, By, Count> best_;
  chunk_writer out_;
};

template <class Prev, class By, std::size_t Count>
struct top_node : exchange_node<top_node<Prev, By, Count>, Prev, top_sink<typename Prev::record, By, Count>,
                                TROUPE_EDGE_PARTITIONED> {
  using record = typename Prev::record;
  static constexpr const char* word = "top";
  template <class Next>
  static void run(task_env& env, Next& next) {
    best_records<record, By, Count> best(env);
    best_and_drain<decltype(best)> into{best};
    record_head<record>::run(env, into);
    best.for_each([&](const record& r) { next(r); });
    next.drain();
  }

 private:
  template <class Best>
  struct best_and_drain {
    Best& best;
    void operator()(const record& r) { best(r); }
    void drain() noexcept {}
  };
};

}  // namespace troupe::sdk
