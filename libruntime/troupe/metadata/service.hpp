#pragma once
#include <functional>
#include <shared_mutex>
#include <troupe/metadata/commands.hpp>
#include <troupe/metadata/state.hpp>

namespace troupe::metadata {

/// How the rest of a node sees the replicated metadata, whoever leads it. Thread-safe; callbacks come on the metadata
/// thread and must only hand over.
class service {
 public:
  virtual ~service() = default;

  using reply = std::function<void(result<response>)>;
  /// Commits the command and applies it here before it answers. `unavailable` when no leader can be reached before
  /// `deadline_ms` from now; retry with the same id.
  virtual void propose(command what, request_id id, std::uint32_t deadline_ms, reply then) = 0;

  /// Calls `then` once this node has applied everything that was committed before the call: a linearizable read
  /// follows. `unavailable` as above.
  virtual void barrier(std::uint32_t deadline_ms, std::function<void(result<void>)> then) = 0;

  /// Runs `f` with the state as applied here, under a shared lock: copy out what is needed, and never block inside.
  template <class F>
  auto read(F&& f) const {
    std::shared_lock lock(mutex_);
    return std::forward<F>(f)(state_);
  }

  /// Calls `observer` after every applied command, in order, on the metadata thread, with the state just after it. A
  /// command that was refused comes too, with its error and an unchanged state; a repeated request does not. When the
  /// whole state was replaced (this node took in a snapshot), one call comes with a `noop`: look at everything. Lives
  /// until the returned function is called; when that returns, `f` is not running (save when called from within `f`).
  using observer = std::function<void(log_index, const command&, const result<response>&, const state&)>;
  virtual std::function<void()> observe(observer f) = 0;

  /// The member that leads the metadata now, if known; for `nodes`.
  [[nodiscard]] virtual member_id leader() const = 0;
  /// The members that vote on it, as far as this node knows; for `nodes`.
  [[nodiscard]] virtual std::vector<member_id> voters() const { return {}; }

 protected:
  mutable std::shared_mutex mutex_;
  state state_;
};

}  // namespace troupe::metadata
