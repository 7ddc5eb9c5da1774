#pragma once
#include <actors/data/block_client.hpp>
#include <actors/data/hosted_segment.hpp>
#include <list>

namespace troupe::data {

/// The answering side of the block protocol: one coroutine per connection, on the I/O thread. Peers are believed to be
/// members (the handshake showed it), not to be free of bugs: sizes and ids are checked.
class block_server : public std::enable_shared_from_this<block_server> {
 public:
  static constexpr std::size_t connections_max = 1024;
  static constexpr auto idle_time_max = std::chrono::minutes(2);

  explicit block_server(context_ptr c) : context_(std::move(c)) {}
  /// From any thread.
  void accept(transport::connection incoming);
  /// Closes every connection; on the I/O thread.
  void close();
  /// Closes the connections of one member, which is dead: what it was writing here goes.
  void drop(member_id member);

 private:
  using stream = transport::framed;
  boost::asio::awaitable<void> session(transport::connection incoming);
  /// An error of the outcome goes to the peer as a failure; nothing, when the connection is of no more use.
  boost::asio::awaitable<std::optional<result<void>>> handle(stream& s, block_protocol::frame_type type, bytes payload);
  boost::asio::awaitable<std::optional<result<void>>> send_map_output(stream& s,
                                                                      block_protocol::get_map_output request);
  boost::asio::awaitable<std::optional<result<void>>> send_range(stream& s, block_protocol::get_range request);
  boost::asio::awaitable<std::optional<result<void>>> send_module(stream& s, block_protocol::get_module request);
  boost::asio::awaitable<std::optional<result<void>>> send_raw(stream& s, block_protocol::get_raw request);
  boost::asio::awaitable<std::optional<result<void>>> pull(stream& s, block_protocol::pull_segment request);
  boost::asio::awaitable<std::optional<result<void>>> receive_segment(stream& s, block_protocol::open_segment request);
  /// Metadata must have given the id to this dataset, which is still being written.
  boost::asio::awaitable<result<void>> check_owner(segment_id segment, dataset_id dataset);

  boost::asio::awaitable<bool> send(stream& s, block_protocol::frame_type type, bytes payload);
  boost::asio::awaitable<bool> send_block(stream& s, block_protocol::block_head head, bytes_view data);

  context_ptr context_;
  std::list<std::pair<member_id, std::function<void()>>> closers_;
  bool closed_ = false;
};

}  // namespace troupe::data
