#include <actors/cluster/metadata_holder.hpp>
#include <actors/cluster/metadata_session.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/transport/endpoint.hpp>

namespace troupe::actors {
namespace asio = boost::asio;
using asio::ip::tcp;
using metadata::member_state;
using wire::frame_type;

namespace {

constexpr std::chrono::milliseconds verdict_deadline{2'000};
constexpr std::chrono::milliseconds probe_time_max{200};
/// Between two ticks; more means that this process did not run.
constexpr std::chrono::milliseconds pause_min{250};

/// Whether the port refuses, which only a host without that process does.
asio::awaitable<bool> port_refuses(asio::io_context& io, tcp::endpoint to) {
  tcp::socket socket(io);
  asio::steady_timer limit(io, probe_time_max);
  limit.async_wait([&socket](const boost::system::error_code& ec) {
    boost::system::error_code ignored;
    if (!ec) socket.close(ignored);
  });
  const auto [ec] = co_await socket.async_connect(to, asio::as_tuple(asio::use_awaitable));
  limit.cancel();
  // The timer's handler refers to the socket: let it run before both go.
  co_await asio::post(io, asio::use_awaitable);
  co_return ec == asio::error::connection_refused;
}

}  // namespace

metadata_holder::metadata_holder(metadata_core& core)
    : core_(core), detector_({core.limits.suspect_after, core.limits.lease}) {}
metadata_holder::~metadata_holder() = default;

result<std::shared_ptr<metadata_holder>> metadata_holder::open(metadata_core& core) {
  TROUPE_TRY(auto log,
             storage::metadata_log::open(core.options.log_directory, core.options.self.cluster, *core.options.files));
  std::shared_ptr<metadata_holder> holder(new metadata_holder(core));
  TROUPE_TRY_VOID(holder->replay(log));
  // Every start is a term of its own, so that entries tell who wrote them.
  auto hard = log.state();
  hard.term = troupe::term{std::max(hard.term, log.last_term()).value + 1};
  hard.voted_for = core.options.self.member;
  TROUPE_TRY_VOID(log.save_state(hard));
  holder->term_ = hard.term;
  holder->opened_.emplace(std::move(log));
  return holder;
}

result<void> metadata_holder::replay(storage::metadata_log& log) {
  TROUPE_TRY(auto snapshot, log.load_snapshot());
  if (snapshot) {
    TROUPE_TRY(core_.state, metadata::state::restore(snapshot->state));
    snapshot_bytes_ = snapshot->state.size();
    if (core_.state.applied() != snapshot->index)
      return error{errc::corrupted, "the metadata snapshot of entry " + to_string(snapshot->index) +
                                        " holds the state of " + to_string(core_.state.applied())};
  }
  while (core_.state.applied() < log.last()) {
    TROUPE_TRY(auto part, log.entries(core_.state.applied().next(), log.last()));
    for (auto& e : part) {
      TROUPE_TRY(const auto envelope,
                 codec::decode<metadata::envelope>(e.payload, "metadata log entry " + to_string(e.index)));
      (void)core_.state.apply(e.index, envelope);
      remember(e.index, std::move(e.payload));
      ++entries_since_snapshot_;
    }
  }
  log_bytes_ = log.log_bytes();
  core_.applied = core_.state.applied().value;
  return ok();
}

void metadata_holder::start() {
  disk_ = std::make_unique<metadata_disk>(std::move(*opened_));
  opened_.reset();
  core_.connected = true;
  core_.set_leader(core_.options.self.member, core_.options.who.address);
  // A new holder knows nothing of anyone's heartbeats: everyone gets one full lease.
  const auto now = std::chrono::steady_clock::now();
  for (const auto& [id, m] : core_.state.members())
    if (id != core_.options.self.member) detector_.follow(id, m.incarnation, m.state, now);
  ticked_at_ = now;
}

void metadata_holder::submit(request_id, const bytes& envelope) { submit_from(nullptr, envelope); }

void metadata_holder::submit_from(const std::shared_ptr<metadata_session>& from, bytes encoded) {
  auto decoded = codec::decode<metadata::envelope>(encoded, "a proposed command");
  if (!decoded || decoded->id.is_nil() || encoded.size() > core_.limits.command_bytes_max) {
    if (from) {
      core_.log.warning("metadata", "a follower at " + from->remote() + " proposed what is no command");
      from->close();
    }
    return;
  }
  if (const auto* known = core_.state.answer_of(decoded->id)) {
    if (from)
      from->push(frame_type::answered, codec::encode(wire::make_answer(decoded->id, *known)));
    else
      core_.settle(decoded->id, result<metadata::response>(*known));
    return;
  }
  if (inflight_.contains(decoded->id)) return;  // its entry is on the way, and is its answer
  enqueue(std::move(*decoded), std::move(encoded), from);
}

void metadata_holder::enqueue(metadata::envelope decoded, bytes encoded, std::weak_ptr<metadata_session> from) {
  if (waiting_.size() >= core_.limits.requests_max || waiting_bytes_ >= core_.limits.request_bytes_max) {
    const error full{errc::resource_exhausted,
                     "too many metadata commands wait for the disk of the holder: try again later"};
    if (const auto session = from.lock())
      session->push(frame_type::refused, codec::encode(wire::make_answer(decoded.id, full)));
    else
      core_.settle(decoded.id, full);
    return;
  }
  inflight_.insert(decoded.id);
  waiting_bytes_ += encoded.size();
  waiting_.push_back({std::move(decoded), std::move(encoded), std::move(from)});
  write_group();
}

/// Everything that waits shares one sync; while the disk works the next group gathers.
void metadata_holder::write_group() {
  if (writing_ || waiting_.empty() || core_.stopping()) return;
  std::vector<pending> group;
  std::size_t size = 0;
  while (!waiting_.empty() && group.size() < core_.limits.group_entries_max && size < core_.limits.group_bytes_max) {
    size += waiting_.front().encoded.size();
    group.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  waiting_bytes_ -= size;
  writing_ = true;
  const auto first = core_.state.applied().next();
  disk_->run([self = shared_from_this(), group = std::make_shared<std::vector<pending>>(std::move(group)), first,
              term = term_](storage::metadata_log& log) {
    std::vector<storage::log_entry> entries;
    entries.reserve(group->size());
    for (auto& p : *group) entries.push_back({term, log_index{first.value + entries.size()}, p.encoded});
    const auto outcome = log.append(entries);
    asio::post(self->core_.io, [self, group, first, outcome, bytes = log.log_bytes()] {
      self->log_bytes_ = bytes;
      self->written(std::move(*group), first, outcome);
    });
  });
}

void metadata_holder::written(std::vector<pending> group, log_index first, const result<void>& outcome) {
  writing_ = false;
  for (const auto& p : group) inflight_.erase(p.envelope.id);
  if (!outcome) {
    core_.log.error("metadata", "the log was not written: " + outcome.error().message());
    for (const auto& p : group) {
      if (const auto session = p.from.lock())
        session->push(frame_type::refused, codec::encode(wire::make_answer(p.envelope.id, outcome.error())));
      else
        core_.settle(p.envelope.id, outcome.error());
    }
    return write_group();
  }
  auto index = first;
  for (auto& p : group) {
    remember(index, std::move(p.encoded));
    core_.apply(index, p.envelope);
    index = index.next();
  }
  entries_since_snapshot_ += group.size();
  for (const auto& [id, session] : sessions_) session->wake();
  take_snapshot();
  write_group();
}

void metadata_holder::remember(log_index index, bytes envelope) {
  recent_bytes_ += envelope.size();
  recent_.push_back({index, std::move(envelope)});
  while (recent_.size() > core_.limits.recent_entries_max ||
         (recent_bytes_ > core_.limits.recent_bytes_max && recent_.size() > 1)) {
    recent_bytes_ -= recent_.front().envelope.size();
    recent_.pop_front();
  }
}

const metadata_holder::recent_entry* metadata_holder::recent(log_index index) const {
  if (recent_.empty() || index < recent_.front().index || index > recent_.back().index) return nullptr;
  return &recent_[static_cast<std::size_t>(index.value - recent_.front().index.value)];
}

/// So that a restart replays little. Never while the last one is being saved, and not more bytes than were appended
/// since.
void metadata_holder::take_snapshot() {
  if (saving_ || core_.stopping()) return;
  const bool due =
      entries_since_snapshot_ >= core_.limits.snapshot_entries || log_bytes_ >= core_.limits.snapshot_log_bytes;
  if (!due || log_bytes_ < snapshot_bytes_ / 2) return;
  saving_ = true;
  entries_since_snapshot_ = 0;
  auto image = std::make_shared<const bytes>(core_.state.snapshot());
  snapshot_bytes_ = image->size();
  // Written behind the group that was applied last, and before the next one is handed over: the log then ends at
  // `index`, or beyond.
  disk_->run(
      [self = shared_from_this(), image, index = core_.state.applied(), term = term_](storage::metadata_log& log) {
        auto outcome = log.save_snapshot(index, log.term_at(index).value_or(term), *image);
        if (outcome) outcome = log.purge_before(index.next());
        asio::post(self->core_.io, [self, outcome, bytes = log.log_bytes()] {
          self->saving_ = false;
          self->log_bytes_ = bytes;
          if (!outcome)
            self->core_.log.error("metadata",
                                  "the snapshot was not saved, and will be tried again: " + outcome.error().message());
        });
      });
}

void metadata_holder::ask_barrier(std::uint64_t number) { core_.settle_barrier(number, ok()); }

void metadata_holder::accept(transport::connection stream) {
  if (all_sessions_.size() >= 2 * core_.limits.followers_max) return;  // closed by its destructor
  auto session = std::make_shared<metadata_session>(shared_from_this(), std::move(stream));
  all_sessions_.insert(session);
  session->start();
}

void metadata_holder::adopt(const std::shared_ptr<metadata_session>& session) {
  auto& place = sessions_[session->member()];
  if (place && place != session) place->close();
  place = session;
}

void metadata_holder::session_ended(metadata_session& session) {
  const auto id = session.member();
  const auto its = session.incarnation();
  all_sessions_.erase(session.shared_from_this());
  const auto at = sessions_.find(id);
  if (at == sessions_.end() || at->second.get() != &session) return;  // another one speaks for the member
  sessions_.erase(at);
  if (core_.stopping()) return;
  const auto now = std::chrono::steady_clock::now();
  detector_.closed(id, its, false, now);
  commit_verdicts(now);
  const auto* m = core_.state.find_member(id);
  if (m == nullptr || m->incarnation != its || !probing_.insert(id).second) return;
  asio::co_spawn(
      core_.io, [self = shared_from_this(), id, its, address = m->address] { return self->probe(id, its, address); },
      asio::detached);
}

/// The connection of a member ended: is its process gone? A port that refuses says so within milliseconds of a kill -9;
/// one that answers may belong to a process that only lost its connection, and is asked again until it is back or its
/// lease has run out.
asio::awaitable<void> metadata_holder::probe(member_id id, incarnation its, std::string address) {
  const auto to = transport::parse_endpoint(address);
  while (to && !core_.stopping() && !sessions_.contains(id) && detector_.holds_lease(id, its)) {
    if (co_await port_refuses(core_.io, *to)) {
      const auto now = std::chrono::steady_clock::now();
      if (!sessions_.contains(id)) detector_.closed(id, its, true, now);
      if (!core_.stopping()) commit_verdicts(now);
      break;
    }
    asio::steady_timer pause(core_.io, core_.limits.probe_interval);
    co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  probing_.erase(id);
}

void metadata_holder::tick(steady_time now) {
  if (now - ticked_at_ > core_.limits.tick + pause_min) {
    core_.log.warning(
        "metadata",
        "this process did not run for " +
            std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(now - ticked_at_).count()) + " ms");
    detector_.paused(ticked_at_, now);
  }
  ticked_at_ = now;
  core_.lease_until_ns =
      (now + core_.limits.lease).time_since_epoch().count();  // its own lease holds as long as it runs
  commit_verdicts(now);
}

void metadata_holder::commit_verdicts(steady_time now) {
  for (const auto& v : detector_.check(now)) {
    core_.propose(metadata::set_member_state{v.id, v.incarnation, v.state, v.reason}, request_id::random(),
                  verdict_deadline, [this, id = v.id, its = v.incarnation](const result<metadata::response>& r) {
                    if (r || r.error().code() == errc::aborted || r.error().code() == errc::cancelled) return;
                    if (const auto* m = core_.state.find_member(id)) detector_.not_committed(id, its, m->state);
                  });
  }
}

void metadata_holder::applied(log_index, const metadata::command& what, const result<metadata::response>& answer) {
  if (!answer) return;
  const auto self = core_.options.self.member;
  if (const auto* c = std::get_if<metadata::register_member>(&what)) {
    if (c->who.id == self) return;
    detector_.follow(c->who.id, c->who.incarnation, member_state::alive, std::chrono::steady_clock::now());
    const auto at = sessions_.find(c->who.id);
    if (at != sessions_.end() && at->second->incarnation() < c->who.incarnation)
      at->second->dismiss(
          frame_type::fenced,
          codec::encode(wire::fenced{"a later start of its data directory is known, at " + c->who.address}));
    core_.log.info("metadata", "node " + answer->text + " joined as incarnation " + to_string(c->who.incarnation) +
                                   ", at " + c->who.address);
  }
  if (const auto* c = std::get_if<metadata::set_member_state>(&what)) {
    core_.log.info("metadata", "node " + answer->text + " is " +
                                   (c->state == member_state::alive     ? "alive again"
                                    : c->state == member_state::suspect ? "suspect: " + c->reason
                                    : c->state == member_state::dead    ? "dead: " + c->reason
                                                                        : "gone: it left"));
    if (c->state != member_state::dead && c->state != member_state::left) return;
    detector_.forget(c->id);
    if (const auto at = sessions_.find(c->id); at != sessions_.end())
      at->second->dismiss(frame_type::fenced,
                          codec::encode(wire::fenced{c->state == member_state::dead ? "it was found dead: " + c->reason
                                                                                    : "it has left the cluster"}));
  }
}

void metadata_holder::close() {
  disk_.reset();
  sessions_.clear();  // they refer to this
  all_sessions_.clear();
}

void metadata_holder::stop() {
  const auto sessions = all_sessions_;
  for (const auto& session : sessions) session->close();
}

}  // namespace troupe::actors
