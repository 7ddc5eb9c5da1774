#include <actors/cluster/leader_duties.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <troupe/transport/endpoint.hpp>

namespace troupe::actors {
namespace asio = boost::asio;
using asio::ip::tcp;
using metadata::member_state;

namespace {

constexpr std::chrono::milliseconds verdict_deadline{2'000};
/// While a process is being ended the kernel may drop what comes to its port instead of refusing it, and would send
/// again only after a second: so the first tries are short.
constexpr std::chrono::milliseconds probe_times_max[] = {std::chrono::milliseconds{15}, std::chrono::milliseconds{45},
                                                         std::chrono::milliseconds{140}};
/// Between two ticks; more means that this process did not run.
constexpr std::chrono::milliseconds pause_min{250};

}  // namespace

asio::awaitable<bool> port_refuses(asio::io_context& io, tcp::endpoint to) {
  for (const auto time_max : probe_times_max) {
    tcp::socket socket(io);
    asio::steady_timer limit(io, time_max);
    limit.async_wait([&socket](const boost::system::error_code& ec) {
      boost::system::error_code ignored;
      if (!ec) socket.close(ignored);
    });
    const auto [ec] = co_await socket.async_connect(to, asio::as_tuple(asio::use_awaitable));
    limit.cancel();
    // The timer's handler refers to the socket: let it run before both go.
    co_await asio::post(io, asio::use_awaitable);
    if (ec != asio::error::operation_aborted) co_return ec == asio::error::connection_refused;
  }
  co_return false;
}

leader_duties::leader_duties(metadata_core& core, peer_links& links, consensus::raft& raft)
    : core_(core),
      links_(links),
      raft_(raft),
      detector_({core.limits.suspect_after, core.limits.lease}),
      absences_(core.limits.gone_after) {}

void leader_duties::begin(steady_time now) {
  begun_ = true;
  ticked_at_ = now;
  for (const auto& [id, m] : core_.state.members()) {
    absences_.follow(id, m.state, now);
    if (id == core_.options.self.member) continue;
    detector_.follow(id, m.incarnation, m.state, now);
    if (!links_.linked(id)) begin_probe(id, m.incarnation);
  }
  change_voters(now);
}

void leader_duties::heard(const member_id& id, troupe::incarnation its, steady_time now) {
  detector_.heard(id, its, now);
}

bool leader_duties::holds_lease(const member_id& id, troupe::incarnation its) const {
  return begun_ && detector_.holds_lease(id, its);
}

void leader_duties::tick(steady_time now) {
  if (!begun_ || ended_) return;
  if (now - ticked_at_ > core_.limits.tick + pause_min) {
    core_.log.warning(
        "metadata",
        "this process did not run for " +
            std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(now - ticked_at_).count()) + " ms");
    detector_.paused(ticked_at_, now);
  }
  ticked_at_ = now;
  commit_verdicts(now);
  change_voters(now);
}

void leader_duties::went(const member_id& id, troupe::incarnation its, steady_time now) {
  if (!begun_ || ended_) return;
  detector_.closed(id, its, false, now);
  commit_verdicts(now);
  begin_probe(id, its);
}

void leader_duties::begin_probe(const member_id& id, troupe::incarnation its) {
  const auto* m = core_.state.find_member(id);
  if (m == nullptr || m->incarnation != its || !detector_.holds_lease(id, its) || !probing_.insert(id).second) return;
  asio::co_spawn(
      core_.io, [self = shared_from_this(), id, its, address = m->address] { return self->probe(id, its, address); },
      asio::detached);
}

/// The connection of a member ended: is its process gone? A port that refuses says so within milliseconds of a kill -9;
/// one that answers may belong to a process that only lost its connection, and is asked again until it is back or its
/// lease has run out.
asio::awaitable<void> leader_duties::probe(member_id id, incarnation its, std::string address) {
  const auto to = transport::parse_endpoint(address);
  while (to && !ended_ && !core_.stopping() && !links_.linked(id) && detector_.holds_lease(id, its)) {
    const bool refused = co_await port_refuses(core_.io, *to);
    if (ended_ || core_.stopping()) break;
    if (refused) {
      const auto now = std::chrono::steady_clock::now();
      if (!links_.linked(id)) detector_.closed(id, its, true, now);
      commit_verdicts(now);
      break;
    }
    asio::steady_timer pause(core_.io, core_.limits.probe_interval);
    co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  probing_.erase(id);
}

void leader_duties::commit_verdicts(steady_time now) {
  if (ended_ || core_.is_fenced()) return;
  for (const auto& v : detector_.check(now)) {
    core_.propose(
        metadata::set_member_state{v.id, v.incarnation, v.state, v.reason}, request_id::random(), verdict_deadline,
        [weak = weak_from_this(), id = v.id, its = v.incarnation](const result<metadata::response>& r) {
          const auto self = weak.lock();
          if (!self || self->ended_ || r || r.error().code() == errc::aborted || r.error().code() == errc::cancelled)
            return;
          if (const auto* m = self->core_.state.find_member(id)) self->detector_.not_committed(id, its, m->state);
        });
  }
}

void leader_duties::change_voters(steady_time now) {
  if (ended_ || !raft_.leads_with_committed_entry() || !raft_.members_settled()) return;
  const auto& self = core_.options.self.member;
  std::vector<consensus::member_view> views;
  for (const auto& [id, m] : core_.state.members()) {
    const bool here = id == self || (!absences_.away(id) && raft_.in_contact(id, now));
    views.push_back({id, id != self && absences_.given_up(id, now), here, raft_.caught_up(id)});
  }
  using kind = consensus::member_change::kind;
  auto step = consensus::next_change(raft_.members(), views, self);
  std::erase_if(relearning_, [&](const auto& id) { return !raft_.members().learners.contains(id); });
  if (!relearning_.empty()) step = {kind::remove, *relearning_.begin()};
  if (!step) return;
  const auto done = raft_.change(now, *step);
  const auto* m = core_.state.find_member(step->id);
  const auto name = m != nullptr ? "node " + m->name : "member " + to_string(step->id);
  if (!done) {
    if (std::exchange(said_, done.error().message()) != done.error().message())
      core_.log.info("metadata", "the voters stay as they are for now (" + name + "): " + done.error().message());
    return;
  }
  said_.clear();
  core_.log.info("metadata", name + (step->what == kind::add_learner ? " gets the metadata log as a learner"
                                     : step->what == kind::promote   ? " becomes a voter"
                                     : step->what == kind::demote    ? " is a voter no more"
                                                                     : " is out of the metadata"));
}

void leader_duties::applied(const metadata::command& what, const result<metadata::response>& answer, steady_time now) {
  if (!begun_ || ended_ || !answer) return;
  const auto& self = core_.options.self.member;
  if (const auto* c = std::get_if<metadata::register_member>(&what)) {
    absences_.follow(c->who.id, member_state::alive, now);
    if (c->who.id == self) return;
    detector_.follow(c->who.id, c->who.incarnation, member_state::alive, now);
    core_.log.info("metadata", "node " + answer->text + " joined as incarnation " + to_string(c->who.incarnation) +
                                   ", at " + c->who.address);
    change_voters(now);
  }
  if (const auto* c = std::get_if<metadata::remove_member>(&what)) {
    absences_.forget(c->id);
    detector_.forget(c->id);
    core_.log.info("metadata", "member " + to_string(c->id) + " was removed");
    change_voters(now);
  }
  if (const auto* c = std::get_if<metadata::set_member_state>(&what)) {
    absences_.follow(c->id, c->state, now);
    core_.log.info("metadata", "node " + answer->text + " is " +
                                   (c->state == member_state::alive     ? "alive again"
                                    : c->state == member_state::suspect ? "suspect: " + c->reason
                                    : c->state == member_state::dead    ? "dead: " + c->reason
                                                                        : "gone: it left"));
    if (c->state != member_state::dead && c->state != member_state::left) return;
    detector_.forget(c->id);
    if (c->id == self) return;
    links_.dismiss(c->id, c->incarnation,
                   c->state == member_state::dead ? "it was found dead: " + c->reason : "it has left the cluster");
  }
}

}  // namespace troupe::actors
