#include <actors/replication/log_links.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <limits>
#include <troupe/transport/endpoint.hpp>

/// Connections: who dials, who is gone. What goes over them is in log_calls.cpp.
namespace troupe::logs {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using transport::after;

namespace {
constexpr auto redial_min = 20ms;
constexpr auto redial_max = 500ms;
constexpr auto write_time_max = 10s;  ///< a peer that takes nothing for so long has failed
/// A killed process's connections may end some milliseconds before its port does. Meanwhile the kernel may drop what
/// comes to the port instead of refusing it, and it would send again only after a second: so the first tries are short.
struct probe_try {
  std::chrono::milliseconds pause, time_max;
};
constexpr probe_try probe_tries[] = {{0ms, 10ms},  {5ms, 10ms},   {10ms, 20ms},  {10ms, 40ms},
                                     {20ms, 80ms}, {50ms, 160ms}, {100ms, 300ms}};
}  // namespace

void log_links::refresh() {
  if (stopped_) return;
  const auto own = with_.self;
  live_ = with_.metadata.read([&](const metadata::state& s) {
    std::set<member_id> live;
    for (const auto& [id, m] : s.members())
      if (id != own && s.is_live(id)) live.insert(id);
    return live;
  });
  for (const auto& [whom, s] : std::map(sessions_))
    if (!live_.contains(whom.first)) lost(s);
  for (const auto id : live_) {
    if (!(own < id)) continue;
    for (const auto by : {lane::replication, lane::clients})
      if (dialling_.insert({id, by}).second) asio::co_spawn(with_.io, dial_for_ever({id, by}), asio::detached);
  }
}

std::string log_links::address_of(member_id id) const {
  return with_.metadata.read([&](const metadata::state& s) {
    const auto* m = s.find_member(id);
    return m != nullptr ? m->address : std::string();
  });
}

/// Dials, serves the connection until it ends, and dials again, as long as the member is live.
asio::awaitable<void> log_links::dial_for_ever(key whom) {
  const auto self = shared_from_this();
  auto pause = std::chrono::milliseconds(redial_min);
  while (!stopped_ && live_.contains(whom.first)) {
    const auto endpoint = transport::parse_endpoint(address_of(whom.first));
    if (endpoint) {
      auto request = with_.request();
      request.to = *endpoint;
      request.protocol = transport::protocol::log;
      request.expected = whom.first;
      request.deadline = after(limits::handshake_time_max);
      auto dialled = co_await transport::dial(std::move(request));
      if (dialled && !stopped_) {
        pause = redial_min;
        auto s = std::make_shared<session>(std::move(*dialled), whom.second, with_.io);
        outgoing first{frame_type::hello, codec::encode(hello{log_frames_version, whom.second}), {}};
        push(*s, std::move(first));
        adopt(s);
        co_await serve(s);
      }
    }
    if (stopped_) break;
    co_await transport::sleep_until(after(pause));
    pause = std::min<std::chrono::milliseconds>(pause * 2, redial_max);
  }
  dialling_.erase(whom);
}

void log_links::accept(transport::connection incoming) {
  if (stopped_) return;  // closed, so that the other side knows and dials again
  incoming.forget();
  auto moved = incoming.move_to(with_.io.get_executor());
  if (!moved) return;
  auto shared = std::make_shared<transport::connection>(std::move(*moved));
  // Weak: nothing that waits in the queue may keep the queue, and with it the connection, when nobody runs it any more.
  asio::post(with_.io, [weak = weak_from_this(), shared] {
    const auto self = weak.lock();
    if (!self || self->stopped_) return;
    asio::co_spawn(self->with_.io, self->greet(std::move(*shared)), asio::detached);
  });
}

asio::awaitable<void> log_links::greet(transport::connection incoming) {
  const auto self = shared_from_this();
  auto s = std::make_shared<session>(std::move(incoming), lane::replication, with_.io);
  auto first = co_await s->stream.read(after(limits::handshake_time_max));
  if (stopped_ || !first || static_cast<frame_type>(first->type) != frame_type::hello) co_return;
  const auto said = codec::decode<hello>(first->payload, "hello");
  if (!said || said->version != log_frames_version || said->lane > lane::clients) {
    with_.log.warning("log", "a connection for the log protocol begins with what this build does not know");
    co_return;
  }
  s->by = said->lane;
  adopt(s);
  co_await serve(s);
}

/// The newest connection counts: the one before may be half open.
void log_links::adopt(session_ptr s) {
  const key whom{s->stream.peer().member, s->by};
  if (const auto old = sessions_.find(whom); old != sessions_.end()) {
    auto before = old->second;
    lost(before);
  }
  sessions_.emplace(whom, s);
  asio::co_spawn(with_.io, write_for_ever(s), asio::detached);
  with_.connected(whom.first);
}

asio::awaitable<void> log_links::serve(session_ptr s) {
  const auto self = shared_from_this();
  while (!s->closed) {
    auto f = co_await s->stream.read(transport::steady_time::max());
    if (!f || s->closed || stopped_) break;
    const bool good = receive(*s, *f);
    if (!good) break;
  }
  lost(s);
}

asio::awaitable<void> log_links::write_for_ever(session_ptr s) {
  const auto self = shared_from_this();
  while (!s->closed) {
    if (s->stream.has_rest()) {
      s->writing = true;
      const auto flushed = co_await s->stream.flush(after(write_time_max));
      s->writing = false;
      if (!flushed) break;
      continue;
    }
    if (s->queue.empty()) {
      s->wake.expires_at(transport::steady_time::max());
      boost::system::error_code woken;
      co_await s->wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
      continue;
    }
    const auto next = std::move(s->queue.front());
    s->queue.pop_front();
    const bytes_view pieces[2] = {next.head, next.tail.view()};
    s->writing = true;
    const auto sent = co_await s->stream.write(static_cast<std::uint16_t>(next.type), 0,
                                               std::span<const bytes_view>(pieces), after(write_time_max));
    s->writing = false;
    s->queued_bytes -= next.head.size() + next.tail.size();
    if (!sent) break;
  }
  lost(s);
}

void log_links::lost(const session_ptr& s) {
  if (std::exchange(s->closed, true)) return;
  const auto who = s->stream.peer();
  s->stream.close();
  s->wake.cancel();
  s->queue.clear();
  const key whom{who.member, s->by};
  const auto at = sessions_.find(whom);
  const bool current = at != sessions_.end() && at->second == s;
  if (current) sessions_.erase(at);
  for (auto i = pending_.begin(); i != pending_.end();) {
    if (i->second.over.lock() != s) {
      ++i;
      continue;
    }
    asio::post(with_.io, [then = std::move(i->second.then)] {
      then(error{errc::unavailable, "the connection to the member that was asked has ended"});
    });
    i = pending_.erase(i);
  }
  if (current && s->by == lane::replication && !stopped_ && live_.contains(who.member))
    asio::co_spawn(with_.io, probe(who.member, who.incarnation), asio::detached);
}

/// Whether anybody listens there still: a refusal is the kernel's word that the process is gone. No answer at all says
/// nothing: its lease will tell.
asio::awaitable<void> log_links::probe(member_id id, troupe::incarnation was) {
  const auto self = shared_from_this();
  const auto endpoint = transport::parse_endpoint(address_of(id));
  if (!endpoint) co_return;
  const auto from = with_.request().from;
  for (const auto& attempt : probe_tries) {
    if (attempt.pause != 0ms) co_await transport::sleep_until(after(attempt.pause));
    if (stopped_ || sessions_.contains({id, lane::replication})) co_return;
    asio::ip::tcp::socket socket(with_.io);
    boost::system::error_code failure;
    socket.open(endpoint->protocol(), failure);
    if (!failure && from) socket.bind({*from, 0}, failure);
    if (failure) co_return;
    asio::steady_timer timer(with_.io, after(attempt.time_max));
    timer.async_wait([&socket](const boost::system::error_code& ended) {
      boost::system::error_code ignored;
      if (!ended) socket.close(ignored);
    });
    co_await socket.async_connect(*endpoint, asio::redirect_error(asio::use_awaitable, failure));
    timer.cancel();
    co_await asio::post(with_.io, asio::use_awaitable);  // the timer's handler refers to the socket
    if (failure == asio::error::connection_refused) {
      if (!stopped_ && !sessions_.contains({id, lane::replication})) with_.gone(id, was);
      co_return;
    }
  }
}

void log_links::stop() {
  stopped_ = true;
  for (const auto& [whom, s] : std::map(sessions_)) lost(s);
  for (auto& [number, p] : std::exchange(pending_, {})) p.then(error{errc::cancelled, "this node is stopping"});
  sweep_timer_.cancel();
}

}  // namespace troupe::logs
