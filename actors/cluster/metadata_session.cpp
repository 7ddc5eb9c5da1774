#include <actors/cluster/metadata_holder.hpp>
#include <actors/cluster/metadata_session.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <troupe/base/codec.hpp>

namespace troupe::actors {
namespace asio = boost::asio;
using metadata::member_state;
using transport::after;
using wire::frame_type;

namespace {
constexpr std::size_t controls_max = 65'536;  ///< a follower has no more requests under way than that
}

metadata_session::metadata_session(std::shared_ptr<metadata_holder> holder, transport::connection stream)
    : holder_(std::move(holder)),
      stream_(std::move(stream)),
      member_(stream_.peer().member),
      incarnation_(stream_.peer().incarnation),
      remote_(transport::to_string(stream_.remote())),
      changed_(holder_->core().io) {}

void metadata_session::start() {
  asio::co_spawn(
      holder_->core().io, [self = shared_from_this()] { return self->read(); }, asio::detached);
  asio::co_spawn(
      holder_->core().io, [self = shared_from_this()] { return self->write(); }, asio::detached);
}

void metadata_session::push(frame_type type, bytes payload) {
  if (closed_) return;
  if (controls_.size() >= controls_max) return close();
  controls_.push_back({type, std::move(payload), false});
  changed_.notify();
}

void metadata_session::dismiss(frame_type type, bytes payload) {
  if (closed_) return;
  controls_.push_back({type, std::move(payload), true});
  changed_.notify();
}

void metadata_session::close() {
  if (closed_) return;
  closed_ = true;
  stream_.close();
  changed_.notify();
}

asio::awaitable<void> metadata_session::read() {
  auto& core = holder_->core();
  if (co_await read_hello()) {
    // A silent member is found dead by the detector, which ends this session; the deadline only sees to it that nothing
    // waits for ever.
    while (!closed_) {
      auto f = co_await stream_.read(after(core.limits.lease * 10));
      if (!f || !handle(std::move(*f))) break;
      holder_->detector().heard(member(), incarnation(), std::chrono::steady_clock::now());
    }
  } else if (!closed_) {
    // What was refused is read to its end, so that the refusal is not lost in a reset.
    while (co_await stream_.read(after(core.limits.lease))) {
    }
  }
  close();
  holder_->session_ended(*this);
}

asio::awaitable<bool> metadata_session::read_hello() {
  auto& core = holder_->core();
  const auto f = co_await stream_.read(after(troupe::limits::handshake_time_max));
  if (!f || f->type != static_cast<std::uint16_t>(frame_type::hello)) {
    close();
    co_return false;
  }
  const auto said = codec::decode<wire::hello>(f->payload, "hello");
  if (!said || said->member != member() || said->incarnation != incarnation()) {
    core.log.warning("metadata", "a follower at " + remote() + " says that it is another than it proved to be");
    close();
    co_return false;
  }
  const auto fence = [&](std::string reason) {
    dismiss(frame_type::fenced, codec::encode(wire::fenced{std::move(reason)}));
  };
  if (const auto* m = core.state.find_member(member())) {
    if (incarnation() < m->incarnation) {
      fence("a later start of its data directory is known, at " + m->address);
      co_return false;
    }
    if (incarnation() == m->incarnation && m->state == member_state::dead) {
      fence("it was found dead: " + m->state_reason);
      co_return false;
    }
    if (incarnation() == m->incarnation && m->state == member_state::left) {
      fence("it has left the cluster");
      co_return false;
    }
  }
  if (said->applied > core.state.applied()) {
    core.log.error("metadata", "node " + to_string(member()) + " has applied entry " + to_string(said->applied) +
                                   ", but this log ends at " + to_string(core.state.applied()) +
                                   ": it was put back to an earlier state");
    fence("the holder's log ends before what this node has applied: it was put back to an earlier state");
    co_return false;
  }
  next_ = said->applied.next();
  push(frame_type::welcome,
       codec::encode(wire::welcome{core.options.self.member, core.options.who.address, core.state.applied()}));
  following_ = true;
  holder_->detector().heard(member(), incarnation(), std::chrono::steady_clock::now());
  holder_->adopt(shared_from_this());
  co_return true;
}

bool metadata_session::handle(transport::frame f) {
  auto& core = holder_->core();
  switch (static_cast<frame_type>(f.type)) {
    case frame_type::heartbeat: {
      const auto beat = codec::decode<wire::heartbeat>(f.payload, "heartbeat");
      if (!beat) return false;
      const bool lease = holder_->detector().holds_lease(member(), incarnation());
      push(frame_type::heartbeat_seen, codec::encode(wire::heartbeat_seen{beat->sent_ns, lease, core.state.applied()}));
      return true;
    }
    case frame_type::propose:
      holder_->submit_from(shared_from_this(), std::move(f.payload));
      return true;
    case frame_type::barrier: {
      const auto asked = codec::decode<wire::barrier>(f.payload, "barrier");
      if (!asked) return false;
      push(frame_type::barrier_at, codec::encode(wire::barrier_at{asked->number, core.state.applied()}));
      return true;
    }
    default:
      core.log.warning("metadata",
                       "a follower at " + remote() + " sent a frame of unknown type " + std::to_string(f.type));
      return false;
  }
}

/// Entries first, then what was to be said when they were committed: so an answer never comes before its entry.
asio::awaitable<void> metadata_session::write() {
  auto& core = holder_->core();
  while (!closed_) {
    auto controls = std::move(controls_);
    controls_.clear();
    const auto until = core.state.applied();
    // The welcome comes before the first entry.
    if (!controls.empty() && controls.front().type == frame_type::welcome) {
      if (!co_await send(frame_type::welcome, controls.front().payload)) break;
      controls.pop_front();
    }
    if (following_ && next_ <= until) {
      const bool sent = co_await send_entries(until);  // a statement of its own: g++ 12 miscompiles co_await behind &&
      if (!sent) break;
    }
    for (const auto& c : controls) {
      if (!co_await send(c.type, c.payload)) co_return close();
      if (c.last) co_return;  // the reader closes once the peer has
    }
    if (controls_.empty() && !(following_ && next_ <= core.state.applied())) co_await changed_.wait();
  }
  close();
}

asio::awaitable<bool> metadata_session::send(frame_type type, bytes_view payload) {
  const auto sent = co_await stream_.write(static_cast<std::uint16_t>(type), 0, payload,
                                           after(holder_->core().limits.write_time_max));
  co_return sent && !closed_;
}

asio::awaitable<bool> metadata_session::send_entries(log_index until) {
  while (next_ <= until) {
    if (holder_->recent(next_) == nullptr) {
      if (!co_await send_snapshot()) co_return false;
      continue;
    }
    wire::entries part;
    part.first = next_;
    std::size_t size = 0;
    while (next_ <= until) {
      const auto* e = holder_->recent(next_);
      if (size > 0 && size + e->envelope.size() > wire::part_bytes_max - 4096) break;
      size += e->envelope.size() + 8;
      part.envelopes.push_back(e->envelope);
      next_ = next_.next();
    }
    if (!co_await send(frame_type::entries, codec::encode(part))) co_return false;
  }
  co_return true;
}

asio::awaitable<bool> metadata_session::send_snapshot() {
  const auto& state = holder_->core().state;
  const auto index = state.applied();
  const auto whole = state.snapshot();
  holder_->core().log.info("metadata", "sending a snapshot of " + std::to_string(whole.size()) +
                                           " bytes, up to entry " + to_string(index) + ", to " + remote());
  for (std::size_t position = 0; position < whole.size(); position += wire::part_bytes_max) {
    wire::snapshot_part part{index, whole.size(), position, whole.substr(position, wire::part_bytes_max)};
    if (!co_await send(frame_type::snapshot, codec::encode(part))) co_return false;
  }
  next_ = index.next();
  co_return true;
}

}  // namespace troupe::actors
