#include <actors/data/block_client.hpp>
#include <actors/data/segment_copying.hpp>

namespace troupe::data {

namespace asio = boost::asio;
using namespace block_protocol;

namespace {

asio::awaitable<result<void>> receive_batches(context_ptr c, transport::framed& stream, hosted_segment& into,
                                              std::string peer_name) {
  bytes held;
  for (;;) {
    auto came = co_await stream.read(c->stall_deadline());
    if (!came) co_return came.error().with_context(peer_name);
    const auto type = static_cast<frame_type>(came->type);
    if (type == frame_type::failure) co_return decode_failure(came->payload, peer_name);
    if (type == frame_type::end) {
      if (!held.empty()) co_return error{errc::corrupted, peer_name + ": the segment ended in the middle of a batch"};
      co_return ok();
    }
    if (type != frame_type::raw || held.size() > format::batch_payload_bytes_max + format::batch_header_bytes)
      co_return error{errc::corrupted,
                      peer_name + ": frame of type " + std::to_string(came->type) + " where batches should be"};
    c->count.bytes_received.add(came->payload.size());
    if (held.empty())
      held = std::move(came->payload);
    else
      held.append(came->payload);
    bytes_view batches = held;
    auto taken = co_await into.append_encoded(batches);
    if (!taken) co_return taken.error();
    held.erase(0, held.size() - batches.size());
  }
}

}  // namespace

asio::awaitable<result<void>> pull_copy(context_ptr c, pull_segment what) {
  auto hosted = co_await hosted_segment::open(c, what.what, hosted_segment::place::replaced);
  if (!hosted) co_return hosted.error();
  auto lease = co_await c->peers.get(what.from, peer_pool::purpose::request, c->request_deadline(), true);
  if (!lease) co_return lease.error();
  get_raw request;
  request.segment = what.what.segment;
  request.digest = what.summary.digest;
  const auto encoded = codec::encode(request);
  auto sent =
      co_await lease->stream().write(static_cast<std::uint16_t>(frame_type::get_raw), 0, encoded, c->stall_deadline());
  if (!sent) co_return sent.error();
  auto received = co_await receive_batches(c, lease->stream(), **hosted, c->name_of(what.from));
  if (!received) co_return received.error();
  std::move(*lease).give_back();
  const std::optional<format::segment_summary> expected(what.summary);
  auto sealed = co_await (*hosted)->seal(expected);
  if (!sealed) co_return sealed.error().with_context("a copy made from " + c->name_of(what.from));
  co_return ok();
}

asio::awaitable<result<void>> ask_to_pull(context_ptr c, member_id target, pull_segment what) {
  if (c->is_self(target)) co_return co_await pull_copy(c, std::move(what));
  const auto name = c->name_of(target);
  auto lease = co_await c->peers.get(target, peer_pool::purpose::writer, c->request_deadline(), true);
  if (!lease) co_return lease.error();
  const auto encoded = codec::encode(what);
  auto sent = co_await lease->stream().write(static_cast<std::uint16_t>(frame_type::pull_segment), 0, encoded,
                                             c->stall_deadline());
  if (!sent) co_return sent.error().with_context(name);
  auto came = co_await lease->stream().read(c->request_deadline());
  if (!came) co_return came.error().with_context(name);
  const auto type = static_cast<frame_type>(came->type);
  if (type == frame_type::failure || type == frame_type::sealed) std::move(*lease).give_back();
  if (type == frame_type::failure) co_return decode_failure(came->payload, name);
  if (type != frame_type::sealed)
    co_return error{errc::corrupted,
                    name + ": frame of type " + std::to_string(came->type) + " where «sealed» should be"};
  co_return ok();
}

}  // namespace troupe::data
