#include <actors/data/block_server.hpp>
#include <actors/data/module_store.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <troupe/telemetry/log.hpp>

namespace troupe::data {

namespace asio = boost::asio;
using namespace block_protocol;
using outcome = std::optional<result<void>>;

void block_server::accept(transport::connection incoming) {
  incoming.forget();  // the gate counts members' control connections, not these
  auto moved = incoming.move_to(context_->io.get_executor());
  if (!moved) return;
  auto shared = std::make_shared<transport::connection>(std::move(*moved));
  asio::post(context_->io, [self = shared_from_this(), shared] {
    if (self->closed_ || self->closers_.size() >= connections_max) return;
    asio::co_spawn(
        self->context_->io, [self, shared]() -> asio::awaitable<void> { co_await self->session(std::move(*shared)); },
        asio::detached);
  });
}

void block_server::close() {
  closed_ = true;
  for (auto& [member, closer] : closers_) closer();
}

void block_server::drop(member_id member) {
  for (auto& [who, closer] : closers_)
    if (who == member) closer();
}

asio::awaitable<void> block_server::session(transport::connection incoming) {
  stream s(std::move(incoming));
  const auto registered = closers_.emplace(closers_.end(), s.peer().member, s.closer());
  for (;;) {
    auto request = co_await s.read(transport::after(idle_time_max));
    if (!request) break;
    auto done = co_await handle(s, static_cast<frame_type>(request->type), std::move(request->payload));
    if (!done) break;
    if (!*done) {
      failure told;
      told.code = done->error().code();
      told.message = done->error().message().substr(0, 4096);
      const bool sent = co_await send(s, frame_type::failure, codec::encode(told));
      if (!sent) break;
    }
  }
  closers_.erase(registered);
  s.close();
}

asio::awaitable<outcome> block_server::handle(stream& s, frame_type type, bytes payload) {
  const auto misfit = [&](const error& e) {
    context_->parts.log.warning(
        "data", "a request from " + context_->name_of(s.peer().member) + " makes no sense: " + e.message());
    return outcome{};
  };
  switch (type) {
    case frame_type::get_map_output: {
      auto request = codec::decode<get_map_output>(payload, "get_map_output");
      if (!request) co_return misfit(request.error());
      co_return co_await send_map_output(s, *request);
    }
    case frame_type::get_range: {
      auto request = codec::decode<get_range>(payload, "get_range");
      if (!request) co_return misfit(request.error());
      co_return co_await send_range(s, *request);
    }
    case frame_type::get_module: {
      auto request = codec::decode<get_module>(payload, "get_module");
      if (!request) co_return misfit(request.error());
      co_return co_await send_module(s, std::move(*request));
    }
    case frame_type::get_raw: {
      auto request = codec::decode<get_raw>(payload, "get_raw");
      if (!request) co_return misfit(request.error());
      co_return co_await send_raw(s, *request);
    }
    case frame_type::pull_segment: {
      auto request = codec::decode<pull_segment>(payload, "pull_segment");
      if (!request) co_return misfit(request.error());
      co_return co_await pull(s, std::move(*request));
    }
    case frame_type::open_segment: {
      auto request = codec::decode<open_segment>(payload, "open_segment");
      if (!request) co_return misfit(request.error());
      co_return co_await receive_segment(s, *request);
    }
    default:
      co_return misfit(
          error{errc::corrupted, "frame of type " + std::to_string(static_cast<int>(type)) + " is not a request"});
  }
}

asio::awaitable<bool> block_server::send(stream& s, frame_type type, bytes payload) {
  auto sent = co_await s.write(static_cast<std::uint16_t>(type), 0, payload, context_->request_deadline());
  co_return sent.has_value();
}

asio::awaitable<bool> block_server::send_block(stream& s, block_head head, bytes_view data) {
  // The receiver may wait for room before it reads on: a whole request's time, not a stall's.
  auto sent = co_await write_pieces(s, frame_type::block, codec::encode(head), data, context_->request_deadline());
  context_->count.bytes_sent.add(data.size());
  co_return sent.has_value();
}

asio::awaitable<outcome> block_server::send_map_output(stream& s, get_map_output request) {
  auto& store = context_->parts.blocks;
  auto blocks = store.get(request.attempt, request.partition);
  if (!blocks) co_return outcome(blocks.error());
  for (const auto& block : *blocks) {
    auto pin = store.pin(block.id);
    if (!pin) co_return outcome(pin.error());
    block_head head;
    head.size = block.size;
    head.records = block.records;
    head.digest = block.digest;
    head.next = head.size;
    bytes spilled;
    auto data = pin->memory();
    if (data.data() == nullptr && block.size != 0) {
      auto pinned = *pin;
      auto read_pending = context_->disk.run([pinned, size = static_cast<std::size_t>(block.size)]() -> result<bytes> {
        bytes out(size, '\0');
        TROUPE_TRY(auto got, pinned.read(0, out.data(), size));
        if (got != size) return error{errc::corrupted, "a spilled block is shorter than it was"};
        return out;
      });
      auto read = co_await std::move(read_pending);
      if (!read) co_return outcome(read.error());
      spilled = std::move(*read);
      data = spilled;
    }
    const bool sent = co_await send_block(s, head, data);
    if (!sent) co_return outcome{};
  }
  const bool sent = co_await send(s, frame_type::end, bytes());
  if (!sent) co_return outcome{};
  co_return outcome(ok());
}

asio::awaitable<outcome> block_server::send_range(stream& s, get_range request) {
  auto& store = context_->parts.segments;
  std::shared_ptr<const storage::segment_reader> reader;
  auto to = request.to;
  if (!is_open(request.digest)) {
    auto opened_pending =
        context_->disk.run([&store, request] { return open_copy(store, request.segment, request.digest); });
    auto opened = co_await std::move(opened_pending);
    if (!opened) co_return outcome(opened.error());
    reader = *opened;
    to = std::min(to, reader->summary().file_bytes);
  }
  const auto block_bytes = std::clamp<std::size_t>(request.block_bytes, 1, limits::chunk_bytes_max);
  std::uint64_t given = 0;
  for (auto at = request.from; at < to && (request.bytes_max == 0 || given < request.bytes_max);) {
    auto read_pending = context_->disk.run([reader, &store, id = request.segment, at, to, block_bytes] {
      return reader ? read_group(*reader, at, to, block_bytes)
                    : read_open_group(store.path(id), id, at, to, block_bytes);
    });
    auto read = co_await std::move(read_pending);
    if (!read) co_return outcome(read.error());
    at = read->next;
    if (read->records == 0) continue;
    given += read->payload.size();
    block_head head;
    head.size = read->payload.size();
    head.records = read->records;
    head.digest = xxh3_128(read->payload);
    head.first = read->first;
    head.next = read->next;
    const bool sent = co_await send_block(s, head, read->payload);
    if (!sent) co_return outcome{};
  }
  const bool sent = co_await send(s, frame_type::end, bytes());
  if (!sent) co_return outcome{};
  co_return outcome(ok());
}

asio::awaitable<outcome> block_server::send_module(stream& s, get_module request) {
  auto& modules = context_->parts.modules;
  auto hash = request.hash;
  auto read_pending = context_->disk.run([&modules, hash] { return modules.read(hash); });
  auto read = co_await std::move(read_pending);
  if (!read) co_return outcome(read.error());
  block_head head;
  head.size = read->size();
  head.digest = xxh3_128(*read);
  head.next = head.size;
  bool sent = co_await send_block(s, head, *read);
  if (sent) sent = co_await send(s, frame_type::end, bytes());
  if (!sent) co_return outcome{};
  co_return outcome(ok());
}

asio::awaitable<outcome> block_server::send_raw(stream& s, get_raw request) {
  auto& store = context_->parts.segments;
  auto opened_pending =
      context_->disk.run([&store, request] { return open_copy(store, request.segment, request.digest); });
  auto opened = co_await std::move(opened_pending);
  if (!opened) co_return outcome(opened.error());
  auto reader = *opened;
  const auto size = reader->summary().file_bytes;
  bytes piece;
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(piece_bytes_max, size - at)));
    char* const into = piece.data();
    const auto count = piece.size();
    auto read_pending = context_->disk.run([reader, at, into, count] { return reader->read_raw(at, into, count); });
    auto read = co_await std::move(read_pending);
    if (!read) co_return outcome(read.error());
    auto sent = co_await s.write(static_cast<std::uint16_t>(frame_type::raw), 0, piece, context_->request_deadline());
    if (!sent) co_return outcome{};
    context_->count.bytes_sent.add(count);
  }
  const bool sent = co_await send(s, frame_type::end, bytes());
  if (!sent) co_return outcome{};
  co_return outcome(ok());
}

asio::awaitable<result<void>> block_server::check_owner(segment_id segment, dataset_id dataset) {
  const auto fits = [&] {
    return context_->parts.metadata.read([&](const metadata::state& s) {
      const auto owner = s.owner_of(segment);
      return owner && *owner == dataset;
    });
  };
  if (fits()) co_return ok();
  // The writer's node may be ahead of this one.
  auto caught_up = co_await context_->barrier(std::chrono::seconds(5));
  if (!caught_up) co_return caught_up.error();
  if (fits()) co_return ok();
  co_return error{
      errc::failed_precondition,
      "segment " + to_string(segment) + " is not of a dataset that is being written: it was aborted or has ended"};
}

}  // namespace troupe::data
