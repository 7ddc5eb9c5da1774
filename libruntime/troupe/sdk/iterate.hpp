#pragma once
#include <troupe/sdk/nodes.hpp>

/// Iteration. The body is compiled twice for each stage that depends on the state: for the first round, which reads the
/// beginning, and for the others, which read what the round before gave. The rounds are stages of the plan, one behind
/// the other; what does not depend on the state is one stage for all of them.
namespace troupe::sdk {

/// The state, within a body.
template <class Record>
struct loop_node : part {
  using record = Record;
  using sources = type_list<>;
  static constexpr bool mentions_loop = true;
  template <class Loop>
  using branches = typename Loop::state;
};

/// Marks a body's leaf that is the state itself.
struct open_leaf {};
struct loop_open {
  static constexpr bool is_gated = false;
  using state = type_list<branch<open_leaf>>;
};
template <class List>
struct leads_to_open;
template <class... Branches>
struct leads_to_open<type_list<Branches...>>
    : std::bool_constant<(std::same_as<typename Branches::leaf, open_leaf> || ...)> {};

/// The same as What, planned in another round: Shift::plan<What>(builder, round).
template <class What, class Shift>
struct shifted : What {
  template <class Loop>
  static edge_list plan(plan_builder& builder, std::uint32_t round) {
    return Shift::template plan<What>(builder, round);
  }
};
template <class List, class Shift>
struct shift_all;
template <class Branch, class Shift>
struct shift_branch;
template <class Leaf, class... Ops, class Shift>
struct shift_branch<branch<Leaf, Ops...>, Shift> {
  using type = branch<shifted<Leaf, Shift>, shifted<Ops, Shift>...>;
};
template <class... Branches, class Shift>
struct shift_all<type_list<Branches...>, Shift> {
  using type = type_list<typename shift_branch<Branches, Shift>::type...>;
};

/// How the first round reads what stands before the rounds, which knows nothing of them.
template <class Begin>
struct way_in {
  struct outside {
    template <class What>
    static edge_list plan(plan_builder& builder, std::uint32_t) {
      return What::template plan<no_loop>(builder, 0);
    }
  };
  struct first_round {
    static constexpr bool is_gated = false;
    using state = typename shift_all<typename Begin::template branches<no_loop>, outside>::type;
  };
};

/// `Begin` | iterate<Rounds>(body), where `Result` is what body makes of loop_node.
template <class Begin, class Result, std::uint32_t Rounds>
struct iterate_node : part {
  using record = typename Result::record;
  using sources = typename concat<typename Begin::sources, typename Result::sources>::type;
  static constexpr bool mentions_loop = false;

  using first_round = typename way_in<Begin>::first_round;
  struct later_round;
  /// As seen from round `round`: of the one before.
  struct before {
    template <class What>
    static edge_list plan(plan_builder& builder, std::uint32_t round) {
      return plan_in<What>(builder, round - 1);
    }
  };
  struct later_round {
    static constexpr bool is_gated = false;
    using state = typename shift_all<typename Result::template branches<loop_open>, before>::type;
  };
  template <class What>
  static edge_list plan_in(plan_builder& builder, std::uint32_t round) {
    return round == 0 ? What::template plan<first_round>(builder, 0) : What::template plan<later_round>(builder, round);
  }
  struct at_the_end {
    template <class What>
    static edge_list plan(plan_builder& builder, std::uint32_t) {
      return plan_in<What>(builder, Rounds - 1);
    }
  };
  template <class Loop>
  using branches = typename shift_all<typename Result::template branches<loop_open>, at_the_end>::type;
};

// Until. Every round writes its state down behind a mark, and a small stage says whether there is another one: it
// writes something if `converged` said false anywhere, and nothing else. The stages of the next round read that first
// (branch_code): with nothing there they end at once and write nothing, not even the mark or the word that there is
// another round. So the last round that has a mark gives the answer. doc/adr/0011-rounds-that-end-at-once.md

/// The state of a round: a mark (a record of no bytes), then its records.
template <class Record>
class state_sink {
 public:
  static constexpr const char* word = "state";
  static constexpr std::uint32_t partitions = 1;
  explicit state_sink(task_env& env) : out_(env.port, 0, output_chunk_bytes) {
    out_.commit(store_varint(out_.reserve(varint_size_max), 0));
    if (env.task.task == 0) env.user.count("rounds");
  }
  void operator()(const Record& record) { write_record(out_, record); }
  void drain() noexcept {}
  void finish() { out_.flush(); }

 private:
  chunk_writer out_;
};

/// Gives the records of a state; `block` is its first.
template <class Record, class Next>
void give_state(task_env& env, troupe_block block, std::uint32_t edge, Next& next) {
  block.data += 1;  // the mark
  block.size -= 1;
  do {
    for_each_record_of<Record>(block, [&](const Record& record) { next(record); });
    next.drain();
  } while (env.next_block(block, edge));
}

template <class Prev>
struct state_node : exchange_node<state_node<Prev>, Prev, state_sink<typename Prev::record>, TROUPE_EDGE_FORWARD> {
  using record = typename Prev::record;
  static constexpr const char* word = "state";
  template <class Next>
  static void run(task_env& env, Next& next) {
    troupe_block block{};
    if (env.next_block(block)) give_state<record>(env, block, 0, next);
  }
};

/// Writes something if a record was false: there is another round.
class unfinished_sink {
 public:
  static constexpr const char* word = "another round?";
  static constexpr std::uint32_t partitions = 1;
  explicit unfinished_sink(task_env& env) : port_(env.port) {}
  void operator()(const bool& converged) noexcept { unfinished_ = unfinished_ || !converged; }
  void drain() noexcept {}
  void finish() {
    if (!unfinished_) return;
    chunk_writer out(port_, 0, 64);
    write_record(out, true);
    out.flush();
  }

 private:
  host_port& port_;
  bool unfinished_ = false;
};

/// `Begin` | iterate_until<Max>(body, converged): `Result` is what body makes of loop_node, `Converged` what converged
/// makes of loop_node (the state before the round) and state_node<Result> (behind it).
template <class Begin, class Result, class Converged, std::uint32_t Max>
struct until_node : leaf_node<until_node<Begin, Result, Converged, Max>> {
  using record = typename Result::record;
  using kept = state_node<Result>;
  using sources = typename concat<typename Begin::sources, typename Result::sources, typename Converged::sources>::type;
  static constexpr bool mentions_loop = false;
  static constexpr const char* word = "last state";
  using first_round = typename way_in<Begin>::first_round;
  struct before;
  struct later_round {
    static constexpr bool is_gated = true;
    using state = typename shift_all<typename kept::template branches<loop_open>, before>::type;
    static std::uint32_t gate(plan_builder& builder, std::uint32_t round) {
      return add<Converged, unfinished_sink>(builder, round - 1);
    }
  };
  struct before {
    template <class What>
    static edge_list plan(plan_builder& builder, std::uint32_t round) {
      return round == 1 ? What::template plan<first_round>(builder, 0)
                        : What::template plan<later_round>(builder, round - 1);
    }
  };
  template <class Node, class Sink>
  static std::uint32_t add(plan_builder& builder, std::uint32_t round) {
    return round == 0 ? builder.add<stage_of<Node, Sink, first_round>>(0)
                      : builder.add<stage_of<Node, Sink, later_round>>(round);
  }
  /// The newest first: the first edge that has anything is the last round that took place.
  template <class Loop>
  static edge_list plan(plan_builder& builder, std::uint32_t) {
    edge_list out;
    for (std::uint32_t round = 0; round < Max; ++round)
      out.insert(out.begin(), {TROUPE_EDGE_FORWARD, add<Result, state_sink<record>>(builder, round), 0});
    return out;
  }
  template <class Next>
  static void run(task_env& env, Next& next) {
    troupe_block block{};
    for (std::uint32_t edge = 0; edge < Max; ++edge)
      if (env.next_block(block, edge)) return give_state<record>(env, block, edge, next);
  }
};

template <class Branches>
inline constexpr bool one_shuffled = false;
template <class Leaf, class... Ops>
inline constexpr bool one_shuffled<type_list<branch<Leaf, Ops...>>> = Leaf::shuffled;

struct become_view {
  template <class Record>
  struct to {
    template <class From>
    Record operator()(const From& from) const {
      return Record(from);
    }
  };
};

}  // namespace troupe::sdk
