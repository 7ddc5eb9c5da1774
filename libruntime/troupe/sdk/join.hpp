#pragma once
#include <troupe/sdk/external_sort.hpp>
#include <troupe/sdk/join_table.hpp>
#include <troupe/sdk/nodes.hpp>

/// Joins by key. Both sides are partitioned by the key's hash; each task sorts its part of either side and walks them
/// together, so neither has to fit into memory, and what comes out is in the order of the keys, then of the left side,
/// then of the right one: whatever the memory.
namespace troupe::sdk {

/// The values of one key of the right side, walked once for each value of the left one. In memory up to a bound, beyond
/// it in a scratch file.
class repeated_values {
 public:
  repeated_values(host_port& port, std::uint64_t bytes_max) noexcept : port_(port), bytes_max_(bytes_max) {}
  void clear() noexcept {
    bytes_.clear();
    kept_.clear();
    late_writer_.reset();
    late_.reset();
  }
  void add(bytes_view value) {
    if (!late_ && bytes_.used() + value.size() + (kept_.size() + 1) * 2 * sizeof(bytes_view) <= bytes_max_) {
      kept_.emplace_back(bytes_.copy(value), value.size());
      return;
    }
    if (!late_) {
      late_.emplace(port_);
      late_writer_.emplace(*late_);
    }
    char* const at = store_varint(late_writer_->reserve(varint_size_max + value.size()), value.size());
    if (!value.empty()) std::memcpy(at, value.data(), value.size());
    late_writer_->commit(at + value.size());
  }
  void finish() {
    if (late_writer_) late_writer_->flush();
  }
  template <class F>
  void for_each(F&& f) {
    for (const auto& v : kept_) f(v);
    if (!late_) return;
    scratch_reader in(*late_);
    for (bytes_view frame; in.next(frame);) {
      const char* at = frame.data();
      const char* const end = at + frame.size();
      while (at != end) {
        std::uint64_t size = 0;
        at = load_varint(at, end, size);
        if (at == nullptr || size > static_cast<std::uint64_t>(end - at))
          throw std::runtime_error("a scratch file of a join does not decode");
        f(bytes_view(at, static_cast<std::size_t>(size)));
        at += size;
      }
    }
  }

 private:
  host_port& port_;
  const std::uint64_t bytes_max_;
  byte_arena bytes_;
  std::vector<bytes_view> kept_;
  std::optional<scratch_file> late_;
  std::optional<scratch_writer> late_writer_;
};

template <class Key, class V, class W, join_kind Kind>
struct join_record {
  using type = std::pair<typename key_bytes<Key>::view, V>;
};
template <class Key, class V, class W>
struct join_record<Key, V, W, join_kind::inner> {
  using type = std::pair<typename key_bytes<Key>::view, std::pair<V, W>>;
};
template <class Key, class V, class W>
struct join_record<Key, V, W, join_kind::left> {
  using type = std::pair<typename key_bytes<Key>::view, std::pair<V, std::optional<W>>>;
};

/// What joins have in common: two shuffles side by side, sorted.
template <class Self, class Left, class Right>
struct two_sided_node : leaf_node<Self> {
  using key_type = key_of<Left>;
  using left_value = value_of<Left>;
  using right_value = value_of<Right>;
  using sources = typename concat<typename Left::sources, typename Right::sources>::type;
  static constexpr bool mentions_loop = Left::mentions_loop || Right::mentions_loop;
  static constexpr bool shuffled = true;
  template <class Loop>
  static edge_list plan(plan_builder& builder, std::uint32_t round) {
    const auto left = builder.add<stage_of<Left, group_sink<key_of<Left>, left_value>, Loop>>(round);
    const auto right = builder.add<stage_of<Right, group_sink<key_of<Right>, right_value>, Loop>>(round);
    return {{TROUPE_EDGE_PARTITIONED, left, 0}, {TROUPE_EDGE_PARTITIONED, right, 0}};
  }

 protected:
  using order = key_bytes<key_type>;
  struct sides {
    explicit sides(task_env& env)
        : left(env.port, env.task.memory_bytes / 16 * 7), right(env.port, env.task.memory_bytes / 16 * 7) {
      troupe_block block{};
      while (env.next_block(block, 0)) collect<left_value>(block, left);
      left.finish();
      while (env.next_block(block, 1)) collect<right_value>(block, right);
      right.finish();
    }
    external_sort<order> left;
    external_sort<order> right;
  };
  /// -1, 0, 1
  static int compare(bytes_view x, bytes_view y) { return x == y ? 0 : order::less(x, y) ? -1 : 1; }
};

template <class Left, class Right, join_kind Kind>
struct join_node : two_sided_node<join_node<Left, Right, Kind>, Left, Right> {
  using base = two_sided_node<join_node<Left, Right, Kind>, Left, Right>;
  using V = value_of<Left>;
  using W = value_of<Right>;
  using record = typename join_record<key_of<Left>, V, W, Kind>::type;
  static constexpr const char* word = "join";

  template <class Next>
  static void run(task_env& env, Next& next) {
    typename base::sides all(env);
    sorted_groups<typename base::order> left(all.left), right(all.right);
    repeated_values matching(env.port, env.task.memory_bytes / 8);
    record out{};
    while (!left.at_end()) {
      const bytes_view key = left.begin();
      while (!right.at_end() && base::compare(right.key(), key) < 0) {
        right.begin();
        right.skip();
      }
      const bool matches = !right.at_end() && right.key() == key;
      if (matches && (Kind == join_kind::inner || Kind == join_kind::left)) {
        matching.clear();
        right.begin();
        for (bytes_view value; right.next(value);) matching.add(value);
        matching.finish();
      }
      if (!key_bytes<key_of<Left>>::decode(key, out.first)) throw std::runtime_error("a key of a join does not decode");
      give(left, matches, matching, out, next);
      left.skip();
    }
    next.drain();
  }

 private:
  template <class Groups, class Next>
  static void give(Groups& left, bool matches, repeated_values& matching, record& out, Next& next) {
    if constexpr (Kind == join_kind::semi || Kind == join_kind::anti) {
      if (matches != (Kind == join_kind::semi)) return;
      for (bytes_view value; left.next(value);) {
        decode_value(value, out.second);
        next(std::as_const(out));
      }
    } else {
      if (!matches && Kind == join_kind::inner) return;
      for (bytes_view value; left.next(value);) {
        decode_value(value, out.second.first);
        if (matches) {
          matching.for_each([&](bytes_view other) {
            if constexpr (Kind == join_kind::left)
              decode_value(other, out.second.second.emplace());
            else
              decode_value(other, out.second.second);
            next(std::as_const(out));
          });
        } else if constexpr (Kind == join_kind::left) {
          out.second.second.reset();
          next(std::as_const(out));
        }
      }
    }
  }
};

template <class Left, class Right, class R>
struct co_group_node : two_sided_node<co_group_node<Left, Right, R>, Left, Right> {
  using base = two_sided_node<co_group_node<Left, Right, R>, Left, Right>;
  using record = typename group_head<R>::record;
  static constexpr const char* word = "co_group";

  template <class Next>
  static void run(task_env& env, Next& next) {
    typename base::sides all(env);
    sorted_groups<typename base::order> left(all.left), right(all.right);
    emitter_link<typename R::emitter, record, Next> to(next);
    auto reducer = std::make_unique<R>();
    start_user(*reducer, env);
    std::string key;
    typename key_bytes<key_of<Left>>::view typed{};
    while (!left.at_end() || !right.at_end()) {
      const int which = left.at_end() ? 1 : right.at_end() ? -1 : base::compare(left.key(), right.key());
      key = which <= 0 ? left.key() : right.key();
      side<value_of<Left>, decltype(left)> lefts{left, which <= 0};
      side<value_of<Right>, decltype(right)> rights{right, which >= 0};
      if (!key_bytes<key_of<Left>>::decode(key, typed)) throw std::runtime_error("a key of a co_group does not decode");
      auto of_left = lefts.all();
      auto of_right = rights.all();
      reducer->reduce(typed, of_left, of_right, to.emitter());
      lefts.skip();
      rights.skip();
    }
    if constexpr (requires { reducer->finish(to.emitter()); }) reducer->finish(to.emitter());
    to.drain();
    next.drain();
  }

 private:
  /// One side's values of the key, or none.
  template <class Value, class Groups>
  struct side {
    Groups& groups;
    bool has;
    values<Value> all() {
      if (has) {
        groups.begin();
        return values_of_group<Value>(groups);
      }
      return values<Value>(nullptr, [](void*, Value&) { return false; });
    }
    void skip() {
      if (has) groups.skip();
    }
  };
};

}  // namespace troupe::sdk
