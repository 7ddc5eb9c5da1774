#pragma once
#include <cstdio>
#include <exception>
#include <troupe/sdk/chain.hpp>
#include <troupe/sdk/kept_sides.hpp>
#include <troupe/sdk/map_sinks.hpp>
#include <troupe/sdk/map_stage.hpp>
#include <troupe/sdk/plan_builder.hpp>
#include <troupe/sdk/reduce_stage.hpp>

/// The nodes of a pipeline. A node is an empty type that says everything: `record`, what it gives; `branches<Loop>`,
/// from what and by which operators (one branch for each side of a union); `sources`, the datasets that it comes from.
///
///     read_lines() | map<split>() | fold_by_key<sum>() | map(f) | write()
///
///     element<shuffled<element<source, split>, fold>, f>      one branch: leaf = the shuffled node, operators = f
///
/// A leaf is a node that begins a stage: `plan` adds the stages that it reads and gives its edges, `run` is the loop
/// that reads them.
namespace troupe::sdk {

struct part {};

template <class... Lists>
struct concat;
template <>
struct concat<> {
  using type = type_list<>;
};
template <class... As>
struct concat<type_list<As...>> {
  using type = type_list<As...>;
};
template <class... As, class... Bs, class... Rest>
struct concat<type_list<As...>, type_list<Bs...>, Rest...> {
  using type = typename concat<type_list<As..., Bs...>, Rest...>::type;
};

template <class Leaf, class... Ops>
struct branch {
  using leaf = Leaf;
};
template <class Branch, class Op>
struct branch_with;
template <class Leaf, class... Ops, class Op>
struct branch_with<branch<Leaf, Ops...>, Op> {
  using type = branch<Leaf, Ops..., Op>;
};
template <class List, class Op>
struct append_op;
template <class... Branches, class Op>
struct append_op<type_list<Branches...>, Op> {
  using type = type_list<typename branch_with<Branches, Op>::type...>;
};

/// Outside of an iteration.
struct no_loop {
  static constexpr bool is_gated = false;
};

/// The edges of a leaf, as a table has them.
using edge_list = std::vector<troupe_edge>;

/// Runs f(env) and turns whatever it throws into the table's answers. Exceptions never leave a module.
template <class F>
int guarded(const troupe_task* task, const troupe_host* host, troupe_failure* failed, bool has_offset, F&& f) noexcept {
  const auto fail = [&](const char* what) {
    std::snprintf(failed->message, sizeof failed->message, "%s", what);
    failed->has_offset = has_offset;
    failed->offset = has_offset && host->current_offset != nullptr ? *host->current_offset : 0;
    return 1;
  };
  if (host->size < sizeof(troupe_host) || task->size < sizeof(troupe_task))
    return fail("the worker's table is older than the module's: build the module again");
  try {
    host_port port(*host);
    // Beside a fold's table that is kept, too, and what a task takes at most, there is room for an eighth.
    kept_pages::limit(task->memory_bytes / 8);
    kept_sides::begin(task->stage);
    context user(*task, *host);
    const parameters given(*task);
    task_env env{*task, *host, port, given, user, edge_input(port)};
    f(env);
    user.flush_counters();
    return 0;
  } catch (const stop_requested&) {
    return 0;
  } catch (const std::bad_alloc&) {
    return fail("out of memory");
  } catch (const std::exception& e) {
    return fail(*e.what() == 0 ? "an exception without words was thrown" : e.what());
  } catch (const char* text) {
    return fail(text);
  } catch (...) {
    return fail("something that is no std::exception was thrown");
  }
}

/// One branch of a stage: its chain, and where its edges come from. Operators are made from the last to the first, and
/// so are their own edges listed, before those of the head. In a round that may be skipped (iterate_until), the gate's
/// edge comes before all: with nothing in it, the task ends at once and writes nothing.
template <class Branch, class Sink, class Loop>
struct branch_code;
template <class Leaf, class... Ops, class Sink, class Loop>
struct branch_code<branch<Leaf, Ops...>, Sink, Loop> {
  static constexpr std::uint32_t gate_edges = Loop::is_gated ? 1 : 0;
  static constexpr std::uint32_t side_edges = (0U + ... + Ops::side_edges);
  static constexpr bool reads_dataset = Leaf::reads_dataset;

  static void run(task_env& env) {
    env.side_edge = gate_edges;
    env.head_edge = gate_edges + side_edges;
    if constexpr (Loop::is_gated) {
      troupe_block block{};
      bool goes_on = false;
      while (env.input.next(0, block)) goes_on = true;
      if (!goes_on) return;
    }
    auto line = std::make_unique<chain<typename Leaf::record, Sink, Ops...>>(env);
    Leaf::run(env, *line);
    line->finish();
  }
  static edge_list plan(plan_builder& builder, std::uint32_t round) {
    edge_list edges;
    [[maybe_unused]] const auto add = [&](edge_list more) { edges.insert(edges.begin(), more.begin(), more.end()); };
    (add(Ops::template plan<Loop>(builder, round)), ...);
    for (const auto& e : Leaf::template plan<Loop>(builder, round)) edges.push_back(e);
    if constexpr (Loop::is_gated) edges.insert(edges.begin(), {TROUPE_EDGE_BROADCAST, Loop::gate(builder, round), 0});
    return edges;
  }
  static std::string name() {
    std::string out = Leaf::word;
    ((out += std::string(", ") + Ops::word), ...);
    return out;
  }
};

/// What a task of any of a stage's branches runs.
template <class... Codes>
struct stage_body {
  static int run(const troupe_task* task, const troupe_host* host, troupe_failure* failed) noexcept {
    std::uint32_t number = 0;
    bool has_offset = false;
    ((has_offset = has_offset || (number++ == task->branch && Codes::reads_dataset)), ...);
    return guarded(task, host, failed, has_offset, [&](task_env& env) {
      std::uint32_t at = 0;
      const bool known = (((at++ == task->branch) && (Codes::run(env), true)) || ...);
      if (!known) throw std::logic_error("the worker asked for a branch that the stage does not have");
    });
  }
  static std::vector<edge_list> plan(plan_builder& builder, std::uint32_t round) {
    std::vector<edge_list> out;
    (out.push_back(Codes::plan(builder, round)), ...);
    return out;
  }
  static std::string name(const char* sink) {
    std::string names[] = {Codes::name()...};
    auto out = std::move(names[0]);
    if (sizeof...(Codes) > 1) out += " (" + std::to_string(sizeof...(Codes)) + " sides)";
    if (out.size() > 100) out.resize(100);
    return out + ", " + sink;
  }
};
template <class Branches, class Sink, class Loop>
struct codes_of;
template <class... Branches, class Sink, class Loop>
struct codes_of<type_list<Branches...>, Sink, Loop> {
  using type = type_list<branch_code<Branches, Sink, Loop>...>;
};
template <class Codes>
struct body_of;
template <class... Codes>
struct body_of<type_list<Codes...>> {
  using type = stage_body<Codes...>;
};

/// A stage: everything from its heads through the fused operators to the sink.
template <class Node, class Sink, class Loop>
struct stage_code {
  static constexpr bool mentions_loop = Node::mentions_loop;
  static constexpr std::uint32_t partitions = Sink::partitions;
  using body = typename body_of<typename codes_of<typename Node::template branches<Loop>, Sink, Loop>::type>::type;

  static int run(const troupe_task* task, const troupe_host* host, troupe_failure* failed) noexcept {
    return body::run(task, host, failed);
  }
  static std::vector<edge_list> plan(plan_builder& builder, std::uint32_t round) { return body::plan(builder, round); }
  static std::string name() { return body::name(Sink::word); }
};

/// The last stage of a job: what each of its pipelines ends in, one behind the other. The tasks of a pipeline's
/// branches write its dataset.
template <class... Nodes>
struct last_stage_code {
  static constexpr bool mentions_loop = false;
  static constexpr std::uint32_t partitions = 0;
  template <class Node>
  using codes = typename codes_of<typename Node::template branches<no_loop>, record_sink<typename Node::record, true>,
                                  no_loop>::type;
  using body = typename body_of<typename concat<codes<Nodes>...>::type>::type;
  template <class... Codes>
  static constexpr std::uint32_t count(type_list<Codes...>) {
    return sizeof...(Codes);
  }
  /// How many branches each pipeline has.
  static std::vector<std::uint32_t> branches() { return {count(codes<Nodes>{})...}; }

  static int run(const troupe_task* task, const troupe_host* host, troupe_failure* failed) noexcept {
    return body::run(task, host, failed);
  }
  static std::vector<edge_list> plan(plan_builder& builder, std::uint32_t round) { return body::plan(builder, round); }
  static std::string name() { return body::name("write"); }
};
/// What does not depend on an iteration is the same stage inside and outside of it.
template <class Node, class Sink, class Loop>
using stage_of = stage_code<Node, Sink, std::conditional_t<Node::mentions_loop, Loop, no_loop>>;

/// A node that begins a stage.
template <class Self>
struct leaf_node : part {
  template <class Loop>
  using branches = type_list<branch<Self>>;
  static constexpr bool reads_dataset = false;
  static constexpr bool shuffled = false;  ///< as many tasks as its shuffle has partitions, whatever is before it
};

// The nodes

/// Input records as text: a line without its end, or the bytes of a record; or as structs.
template <int Format, class Record, std::uint32_t Input>
struct source_node : leaf_node<source_node<Format, Record, Input>> {
  using record = Record;
  using input_type = Record;
  using sources = type_list<source_node>;
  static constexpr int format = Format;
  static constexpr std::uint32_t input = Input;
  static constexpr bool mentions_loop = false;
  static constexpr bool reads_dataset = true;
  static constexpr const char* word = "read";
  template <class Loop>
  static edge_list plan(plan_builder&, std::uint32_t) {
    return {{TROUPE_EDGE_DATASET, Input, 0}};
  }
  template <class Next>
  static void run(task_env& env, Next& next) {
    dataset_head<source_node>::run(env, next);
  }
};

template <class Prev, class Op>
struct element_node : part {
  using record = typename Op::template output<typename Prev::record>;
  using sources = typename concat<typename Prev::sources, typename Op::sources>::type;
  static constexpr bool mentions_loop = Prev::mentions_loop || Op::mentions_loop;
  template <class Loop>
  using branches = typename append_op<typename Prev::template branches<Loop>, Op>::type;
};

/// All records of the first, then all of the second.
template <class First, class Second>
struct union_node : part {
  using record = typename First::record;
  using sources = typename concat<typename First::sources, typename Second::sources>::type;
  static constexpr bool mentions_loop = First::mentions_loop || Second::mentions_loop;
  template <class Loop>
  using branches =
      typename concat<typename First::template branches<Loop>, typename Second::template branches<Loop>>::type;
};

/// A node whose stage reads one other stage through a sink.
template <class Self, class Prev, class Sink, std::uint32_t EdgeKind>
struct exchange_node : leaf_node<Self> {
  using sources = typename Prev::sources;
  static constexpr bool mentions_loop = Prev::mentions_loop;
  static constexpr bool shuffled = EdgeKind == TROUPE_EDGE_PARTITIONED;
  template <class Loop>
  static edge_list plan(plan_builder& builder, std::uint32_t round) {
    return {{EdgeKind, builder.add<stage_of<Prev, Sink, Loop>>(round), 0}};
  }
};

template <class Prev>
using key_of = typename Prev::record::first_type;
template <class Prev>
using value_of = typename Prev::record::second_type;

template <class Prev, class Folder>
struct fold_node : exchange_node<fold_node<Prev, Folder>, Prev, fold_sink<key_of<Prev>, value_of<Prev>, Folder>,
                                 TROUPE_EDGE_PARTITIONED> {
  using record = typename fold_head<key_of<Prev>, Folder>::record;
  static constexpr const char* word = "fold";
  template <class Next>
  static void run(task_env& env, Next& next) {
    fold_head<key_of<Prev>, Folder>::run(env, next);
  }
};

template <class Prev, class R>
struct group_node
    : exchange_node<group_node<Prev, R>, Prev, group_sink<key_of<Prev>, value_of<Prev>>, TROUPE_EDGE_PARTITIONED> {
  using record = typename group_head<R>::record;
  static constexpr const char* word = "reduce";
  template <class Next>
  static void run(task_env& env, Next& next) {
    group_head<R>::run(env, next);
  }
};

template <class Prev, class Folder>
struct total_node : exchange_node<total_node<Prev, Folder>, Prev, total_sink<typename Prev::record, Folder>,
                                  TROUPE_EDGE_PARTITIONED> {
  using record = folded<Folder>;
  static constexpr const char* word = "fold all";
  template <class Next>
  static void run(task_env& env, Next& next) {
    total_head<Folder>::run(env, next);
  }
};

/// What the stage before wrote, task by task where it lies.
template <class Prev>
struct kept_node
    : exchange_node<kept_node<Prev>, Prev, record_sink<typename Prev::record, false>, TROUPE_EDGE_FORWARD> {
  using record = typename Prev::record;
  static constexpr const char* word = "kept";
  template <class Next>
  static void run(task_env& env, Next& next) {
    record_head<record>::run(env, next);
  }
};

}  // namespace troupe::sdk
