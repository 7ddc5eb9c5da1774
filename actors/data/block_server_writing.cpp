#include <actors/data/block_server.hpp>
#include <actors/data/segment_copying.hpp>

namespace troupe::data {

namespace asio = boost::asio;
using namespace block_protocol;
using outcome = std::optional<result<void>>;

asio::awaitable<outcome> block_server::receive_segment(stream& s, open_segment request) {
  auto owned = co_await check_owner(request.segment, request.dataset);
  if (!owned) co_return outcome(owned.error());
  auto hosted = co_await hosted_segment::open(context_, request);
  if (!hosted) co_return outcome(hosted.error());
  bool sent = co_await send(s, frame_type::opened, bytes());
  if (!sent) co_return outcome{};
  bytes payload;
  for (;;) {
    // The writer decides how long it is silent between two batches (a job may compute long); its death closes the
    // connection.
    auto header = co_await s.read_header(transport::steady_time::max());
    if (!header) co_return outcome{};
    const auto type = static_cast<frame_type>(header->type);
    if (type == frame_type::seal && header->length == 0) break;
    if (type != frame_type::append) co_return outcome{};
    auto head = co_await read_head<append_head>(s, *header, context_->stall_deadline());
    if (!head || head->size > format::batch_payload_bytes_max) co_return outcome{};
    payload.resize(static_cast<std::size_t>(head->size));
    auto filled = co_await read_pieces(s, header->length - append_head::wire_bytes,
                                       std::span<char>(payload.data(), payload.size()), context_->request_deadline(),
                                       context_->options.stall_time_max);
    if (!filled) co_return outcome{};
    context_->count.bytes_received.add(payload.size());
    auto appended = co_await (*hosted)->append(payload, head->records, head->append_time_unix_ms);
    if (!appended) {
      // The writer is in the middle of sending more. Closing now would reset the connection and lose the reason: let it
      // close.
      failure told;
      told.code = appended.error().code();
      told.message = appended.error().message();
      sent = co_await send(s, frame_type::failure, codec::encode(told));
      const auto patience = context_->stall_deadline();
      while (sent) {
        auto unwanted = co_await s.read(patience);
        sent = unwanted.has_value();
      }
      co_return outcome{};
    }
    sent = co_await send(s, frame_type::appended, bytes());
    if (!sent) co_return outcome{};
  }
  auto sealed = co_await (*hosted)->seal();
  if (!sealed) co_return outcome(sealed.error());
  sent = co_await send(s, frame_type::sealed, codec::encode(*sealed));
  if (!sent) co_return outcome{};
  co_return outcome(ok());
}

asio::awaitable<outcome> block_server::pull(stream& s, pull_segment request) {
  auto owned = co_await check_owner(request.what.segment, request.what.dataset);
  if (!owned) co_return outcome(owned.error());
  auto pulled = co_await pull_copy(context_, request);
  if (!pulled) co_return outcome(pulled.error());
  const bool sent = co_await send(s, frame_type::sealed, codec::encode(request.summary));
  if (!sent) co_return outcome{};
  co_return outcome(ok());
}

}  // namespace troupe::data
