#pragma once
#include <actors/supervision/node_ports.hpp>
#include <deque>
#include <mutex>

namespace troupe::actors {

/// Takes a last stage's chunks from the worker pool's thread to the replicated segment, without a copy and in order. A
/// chunk's hold is dropped, which gives the task its credit back, when every replica has written it. The segment is
/// opened at the first chunk: a task that writes nothing makes no file.
///
/// Shared by the attempt's observer (pool's thread), the writer's callbacks (data plane's thread) and the attempt (its
/// actor): thread-safe.
class output_sink : public std::enable_shared_from_this<output_sink> {
 public:
  static constexpr std::size_t appends_outstanding_max = 32;  ///< 32 MiB of 1 MiB chunks; the pool's window is smaller

  output_sink(node_ports& ports, data::output_spec spec) : ports_(ports), spec_(std::move(spec)) {}

  void take(output_chunk chunk);
  /// Seals when everything taken is written; nothing taken gives nothing. Answers once, on any thread, with the first
  /// error if there was one.
  void seal(std::function<void(result<std::optional<data::sealed_output>>)> then);
  void abort();

 private:
  void pump(std::unique_lock<std::mutex>& lock);
  void written(const result<void>& answer);

  node_ports& ports_;
  const data::output_spec spec_;
  std::mutex mutex_;
  std::shared_ptr<data::replicated_writer> writer_;
  std::deque<output_chunk> waiting_;
  std::size_t outstanding_ = 0;
  std::optional<error> failed_;
  bool closed_ = false;
  std::function<void(result<std::optional<data::sealed_output>>)> sealed_;
};

}  // namespace troupe::actors
