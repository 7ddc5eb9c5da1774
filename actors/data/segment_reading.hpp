#pragma once
#include <actors/data/block_protocol.hpp>
#include <actors/data/context.hpp>
#include <span>
#include <troupe/storage/segment_store.hpp>

namespace troupe::data {

/// Whole batches of a segment, joined: payloads without headers.
struct batch_group {
  bytes payload;
  std::uint64_t records = 0;
  record_offset first;     ///< within the segment
  std::uint64_t next = 0;  ///< where the next batch begins; at or beyond the asked end when there is none
};

/// Opens this node's copy and checks that it is the one metadata means. For disk threads.
result<std::shared_ptr<const storage::segment_reader>> open_copy(const storage::segment_store& store, segment_id id,
                                                                 const digest128& digest);

/// Batches that begin in [from, to), as many as fit into bytes_max (at least one), each with its crc checked. For disk
/// threads.
result<batch_group> read_group(const storage::segment_reader& reader, std::uint64_t from, std::uint64_t to,
                               std::size_t bytes_max);

/// The same of a segment that is appended to, or was when a job took its snapshot: found by going from batch to batch,
/// as such a file has no index. What lies behind `to` is nobody's business.
result<batch_group> read_open_group(const std::string& path, segment_id id, std::uint64_t from, std::uint64_t to,
                                    std::size_t bytes_max);

/// A nil digest means a segment that had none when it was asked for: it was open.
inline bool is_open(const digest128& digest) { return digest == digest128{}; }

/// Where blocks go that come from a file or a peer: `open` gives the room for one, which is then filled, then `close`
/// keeps it. One that is not closed is to be thrown away.
class block_sink {
 public:
  virtual ~block_sink() = default;
  virtual boost::asio::awaitable<result<std::span<char>>> open(const block_protocol::block_head& head) = 0;
  virtual result<void> close(const block_protocol::block_head& head) = 0;
};

/// One segment and its copies, read from here or there; remembers which copies are no good. Used by one coroutine on
/// the I/O thread.
class copy_reader {
 public:
  copy_reader(context_ptr c, dataset_id dataset, metadata::segment segment)
      : context_(std::move(c)), dataset_(dataset), segment_(std::move(segment)) {}

  /// Gives the batches that begin in [position, to) to the sink, blocks of about `block_bytes`, at least one and no
  /// more than bytes_max takes (0: all); moves `position` on. A bad copy is reported and another goes on from the same
  /// batch. `data_loss` or `unavailable` with a sentence when none can.
  boost::asio::awaitable<result<void>> read(std::uint64_t& position, std::uint64_t to, std::uint64_t bytes_max,
                                            std::size_t block_bytes, block_sink& sink);

  [[nodiscard]] const metadata::segment& segment() const noexcept { return segment_; }

 private:
  struct failed_copy {
    member_id holder;
    error why;
    bool damaged = false;
  };
  [[nodiscard]] std::optional<member_id> choose() const;
  void pass_over(member_id holder, error why, bool damaged);
  [[nodiscard]] error no_copy_left(record_offset reached) const;
  boost::asio::awaitable<result<void>> read_here(std::uint64_t& position, std::uint64_t to, std::uint64_t bytes_max,
                                                 std::size_t block_bytes, block_sink& sink, bool& sink_failed);

  context_ptr context_;
  dataset_id dataset_;
  metadata::segment segment_;
  std::vector<failed_copy> failed_;
  std::shared_ptr<const storage::segment_reader> open_here_;
};

/// True for what says that a copy is bad, rather than that it can't be asked.
bool means_damage(errc code) noexcept;

}  // namespace troupe::data
