#pragma once
#include <actors/data/block_client.hpp>
#include <actors/data/hosted_segment.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>

namespace troupe::data {

/// What is behind a replicated_writer: one coroutine for each replica, all taking the same batches in order, each at
/// its own pace. On the I/O thread.
///
///   batches   | 4 | 5 | 6 | 7 |         a batch is done when every replica has taken it or fallen out
///   local       ▲ taken up to here
///   node2               ▲ sent  (up to `window` ahead of what it has confirmed)
class segment_output : public std::enable_shared_from_this<segment_output> {
 public:
  segment_output(context_ptr c, output_spec spec);

  void append(bytes_view payload, std::uint64_t records, replicated_writer::done then);
  void seal(std::function<void(result<sealed_output>)> then);
  void abort(error why);

  /// The handle that callers hold, from any thread.
  static std::shared_ptr<replicated_writer> handle(std::shared_ptr<segment_output> output);

 private:
  static constexpr std::uint64_t window = 4;  ///< batches on their way to one replica

  struct batch {
    bytes_view payload;
    std::uint32_t records = 0;
    std::int64_t time = 0;
    replicated_writer::done then;
    std::size_t claims = 0;  ///< replicas that may still touch the payload
  };
  struct replica {
    explicit replica(context& c, member_id who)
        : member(who), name(c.name_of(who)), wake(c.io, transport::steady_time::max()) {}
    member_id member;
    std::string name;
    boost::asio::steady_timer wake;  ///< cancelled when there is something to do
    std::uint64_t sent = 0;
    std::uint64_t taken = 0;
    bool running = true;
    std::optional<error> failure;
    std::optional<format::segment_summary> summary;
    std::function<void()> closer;
  };

  void start();
  boost::asio::awaitable<void> run(std::shared_ptr<replica> r);
  boost::asio::awaitable<result<void>> run_here(replica& r);
  boost::asio::awaitable<result<void>> run_there(replica& r);
  boost::asio::awaitable<result<peer_pool::lease>> open_there(replica& r);
  boost::asio::awaitable<result<void>> read_confirmation(replica& r, transport::framed& stream);
  boost::asio::awaitable<void> wait(replica& r);
  void taken(replica& r);
  void release(batch& b);
  /// Batches that nobody waits for go, the oldest first, and their callers hear how it went.
  void drop_unclaimed();
  void ended(replica& r, result<void> outcome);
  void give_up(error why);
  void finish();
  void wake_all();
  [[nodiscard]] batch& at(std::uint64_t index) { return batches_[static_cast<std::size_t>(index - first_)]; }
  [[nodiscard]] std::size_t usable() const;
  [[nodiscard]] error too_few() const;

  context_ptr context_;
  output_spec spec_;
  block_protocol::open_segment header_;
  std::vector<std::shared_ptr<replica>> replicas_;
  std::deque<batch> batches_;
  std::uint64_t first_ = 0;     ///< index of batches_.front()
  std::uint64_t appended_ = 0;  ///< index behind the last
  std::int64_t last_time_ = 0;
  bool started_ = false;
  bool sealing_ = false;
  std::optional<error> failed_;
  std::function<void(result<sealed_output>)> seal_then_;
};

}  // namespace troupe::data
