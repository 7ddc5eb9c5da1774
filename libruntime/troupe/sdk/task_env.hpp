#pragma once
#include <cstdint>
#include <troupe/sdk/chunk_writer.hpp>
#include <troupe/sdk/context.hpp>

namespace troupe::sdk {

/// A task's input, edge by edge: blocks come in the order of the branch's edges.
class edge_input {
 public:
  explicit edge_input(host_port& port) noexcept : port_(&port) {}
  /// The next block of this edge. False: there is none left; blocks of later edges wait. Blocks of earlier edges that
  /// nobody asked for are a defect of the plan.
  bool next(std::uint32_t edge, troupe_block& block) {
    if (!held_) {
      if (at_end_) return false;
      held_ = port_->next_block(block_);
      at_end_ = !held_;
      if (at_end_) return false;
    }
    if (block_.edge < edge) throw std::logic_error("a block of edge " + std::to_string(block_.edge) + " was left over");
    if (block_.edge > edge) return false;
    held_ = false;
    block = block_;
    return true;
  }

 private:
  host_port* port_;
  troupe_block block_{};
  bool held_ = false;
  bool at_end_ = false;
};

/// What every operator of a task is made from. Lives as long as the task.
struct task_env {
  const troupe_task& task;
  const troupe_host& host;
  host_port& port;
  const parameters& given;
  context& user;
  edge_input input;
  std::uint32_t head_edge = 0;  ///< the first edge of the stage's head; those before it are operators' own
  std::uint32_t side_edge = 0;  ///< the next operator's own
  std::uint32_t operators = 0;  ///< made so far: a salt for those that draw numbers

  /// The next block of the head's edge.
  bool next_block(troupe_block& block, std::uint32_t edge = 0) { return input.next(head_edge + edge, block); }
};

/// Calls start(parameters, context) of user code that has one.
template <class User>
void start_user(User& user, const task_env& env) {
  if constexpr (requires { user.start(env.given, env.user); }) user.start(env.given, env.user);
}

}  // namespace troupe::sdk
