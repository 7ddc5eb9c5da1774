#include <actors/cluster/metadata_follower.hpp>
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/transport/dial.hpp>
#include <troupe/transport/endpoint.hpp>

namespace troupe::actors {
namespace asio = boost::asio;
using metadata::member_state;
using transport::after;
using wire::frame_type;

namespace {
constexpr std::size_t outbox_max = 65'536;  ///< frames; requests are limited before
}

metadata_follower::metadata_follower(metadata_core& core)
    : core_(core),
      self_(core.options.self),
      backoff_(core.limits.redial_min),
      pause_(core.io),
      lease_(core.limits.lease),
      random_(static_cast<std::uint32_t>(std::hash<member_id>{}(self_.member))) {}

void metadata_follower::start() {
  asio::co_spawn(
      core_.io, [self = shared_from_this()] { return self->follow(); }, asio::detached);
}

void metadata_follower::stop() {
  pause_.cancel();
  if (link_) link_->close();
}

void metadata_follower::push(frame_type type, bytes payload) {
  if (!link_ || link_->closed) return;
  if (link_->outbox.size() >= outbox_max) return link_->close();  // the holder takes nothing up: start anew
  link_->outbox.emplace_back(type, std::move(payload));
  link_->changed.notify();
}

void metadata_follower::submit(request_id id, const bytes& envelope) {
  if (const auto* known = core_.state.answer_of(id)) return core_.settle(id, result<metadata::response>(*known));
  push(frame_type::propose, envelope);  // without a link it waits for submit_all
}

void metadata_follower::ask_barrier(std::uint64_t number) {
  push(frame_type::barrier, codec::encode(wire::barrier{number}));
}

/// Who to ask next: where a redirect pointed, then the last holder, the seeds and the live members in turn.
std::string metadata_follower::next_address() {
  if (hint_) {
    auto address = std::move(*hint_);
    hint_.reset();
    return address;
  }
  std::vector<std::string> candidates;
  const auto offer = [&](const std::string& address) {
    if (address.empty() || address == core_.options.who.address) return;
    if (std::find(candidates.begin(), candidates.end(), address) == candidates.end()) candidates.push_back(address);
  };
  offer(core_.leader().second);
  for (const auto& seed : core_.options.seeds) offer(seed);
  for (const auto& [id, m] : core_.state.members())
    if (m.state == member_state::alive || m.state == member_state::suspect) offer(m.address);
  return candidates.empty() ? std::string() : candidates[turn_++ % candidates.size()];
}

void metadata_follower::note_failure(const std::string& address, const error& why) {
  if (const auto count = failures_.pass(std::chrono::steady_clock::now()))
    core_.log.warning("metadata",
                      (address.empty() ? std::string("no address of another node is known")
                                       : "the metadata is not reached at " + address + ": " + why.message()) +
                          (*count > 1 ? " (" + std::to_string(*count) + " times)" : ""));
}

asio::awaitable<void> metadata_follower::follow() {
  while (!core_.stopping() && !core_.is_fenced()) {
    const auto address = next_address();
    const auto outcome = co_await follow_once(address);
    if (link_) {
      link_->close();
      link_.reset();
    }
    core_.connected = false;
    snapshot_.clear();
    if (core_.stopping() || core_.is_fenced()) break;
    if (!outcome) note_failure(address, outcome.error());
    if (hint_) continue;  // somebody knows better
    // A little randomness keeps a hundred members from dialling a returned holder in step.
    const auto wait =
        backoff_ / 2 + std::chrono::milliseconds(random_() % static_cast<std::uint32_t>(backoff_.count() / 2 + 1));
    backoff_ = std::min(backoff_ * 2, core_.limits.redial_max);
    pause_.expires_after(wait);
    co_await pause_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

asio::awaitable<result<void>> metadata_follower::follow_once(std::string address) {
  if (address.empty()) co_return error{errc::unavailable, "no address of another node is known"};
  TROUPE_CO_TRY(const auto endpoint, transport::parse_endpoint(address));
  transport::dial_request request;
  request.to = endpoint;
  request.protocol = transport::protocol::raft;
  request.self = self_;
  request.from = core_.options.dial_from;
  request.deadline = after(core_.limits.dial_time_max);
  TROUPE_CO_TRY(auto connection, co_await transport::dial(std::move(request)));
  if (core_.stopping()) co_return error{errc::cancelled, "stopped"};
  self_.cluster = connection.peer().cluster;
  auto l = std::make_shared<link>(transport::framed(std::move(connection)), core_.io);
  link_ = l;  // so that stop() reaches it
  TROUPE_CO_TRY_VOID(co_await greet(*l));

  backoff_ = core_.limits.redial_min;
  turn_ = 0;
  beat_at_ = {};
  core_.connected = true;
  l->outbox.clear();
  asio::co_spawn(
      core_.io, [self = shared_from_this(), l] { return self->write(l); }, asio::detached);
  core_.submit_all();
  tick(std::chrono::steady_clock::now());
  while (!core_.stopping() && !core_.is_fenced()) {
    // The holder answers heartbeats: silence as long as a lease means that it hangs, or that the way is cut.
    TROUPE_CO_TRY(auto f, co_await l->stream.read(after(core_.limits.lease)));
    TROUPE_CO_TRY_VOID(handle(std::move(f)));
  }
  co_return ok();
}

asio::awaitable<result<void>> metadata_follower::greet(link& l) {
  const auto deadline = after(core_.limits.dial_time_max);
  const wire::hello me{self_.member, self_.incarnation, core_.state.applied()};
  TROUPE_CO_TRY_VOID(
      co_await l.stream.write(static_cast<std::uint16_t>(frame_type::hello), 0, codec::encode(me), deadline));
  TROUPE_CO_TRY(const auto f, co_await l.stream.read(deadline));
  switch (static_cast<frame_type>(f.type)) {
    case frame_type::welcome: {
      TROUPE_CO_TRY(auto w, codec::decode<wire::welcome>(f.payload, "welcome"));
      core_.log.info("metadata", "following the metadata of " + w.address + ", here up to entry " +
                                     to_string(core_.state.applied()) + " of " + to_string(w.committed));
      core_.set_leader(w.holder, std::move(w.address));
      co_return ok();
    }
    case frame_type::redirect: {
      TROUPE_CO_TRY(auto r, codec::decode<wire::redirect>(f.payload, "redirect"));
      // Followed once: two nodes that point at each other are asked in turn, at the pace of the backoff.
      if (!r.address.empty() && r.address != core_.options.who.address &&
          r.address != transport::to_string(l.stream.remote()) && r.address != core_.leader().second) {
        hint_ = r.address;
        core_.set_leader({}, r.address);
      }
      co_return error{errc::unavailable, r.reason};
    }
    case frame_type::fenced: {
      TROUPE_CO_TRY(auto r, codec::decode<wire::fenced>(f.payload, "fenced"));
      core_.fence(r.reason);
      co_return error{errc::aborted, r.reason};
    }
    default:
      co_return error{errc::corrupted, "a frame of type " + std::to_string(f.type) + " instead of a welcome"};
  }
}

asio::awaitable<void> metadata_follower::write(std::shared_ptr<link> l) {
  while (!l->closed) {
    while (!l->outbox.empty()) {
      const auto [type, payload] = std::move(l->outbox.front());
      l->outbox.pop_front();
      if (!co_await l->stream.write(static_cast<std::uint16_t>(type), 0, payload, after(core_.limits.write_time_max)))
        co_return l->close();
      if (l->closed) co_return;
    }
    co_await l->changed.wait();
  }
}

void metadata_follower::tick(steady_time now) {
  if (!core_.connected || now < beat_at_) return;
  beat_at_ = now + core_.limits.heartbeat_interval;
  push(frame_type::heartbeat, codec::encode(wire::heartbeat{now.time_since_epoch().count()}));
}

result<void> metadata_follower::handle(transport::frame f) {
  switch (static_cast<frame_type>(f.type)) {
    case frame_type::entries: {
      TROUPE_TRY(const auto part, codec::decode<wire::entries>(f.payload, "entries"));
      return take_entries(part);
    }
    case frame_type::snapshot: {
      TROUPE_TRY(auto part, codec::decode<wire::snapshot_part>(f.payload, "a part of a snapshot"));
      return take_snapshot_part(std::move(part));
    }
    case frame_type::refused:
    case frame_type::answered: {
      TROUPE_TRY(auto a, codec::decode<wire::answer>(f.payload, "an answer"));
      const auto id = a.id;
      core_.settle(id, wire::result_of(std::move(a)));
      return ok();
    }
    case frame_type::barrier_at: {
      TROUPE_TRY(const auto at, codec::decode<wire::barrier_at>(f.payload, "barrier"));
      if (core_.state.applied() < at.index)
        return error{errc::corrupted, "the holder answered a barrier before its entries"};
      core_.settle_barrier(at.number, ok());
      return ok();
    }
    case frame_type::heartbeat_seen: {
      TROUPE_TRY(const auto seen, codec::decode<wire::heartbeat_seen>(f.payload, "heartbeat"));
      if (!seen.lease) return ok();
      lease_.confirmed(steady_time(std::chrono::steady_clock::duration(seen.sent_ns)));
      core_.lease_until_ns = lease_.ends_at()->time_since_epoch().count();
      return ok();
    }
    case frame_type::fenced: {
      TROUPE_TRY(auto r, codec::decode<wire::fenced>(f.payload, "fenced"));
      core_.fence(std::move(r.reason));
      return ok();
    }
    default:
      return error{errc::corrupted, "the holder sent a frame of unknown type " + std::to_string(f.type)};
  }
}

result<void> metadata_follower::take_entries(const wire::entries& part) {
  auto index = part.first;
  for (const auto& encoded : part.envelopes) {
    if (index > core_.state.applied()) {  // what came before a lost connection may come again
      if (index != core_.state.applied().next())
        return error{errc::corrupted,
                     "the holder sent entry " + to_string(index) + " after " + to_string(core_.state.applied())};
      TROUPE_TRY(const auto envelope,
                 codec::decode<metadata::envelope>(encoded, "metadata log entry " + to_string(index)));
      core_.apply(index, envelope);
      if (core_.is_fenced() || core_.stopping()) return ok();
    }
    index = index.next();
  }
  return ok();
}

result<void> metadata_follower::take_snapshot_part(wire::snapshot_part part) {
  if (part.position == 0) {
    snapshot_.clear();
    snapshot_index_ = part.index;
  }
  if (part.total_bytes > core_.limits.snapshot_bytes_max || part.position != snapshot_.size() ||
      part.index != snapshot_index_ || part.data.empty() || part.data.size() > part.total_bytes - part.position)
    return error{errc::corrupted, "the holder sent a part of a snapshot that does not fit the others"};
  snapshot_ += part.data;
  if (snapshot_.size() < part.total_bytes) return ok();
  auto fresh = metadata::state::restore(snapshot_);
  snapshot_ = {};
  if (!fresh) return fresh.error();
  if (fresh->applied() != snapshot_index_ || fresh->applied() < core_.state.applied())
    return error{errc::corrupted, "the holder sent a snapshot of entry " + to_string(fresh->applied()) + ", here is " +
                                      to_string(core_.state.applied())};
  core_.install(std::move(*fresh));
  core_.look_for_fence();
  return ok();
}

void metadata_follower::applied(log_index, const metadata::command& what, const result<metadata::response>& answer) {
  if (!answer) return;
  const auto* registered = std::get_if<metadata::register_member>(&what);
  const auto* verdict = std::get_if<metadata::set_member_state>(&what);
  if ((registered != nullptr && registered->who.id == self_.member) ||
      (verdict != nullptr && verdict->id == self_.member))
    core_.look_for_fence();
}

void metadata_follower::accept(transport::connection stream) {
  asio::co_spawn(
      core_.io,
      [self = shared_from_this(), s = std::make_shared<transport::connection>(std::move(stream))] {
        return self->redirect(std::move(*s));
      },
      asio::detached);
}

/// Somebody took this node for the holder: says who is.
asio::awaitable<void> metadata_follower::redirect(transport::connection connection) {
  transport::framed stream(std::move(connection));
  const auto deadline = after(core_.limits.dial_time_max);
  const auto hello = co_await stream.read(deadline);
  if (!hello) co_return;
  const auto answer = codec::encode(wire::redirect{core_.leader().second, "this node does not hold the metadata"});
  if (co_await stream.write(static_cast<std::uint16_t>(frame_type::redirect), 0, answer, deadline))
    (void)co_await stream.read(deadline);  // until the other side closes
}

}  // namespace troupe::actors
