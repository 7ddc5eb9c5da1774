#pragma once
#include <actors/data/segment_reading.hpp>

namespace troupe::data {

/// What came of a request to a peer. `from_peer`: the peer itself answered with that error, rather than that there was
/// no talking to it.
struct answer {
  result<void> outcome;
  bool from_peer = false;
};

/// Sends one request and gives the blocks that come to the sink. A connection that waited in the pool and turns out to
/// be dead is replaced once. On the I/O thread.
boost::asio::awaitable<answer> ask(context_ptr c, member_id whom, block_protocol::frame_type type, bytes request,
                                   block_sink& sink, transport::steady_time deadline);

/// Blocks into the block store's receive reserve, as blocks of `job`. Those of a failed exchange are given back by the
/// destructor.
class store_sink final : public block_sink {
 public:
  store_sink(context_ptr c, job_id job, transport::steady_time deadline)
      : context_(std::move(c)), job_(job), deadline_(deadline) {}
  ~store_sink() override;
  boost::asio::awaitable<result<std::span<char>>> open(const block_protocol::block_head& head) override;
  result<void> close(const block_protocol::block_head& head) override;

  /// The blocks are the caller's from now on.
  std::vector<dataflow::block_ref> take();
  [[nodiscard]] record_offset first() const noexcept { return first_; }
  [[nodiscard]] std::uint64_t records() const noexcept { return records_; }

 private:
  context_ptr context_;
  job_id job_;
  transport::steady_time deadline_;
  std::shared_ptr<dataflow::receive_buffer> buffer_;
  std::vector<dataflow::block_ref> blocks_;
  record_offset first_;
  std::uint64_t records_ = 0;
};

/// Blocks joined in memory, up to bytes_max in all: modules, and what the daemon itself reads.
class memory_sink final : public block_sink {
 public:
  explicit memory_sink(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  boost::asio::awaitable<result<std::span<char>>> open(const block_protocol::block_head& head) override;
  result<void> close(const block_protocol::block_head& head) override;

  bytes data;
  std::uint64_t records = 0;
  std::optional<record_offset> first;

 private:
  std::size_t bytes_max_;
  std::size_t kept_ = 0;
};

/// Reads a fixed-size head or a codec struct out of the frame that `header` announced. `corrupted` when it does not
/// fit.
template <class Head>
boost::asio::awaitable<result<Head>> read_head(transport::framed& stream, const transport::frame_header& header,
                                               transport::steady_time deadline) {
  char raw[Head::wire_bytes];
  if (header.length < sizeof raw) co_return error{errc::corrupted, "a frame is too short for its head"};
  auto got = co_await stream.read_payload(raw, deadline);
  if (!got) co_return got.error();
  co_return codec::decode<Head>(bytes_view(raw, sizeof raw), "head of a frame");
}

/// The rest of the frame as bytes of its own.
boost::asio::awaitable<result<bytes>> read_rest(transport::framed& stream, std::size_t size,
                                                transport::steady_time deadline);

/// Fills `room` from the rest of this frame (`here` bytes) and the `more` frames behind it.
boost::asio::awaitable<result<void>> read_pieces(transport::framed& stream, std::size_t here, std::span<char> room,
                                                 transport::steady_time deadline,
                                                 std::chrono::milliseconds stall_time_max);

/// Sends head and data in one frame and what does not fit in `more` frames.
boost::asio::awaitable<result<void>> write_pieces(transport::framed& stream, block_protocol::frame_type type,
                                                  bytes head, bytes_view data, transport::steady_time deadline);

/// A failure frame's error, with the peer's name in front.
error decode_failure(bytes_view payload, const std::string& peer_name);

}  // namespace troupe::data
