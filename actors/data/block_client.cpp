#include <actors/data/block_client.hpp>
#include <algorithm>

namespace troupe::data {

namespace asio = boost::asio;
using namespace block_protocol;
using transport::steady_time;

namespace {

constexpr std::uint64_t block_bytes_max = limits::record_bytes_max + limits::chunk_bytes_max;

/// The exchange on one connection. `answered`: the peer said something, so trying again on a fresh connection would be
/// a second request. `complete`: the connection is ready for another.
asio::awaitable<answer> exchange(context_ptr c, transport::framed& stream, frame_type type, const bytes& request,
                                 block_sink& sink, steady_time deadline, std::string peer_name, bool& answered,
                                 bool& complete) {
  const auto stall = [&] { return std::min(deadline, c->stall_deadline()); };
  const auto failed = [&](const error& e) {
    // Closed from this side: the peer is known to be dead, unless we are the ones who stop.
    const auto code = e.code() == errc::cancelled && !c->stopping ? errc::unavailable : e.code();
    return answer{error{code, peer_name + ": " + e.message()}, false};
  };
  auto sent = co_await stream.write(static_cast<std::uint16_t>(type), 0, request, stall());
  if (!sent) co_return failed(sent.error());
  for (;;) {
    auto header = co_await stream.read_header(stall());
    if (!header) co_return failed(header.error());
    answered = true;
    const auto got = static_cast<frame_type>(header->type);
    if (got == frame_type::block) {
      auto head = co_await read_head<block_head>(stream, *header, stall());
      if (!head) co_return failed(head.error());
      const auto here = header->length - block_head::wire_bytes;
      if (head->size > block_bytes_max || here > head->size)
        co_return failed(error{errc::corrupted, "a block claims " + std::to_string(head->size) + " bytes"});
      auto room = co_await sink.open(*head);
      if (!room) co_return answer{room.error(), false};
      auto filled = co_await read_pieces(stream, here, *room, deadline, c->options.stall_time_max);
      if (!filled) co_return failed(filled.error());
      c->count.bytes_received.add(head->size);
      auto kept = sink.close(*head);
      if (!kept) co_return answer{kept.error(), true};
      continue;
    }
    auto rest = co_await read_rest(stream, header->length, stall());
    if (!rest) co_return failed(rest.error());
    complete = got == frame_type::end || got == frame_type::failure;
    if (got == frame_type::end) co_return answer{ok(), true};
    if (got == frame_type::failure) co_return answer{decode_failure(*rest, peer_name), true};
    co_return failed(
        error{errc::corrupted, "frame of type " + std::to_string(header->type) + " where a block should be"});
  }
}

}  // namespace

asio::awaitable<result<bytes>> read_rest(transport::framed& stream, std::size_t size, steady_time deadline) {
  bytes out(size, '\0');
  if (size != 0) {
    auto got = co_await stream.read_payload(std::span<char>(out.data(), out.size()), deadline);
    if (!got) co_return got.error();
  }
  co_return std::move(out);
}

asio::awaitable<result<void>> read_pieces(transport::framed& stream, std::size_t here, std::span<char> room,
                                          steady_time deadline, std::chrono::milliseconds stall_time_max) {
  std::size_t at = 0;
  for (;;) {
    if (here > room.size() - at) co_return error{errc::corrupted, "more bytes than were announced"};
    if (here != 0) {
      auto got =
          co_await stream.read_payload(room.subspan(at, here), std::min(deadline, transport::after(stall_time_max)));
      if (!got) co_return got.error();
    }
    at += here;
    if (at == room.size()) co_return ok();
    auto header = co_await stream.read_header(std::min(deadline, transport::after(stall_time_max)));
    if (!header) co_return header.error();
    if (static_cast<frame_type>(header->type) != frame_type::more || header->length == 0)
      co_return error{errc::corrupted, "frame of type " + std::to_string(header->type) + " in the middle of a block"};
    here = header->length;
  }
}

asio::awaitable<result<void>> write_pieces(transport::framed& stream, frame_type type, bytes head, bytes_view data,
                                           steady_time deadline) {
  bytes_view pieces[2] = {head, data.substr(0, piece_bytes_max)};
  auto sent = co_await stream.write(static_cast<std::uint16_t>(type), 0, std::span<const bytes_view>(pieces), deadline);
  if (!sent) co_return sent.error();
  for (std::size_t at = piece_bytes_max; at < data.size(); at += piece_bytes_max) {
    sent = co_await stream.write(static_cast<std::uint16_t>(frame_type::more), 0, data.substr(at, piece_bytes_max),
                                 deadline);
    if (!sent) co_return sent.error();
  }
  co_return ok();
}

error decode_failure(bytes_view payload, const std::string& peer_name) {
  auto decoded = codec::decode<failure>(payload, "failure frame");
  if (!decoded) return decoded.error().with_context(peer_name);
  const bool known = decoded->code > errc::none && decoded->code <= errc::internal;
  return error{known ? decoded->code : errc::internal, peer_name + ": " + decoded->message};
}

asio::awaitable<answer> ask(context_ptr c, member_id whom, frame_type type, bytes request, block_sink& sink,
                            steady_time deadline) {
  for (bool fresh = false;; fresh = true) {
    auto lease = co_await c->peers.get(whom, peer_pool::purpose::request, deadline, fresh);
    if (!lease) co_return answer{lease.error(), false};
    bool answered = false;
    bool complete = false;
    auto came =
        co_await exchange(c, lease->stream(), type, request, sink, deadline, c->name_of(whom), answered, complete);
    if (complete) std::move(*lease).give_back();
    if (came.outcome || answered || !lease->reused()) co_return came;
  }
}

store_sink::~store_sink() {
  if (!blocks_.empty()) context_->parts.blocks.discard(blocks_);
}

asio::awaitable<result<std::span<char>>> store_sink::open(const block_head& head) {
  auto& store = context_->parts.blocks;
  const auto size = head.size;
  auto buffer_pending = transport::await_result<std::shared_ptr<dataflow::receive_buffer>>(
      [&store, size](std::function<void(result<std::shared_ptr<dataflow::receive_buffer>>)> then) {
        store.receive(size, [then = std::move(then)](result<dataflow::receive_buffer> got) {
          if (got)
            then(std::make_shared<dataflow::receive_buffer>(std::move(*got)));
          else
            then(got.error());
        });
      },
      deadline_);
  auto buffer = co_await std::move(buffer_pending);
  if (!buffer) {
    if (buffer.error().code() == errc::deadline_exceeded)
      co_return error{errc::resource_exhausted,
                      "no memory for received blocks came free in time; give this node a larger budget"};
    co_return buffer.error();
  }
  buffer_ = std::move(*buffer);
  co_return std::span<char>(buffer_->data(), static_cast<std::size_t>(head.size));
}

result<void> store_sink::close(const block_head& head) {
  auto buffer = std::move(buffer_);
  if (xxh3_128(bytes_view(buffer->data(), static_cast<std::size_t>(head.size))) != head.digest)
    return error{errc::corrupted, "the digest of a received block of " + std::to_string(head.size) + " bytes is wrong"};
  TROUPE_TRY(auto kept, std::move(*buffer).commit(job_, head.records, head.digest));
  if (blocks_.empty()) first_ = head.first;
  records_ += head.records;
  blocks_.push_back(kept);
  return ok();
}

std::vector<dataflow::block_ref> store_sink::take() { return std::exchange(blocks_, {}); }

asio::awaitable<result<std::span<char>>> memory_sink::open(const block_head& head) {
  data.resize(kept_);
  if (head.size > bytes_max_ - std::min(bytes_max_, kept_))
    co_return error{errc::resource_exhausted, "the answer is longer than was asked for"};
  data.resize(kept_ + static_cast<std::size_t>(head.size));
  co_return std::span<char>(data.data() + kept_, static_cast<std::size_t>(head.size));
}

result<void> memory_sink::close(const block_head& head) {
  if (xxh3_128(bytes_view(data).substr(kept_)) != head.digest)
    return error{errc::corrupted, "the digest of a received block of " + std::to_string(head.size) + " bytes is wrong"};
  if (!first) first = head.first;
  records += head.records;
  kept_ = data.size();
  return ok();
}

}  // namespace troupe::data
