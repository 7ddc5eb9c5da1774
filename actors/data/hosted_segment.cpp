#include <actors/data/hosted_segment.hpp>
#include <boost/asio/post.hpp>

namespace troupe::data {

namespace asio = boost::asio;

asio::awaitable<result<std::unique_ptr<hosted_segment>>> hosted_segment::open(context_ptr c,
                                                                              block_protocol::open_segment what,
                                                                              place where) {
  if (c->stopping) co_return error{errc::cancelled, "this node is stopping"};
  if (!c->writing.insert(what.segment).second)
    co_return error{errc::already_exists, "segment " + to_string(what.segment) + " is being written on " +
                                              c->name_of(c->self()) + " already"};
  std::unique_ptr<hosted_segment> hosted(new hosted_segment(c, what.segment));
  storage::segment_info info;
  const auto own = c->identity();
  info.cluster = own.cluster;
  info.replica = own.member;
  info.dataset = what.dataset;
  info.partition = what.partition;
  info.schema = what.schema;
  info.format = what.format;
  info.created_at_unix_ms = what.created_at_unix_ms;
  info.expected_bytes = std::min<std::uint64_t>(what.expected_bytes, 2 * limits::segment_bytes);
  auto& store = c->parts.segments;
  const auto id = what.segment;
  auto made_pending = c->disk.run([&store, id, info, where]() -> result<std::shared_ptr<storage::segment_writer>> {
    auto writer = where == place::replaced ? store.create_replacement(id, info) : store.create(id, info);
    if (!writer && writer.error().code() == errc::already_exists) {
      if (auto sealed = store.open(id); sealed || sealed.error().code() != errc::failed_precondition)
        return writer.error();
      TROUPE_TRY_VOID(store.remove(id));
      writer = store.create(id, info);
    }
    if (!writer) return writer.error();
    return std::make_shared<storage::segment_writer>(std::move(*writer));
  });
  auto made = co_await std::move(made_pending);
  if (!made) co_return made.error();
  hosted->writer_ = std::move(*made);
  co_return std::move(hosted);
}

hosted_segment::~hosted_segment() {
  // Without seal the writer's end removes the file: a disk thread's work. Only then may the id be collected or opened
  // again.
  std::function<void()> drop = [writer = std::move(writer_), c = context_, id = id_]() mutable {
    writer.reset();
    if (!c->stopping) asio::post(c->io, [c, id] { c->writing.erase(id); });
  };
  if (!context_->disk.post(std::move(drop))) drop();
}

asio::awaitable<result<void>> hosted_segment::append(bytes_view payload, std::uint32_t records,
                                                     std::int64_t append_time_unix_ms) {
  auto writer = writer_;
  auto pending = context_->disk.run([writer, payload, records, append_time_unix_ms] {
    storage::append_info info;
    info.append_time_unix_ms = append_time_unix_ms;
    return writer->append(payload, records, info);
  });
  co_return co_await std::move(pending);
}

asio::awaitable<result<void>> hosted_segment::append_encoded(bytes_view& batches) {
  auto writer = writer_;
  const auto id = id_;
  auto left_pending = context_->disk.run([writer, batches, id]() -> result<bytes_view> {
    auto rest = batches;
    while (rest.size() >= format::batch_header_bytes) {
      TROUPE_TRY(auto header, format::decode_batch_header(rest, id));
      const auto size = format::batch_header_bytes + header.payload_bytes;
      if (rest.size() < size) break;
      TROUPE_TRY_VOID(writer->append_encoded(rest.substr(0, size)));
      rest.remove_prefix(size);
    }
    return rest;
  });
  auto left = co_await std::move(left_pending);
  if (!left) co_return left.error();
  batches = *left;
  co_return ok();
}

asio::awaitable<result<format::segment_summary>> hosted_segment::seal(std::optional<format::segment_summary> expected) {
  auto writer = writer_;
  auto pending = context_->disk.run([writer, expected] { return writer->seal(expected); });
  co_return co_await std::move(pending);
}

}  // namespace troupe::data
