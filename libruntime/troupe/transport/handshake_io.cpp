#include <troupe/base/random.hpp>
#include <troupe/transport/handshake_io.hpp>

namespace troupe::transport::handshake {

awaitable<result<void>> receive(connection& stream, incoming& into, steady_time deadline) {
  char raw[prefix_bytes];
  TROUPE_CO_TRY_VOID(co_await stream.read_exactly(raw, deadline));
  const auto known = parse_prefix({raw, sizeof raw});
  if (!known) co_return known.error();
  into.prefix = *known;
  static_assert(sizeof into.body >= 2 + 2 + 1 + 3 * 16 + 8 + 32);
  co_return co_await stream.read_exactly(std::span(into.body, into.prefix.body_bytes), deadline);
}

awaitable<result<void>> dial(connection& stream, const identity& self, protocol what, member_id expected,
                             steady_time deadline) {
  nonce fresh;
  fill_random(fresh.data(), fresh.size());
  dialler side(self, what, expected, fresh);
  bytes out = side.start();
  while (!side.finished()) {
    TROUPE_CO_TRY_VOID(co_await stream.write(bytes_view(out), deadline));
    incoming in;
    TROUPE_CO_TRY_VOID(co_await receive(stream, in, deadline));
    auto next = side.receive(in.prefix.type, in.view());
    if (!next) co_return next.error();
    out = std::move(*next);
  }
  stream.set_peer(side.other());
  co_return ok();
}

}  // namespace troupe::transport::handshake
