#pragma once
#include <actors/data/block_protocol.hpp>
#include <actors/data/context.hpp>
#include <troupe/storage/segment_store.hpp>

namespace troupe::data {

/// A segment file that is being written on this node, by this node's own writer or for another's. Calls come from one
/// coroutine on the I/O thread, the work is done on a disk thread. Dropping it without seal removes the file.
class hosted_segment {
 public:
  enum class place : std::uint8_t {
    empty,     ///< `already_exists` when there is a sealed file; an unsealed one of that id is a crash's and goes
    replaced,  ///< a file that is there stays until the new one is sealed
  };
  /// `already_exists` also when it is being written already.
  static boost::asio::awaitable<result<std::unique_ptr<hosted_segment>>> open(context_ptr c,
                                                                              block_protocol::open_segment what,
                                                                              place where = place::empty);
  ~hosted_segment();
  hosted_segment(const hosted_segment&) = delete;
  hosted_segment& operator=(const hosted_segment&) = delete;

  /// `payload` must stay until it returns.
  boost::asio::awaitable<result<void>> append(bytes_view payload, std::uint32_t records,
                                              std::int64_t append_time_unix_ms);
  /// Whole encoded batches, as they lie in another copy. Takes what it can from the front; what is left of `batches` is
  /// the beginning of a batch.
  boost::asio::awaitable<result<void>> append_encoded(bytes_view& batches);
  /// With `expected`: `corrupted`, and nothing stays of it, when something else was written.
  boost::asio::awaitable<result<format::segment_summary>> seal(std::optional<format::segment_summary> expected = {});

 private:
  hosted_segment(context_ptr c, segment_id id) : context_(std::move(c)), id_(id) {}
  context_ptr context_;
  segment_id id_;
  std::shared_ptr<storage::segment_writer> writer_;  ///< shared with the disk thread while it works
};

}  // namespace troupe::data
