#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <actors/cluster/metadata_member.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <troupe/base/codec.hpp>
#include <troupe/base/random.hpp>
#include <troupe/transport/endpoint.hpp>

/// Consensus: the log on the disk, effects, leadership.
namespace troupe::actors {
namespace asio = boost::asio;
using consensus::entry_kind;
using consensus::role;
namespace effects = consensus::effects;

namespace {

constexpr int thread_nice = -10;  ///< of the thread that hears and sends heartbeats; only root gets it

bool exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

std::uint64_t fresh_seed() {
  std::uint64_t seed = 0;
  fill_random(&seed, sizeof seed);
  return seed;
}

}  // namespace

metadata_member::metadata_member(metadata_core& core)
    : core_(core),
      links_(std::make_shared<peer_links>(core, static_cast<peer_owner&>(*this))),
      raft_timer_(core.io),
      lease_(core.limits.lease) {}
metadata_member::~metadata_member() = default;

result<std::shared_ptr<metadata_member>> metadata_member::open(metadata_core& core) {
  std::shared_ptr<metadata_member> member(new metadata_member(core));
  const auto& o = core.options;
  const bool there = exists(o.log_directory + "/log");
  if (o.had_log && !there)
    return error{errc::corrupted, "the metadata log " + o.log_directory +
                                      "/log is gone, and with it what this node promised as a member. It cannot go on "
                                      "as the same member: restore the file, or remove the node's whole data directory "
                                      "so that it joins as a new one"};
  if (there || o.bootstrap || !o.self.cluster.is_nil()) TROUPE_TRY_VOID(member->open_log(o.self.cluster));
  return member;
}

result<void> metadata_member::open_log(const cluster_id& cluster) {
  const auto& o = core_.options;
  if (o.log_begins) o.log_begins(cluster);
  TROUPE_TRY(auto log, storage::metadata_log::open(o.log_directory, cluster, *o.files));
  if (o.bootstrap && !o.had_log && log.last().value == 0) TROUPE_TRY_VOID(begin_raft(log, o.self.member));
  TROUPE_TRY(auto found, load_raft(log));
  if (log.tail_was_cut())
    core_.log.info("metadata", "the end of the metadata log was not whole and was cut: it was never acknowledged");
  if (found.latest.index.value != 0) {
    TROUPE_TRY(auto restored, metadata::state::restore(*found.latest.state));
    if (restored.applied() != found.latest.index)
      return error{errc::corrupted, "the metadata snapshot of entry " + to_string(found.latest.index) +
                                        " holds the state of " + to_string(restored.applied())};
    core_.install(std::move(restored));
    snapshot_index_ = found.latest.index;
    snapshot_bytes_ = found.latest.state->size();
  }
  found_ = std::move(found);
  opened_.emplace(std::move(log));
  if (o.log_begun) o.log_begun();
  if (started_) begin_disk();
  return ok();
}

/// From here on this node takes part.
void metadata_member::begin_disk() {
  raft_disk::events events;
  const auto on_thread = [this](auto f) { asio::post(core_.io, [self = shared_from_this(), f] { f(*self); }); };
  events.done = [on_thread](consensus::persist_number number) {
    on_thread([number](metadata_member& m) {
      if (m.saving_ && *m.saving_ <= number) m.saving_.reset();
      m.raft_->persisted(std::chrono::steady_clock::now(), number);
      m.schedule();
    });
  };
  events.full = [on_thread](const error& why) {
    on_thread([why](metadata_member& m) {
      m.disk_full_ = true;
      m.core_.log.error("metadata", "the metadata log cannot be written until there is room: " + why.message());
    });
  };
  events.has_room = [on_thread] {
    on_thread([](metadata_member& m) {
      m.disk_full_ = false;
      m.core_.log.info("metadata", "the metadata log is written again");
    });
  };
  events.failed = [this](const error& why) { cannot_go_on(why); };
  disk_ = std::make_unique<raft_disk>(std::move(*opened_), std::move(events));
  opened_.reset();

  const auto& limits = core_.limits;
  consensus::options o;
  o.cluster = links_->cluster();
  o.self = core_.options.self.member;
  o.seed = fresh_seed();
  o.heartbeat_interval = limits.raft_heartbeat;
  o.election_timeout = limits.election_timeout;
  o.disk_stall_max = limits.disk_stall_max;
  o.entries_kept_behind_snapshot = limits.entries_kept;
  raft_ = std::make_unique<consensus::raft>(o, std::move(*found_), std::chrono::steady_clock::now());
  found_.reset();
  perform(effects::members_changed{raft_->members()});
  schedule();
}

void metadata_member::start() {
  started_ = true;
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), thread_nice);
  if (found_) begin_disk();
  links_->maintain(std::chrono::steady_clock::now(), {}, true);
}

void metadata_member::schedule() {
  if (scheduled_ || !raft_) return;
  scheduled_ = true;
  asio::post(core_.io, [self = shared_from_this()] {
    self->scheduled_ = false;
    self->carry_out();
  });
}

void metadata_member::carry_out() {
  for (;;) {
    auto effects = raft_->take_effects();
    if (effects.empty()) break;
    for (auto& e : effects) {
      if (core_.stopping()) return;
      perform(std::move(e));
    }
    if (duties_ && !duties_->begun() && raft_->leads_with_committed_entry())
      duties_->begin(std::chrono::steady_clock::now());
    pump();
    take_snapshot();
  }
  settle_answers();
  links_->dismiss_due();
}

void metadata_member::perform(consensus::effect what) {
  struct visitor {
    metadata_member& m;
    void operator()(effects::send& e) const {
      const auto to = e.what.to;
      m.links_->send(to, wire::frame_type::raft, consensus::encode_message(e.what));
    }
    void operator()(effects::persist& e) const {
      if (e.save) m.saving_ = e.number;
      m.disk_->write(std::move(e));
    }
    void operator()(effects::set_timer& e) const { m.arm(e.at); }
    void operator()(effects::apply& e) const { m.perform(e); }
    void operator()(effects::restore& e) const { m.perform(e); }
    void operator()(effects::read_ready& e) const { m.read_done(e.id, true); }
    void operator()(effects::read_failed& e) const { m.read_done(e.id, false); }
    void operator()(effects::role_changed& e) const { m.perform(e); }
    void operator()(effects::members_changed& e) const { m.perform(e); }
    void operator()(effects::alarm& e) const {
      m.core_.log.error("metadata", "members disagree about what was committed, please report this: " + e.what);
    }
  };
  std::visit(visitor{*this}, what);
}

void metadata_member::arm(steady_time at) {
  raft_timer_.expires_at(at);
  raft_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& ec) {
    if (ec || self->core_.stopping()) return;
    self->raft_->tick(std::chrono::steady_clock::now());
    self->schedule();
  });
}

void metadata_member::perform(const effects::apply& what) {
  for (const auto& e : what.entries) {
    if (e.index <= core_.state.applied()) continue;
    bytes_since_snapshot_ += e.payload.size();
    if (e.kind != entry_kind::command) {
      core_.skip(e.index);
      continue;
    }
    const auto envelope = codec::decode<metadata::envelope>(e.payload, "metadata log entry " + to_string(e.index));
    if (!envelope) cannot_go_on(envelope.error());
    core_.apply(e.index, *envelope);
    if (core_.stopping()) return;
  }
}

void metadata_member::perform(const effects::restore& what) {
  auto fresh = metadata::state::restore(*what.from.state);
  if (!fresh) cannot_go_on(fresh.error());
  core_.log.info("metadata", "took in a snapshot of " + std::to_string(what.from.state->size()) +
                                 " bytes, up to entry " + to_string(what.from.index));
  snapshot_index_ = what.from.index;
  snapshot_bytes_ = what.from.state->size();
  bytes_since_snapshot_ = 0;
  core_.install(std::move(*fresh));
  core_.look_for_fence();
}

/// So that a restart replays little. Never while the last one is being saved, and not more bytes than were appended
/// since.
void metadata_member::take_snapshot() {
  if (saving_ || core_.stopping()) return;
  const auto applied = core_.state.applied();
  const bool due = applied.value >= snapshot_index_.value + core_.limits.snapshot_entries ||
                   bytes_since_snapshot_ >= core_.limits.snapshot_log_bytes;
  if (!due || bytes_since_snapshot_ < snapshot_bytes_ / 2) return;
  auto image = std::make_shared<const bytes>(core_.state.snapshot());
  snapshot_index_ = applied;
  snapshot_bytes_ = image->size();
  bytes_since_snapshot_ = 0;
  raft_->compact(std::chrono::steady_clock::now(), applied, std::move(image));
}

void metadata_member::perform(const effects::role_changed& what) {
  const bool leads = what.now == role::leader;
  const auto self = core_.options.self.member;
  acknowledged_.clear();
  if (duties_) {
    duties_->end();
    duties_.reset();
  }
  inflight_.clear();
  strangers_.clear();
  waiting_.clear();
  waiting_bytes_ = 0;
  if (leads) {
    // What earlier leaders left in the log is under way: a repeated request must not stand in it twice.
    const auto& log = raft_->log();
    for (auto i = std::max(core_.state.applied().next(), log.first()); i <= log.last(); i = i.next()) {
      const auto* e = log.find(i);
      if (e == nullptr || e->kind != entry_kind::command) continue;
      if (const auto envelope = codec::decode<metadata::envelope>(e->payload, "metadata log entry " + to_string(i)))
        inflight_.insert(envelope->id);
    }
    duties_ = std::make_shared<leader_duties>(core_, *links_, *raft_);
    core_.log.info("metadata", "this node leads the metadata, in term " + to_string(what.term));
  } else if (leads_) {
    core_.log.info("metadata", "this node leads the metadata no more");
  } else if (!what.leader.is_nil() && what.leader != core_.leader().first) {
    const auto* m = core_.state.find_member(what.leader);
    core_.log.info("metadata", (m != nullptr ? m->name : to_string(what.leader)) + " leads the metadata, in term " +
                                   to_string(what.term));
  }
  leads_ = leads;
  if (!what.leader.is_nil() && what.leader != self) hint_ = {what.leader, links_->address_of(what.leader)};
  if (what.leader.is_nil()) {
    if (!std::exchange(leaderless_, true)) leaderless_since_ = std::chrono::steady_clock::now();
    hint_ = {};
    return note_leader();
  }
  leaderless_ = false;
  note_leader();
  resubmit_ = true;
  resubmit_read_.reset();
  retry_barriers();
  resubmit();
}

void metadata_member::perform(const effects::members_changed& what) {
  {
    const std::lock_guard lock(voters_mutex_);
    voters_.assign(what.members.voters.begin(), what.members.voters.end());
  }
  if (!core_.stopping()) tick(std::chrono::steady_clock::now());  // dials new voters
}

std::vector<member_id> metadata_member::voters() const {
  const std::lock_guard lock(voters_mutex_);
  return voters_;
}

bool metadata_member::in_configuration() const { return raft_ && raft_->members().contains(core_.options.self.member); }

bool metadata_member::reaches_leader() const {
  if (leads_) return true;
  const auto at = leader_known();
  return !at.id.is_nil() && links_->linked(at.id);
}

void metadata_member::note_leader() {
  const auto at = leader_known();
  core_.set_leader(at.id, at.address);
  core_.connected = reaches_leader();
}

void metadata_member::cannot_go_on(const error& why) {
  // Whatever it would do now, it would do without its disk or with another state than the others.
  core_.log.error("metadata", "this node cannot go on: " + why.message());
  std::fprintf(stderr, "troupe: the metadata of this node cannot go on: %s\n", why.message().c_str());
  std::abort();
}

asio::awaitable<void> metadata_member::look_for_dead_leader(member_id id, std::string address) {
  const auto to = transport::parse_endpoint(address);
  const auto until = transport::after(core_.limits.lease);
  while (to && !core_.stopping() && raft_->leader() == id && !links_->linked(id) &&
         std::chrono::steady_clock::now() < until) {
    const bool refused = co_await port_refuses(core_.io, *to);
    if (core_.stopping()) break;
    if (refused) {
      // One after the other, so that they do not split the votes. The next in turn finds a new leader, or tries itself.
      std::size_t rank = 0;
      for (const auto& voter : raft_->members().voters)
        if (voter != id && voter < core_.options.self.member) ++rank;
      asio::steady_timer turn(core_.io, core_.limits.campaign_step * rank);
      co_await turn.async_wait(asio::as_tuple(asio::use_awaitable));
      campaign_for(id);
      break;
    }
    asio::steady_timer pause(core_.io, core_.limits.probe_interval);
    co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  looking_.erase(id);
}

/// The leader's process is gone, and can't say «campaign now» itself: it is said for it. Nobody has to wait out a lease
/// that a dead process might hold, and votes and logs are compared as ever.
void metadata_member::campaign_for(const member_id& dead) {
  const bool open = raft_->leader().is_nil() || raft_->leader() == dead;
  if (core_.stopping() || core_.is_fenced() || !open || links_->linked(dead) || raft_->role() == role::leader ||
      raft_->role() == role::candidate)
    return;
  raft_->receive(
      std::chrono::steady_clock::now(),
      consensus::message{links_->cluster(), dead, core_.options.self.member, raft_->term(), consensus::timeout_now{}});
  schedule();
}

void metadata_member::stop() {
  raft_timer_.cancel();
  if (duties_) duties_->end();
  links_->stop();
}

void metadata_member::close() { disk_.reset(); }

}  // namespace troupe::actors
