#include <actors/cluster/peer_links.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/transport/dial.hpp>
#include <troupe/transport/endpoint.hpp>

namespace troupe::actors {
namespace asio = boost::asio;
using transport::after;
using wire::frame_type;

namespace {
constexpr std::size_t newcomers_max = 256;
}

peer_links::peer_links(metadata_core& core, peer_owner& owner)
    : core_(core),
      owner_(owner),
      self_(core.options.self),
      random_(static_cast<std::uint32_t>(std::hash<member_id>{}(self_.member))) {}

std::shared_ptr<peer_link> peer_links::best(const member_id& id) const {
  const auto at = members_.find(id);
  if (at == members_.end()) return nullptr;
  if (at->second.dialled && at->second.dialled->is_usable()) return at->second.dialled;
  for (const auto& link : at->second.accepted)
    if (link->is_usable()) return link;
  return nullptr;
}

bool peer_links::linked(const member_id& id) const { return best(id) != nullptr; }

bool peer_links::send(const member_id& to, frame_type type, bytes payload) {
  const auto link = best(to);
  if (link) link->push(type, std::move(payload));
  return link != nullptr;
}

std::string peer_links::address_of(const member_id& id) const {
  const auto met = members_.find(id);
  const auto* m = core_.state.find_member(id);
  if (met != members_.end() && !met->second.address.empty() &&
      (m == nullptr || met->second.incarnation >= m->incarnation))
    return met->second.address;
  return m == nullptr ? std::string() : m->address;
}

void peer_links::note_address(const member_id& id, troupe::incarnation its, const std::string& address) {
  if (id == self_.member || address.empty()) return;
  auto& m = members_[id];
  if (its < m.incarnation) return;
  m.incarnation = its;
  m.address = address;
}

void peer_links::dismiss(const member_id& id, troupe::incarnation its, const std::string& reason) {
  due_.push_back({id, its, codec::encode(wire::fenced{reason})});
}

void peer_links::dismiss_due() {
  for (const auto& what : std::exchange(due_, {})) carry_out(what);
}

void peer_links::dismiss_older(const member_id& id, troupe::incarnation its, const std::string& address) {
  if (its.value == 0) return;
  const std::string reason = "a later start of its data directory is known, at " + address;
  carry_out({id, troupe::incarnation{its.value - 1}, codec::encode(wire::fenced{reason})});
}

void peer_links::carry_out(const dismissal& what) {
  const auto at = members_.find(what.id);
  if (at == members_.end()) return;
  const auto& m = at->second;
  if (m.dialled && m.dialled->incarnation() <= what.incarnation) m.dialled->dismiss(what.words);
  for (const auto& link : m.accepted)
    if (link->incarnation() <= what.incarnation) link->dismiss(what.words);
}

void peer_links::beat(steady_time now) {
  const auto words = codec::encode(wire::heartbeat{now.time_since_epoch().count()});
  for (auto& [id, m] : members_)
    if (m.dialled) m.dialled->push(frame_type::heartbeat, words);
}

void peer_links::stop() {
  stopped_ = true;
  const auto newcomers = newcomers_;
  for (const auto& link : newcomers) link->close();
  for (auto& [id, m] : members_) {
    if (m.dialled) m.dialled->close();
    const auto accepted = m.accepted;
    for (const auto& link : accepted) link->close();
  }
}

void peer_links::note_failure(const std::string& address, const error& why) {
  if (const auto count = failures_.pass(std::chrono::steady_clock::now()))
    core_.log.info("metadata", "no connection to the node at " + address + " yet: " + why.message() +
                                   (*count > 1 ? " (" + std::to_string(*count) + " times)" : ""));
}

void peer_links::maintain(steady_time now, const std::set<member_id>& wanted, bool searching) {
  if (stopped_ || core_.is_fenced()) return;
  for (const auto& id : wanted) {
    if (id == self_.member) continue;
    const auto at = members_.find(id);
    if (at != members_.end() && at->second.dialled && at->second.dialled->is_open()) continue;
    begin_dial(address_of(id), id, now);
  }
  if (!searching) return;
  for (const auto& seed : core_.options.seeds) {
    const auto known = targets_.find(seed);
    if (known != targets_.end() && !known->second.found.is_nil() && linked(known->second.found)) continue;
    begin_dial(seed, {}, now);
  }
}

void peer_links::begin_dial(const std::string& address, const member_id& expected, steady_time now) {
  if (address.empty() || address == core_.options.who.address) return;
  auto& t = targets_[address];
  if (t.busy || now < t.next) return;
  t.busy = true;
  if (t.backoff.count() == 0) t.backoff = core_.limits.redial_min;
  asio::co_spawn(
      core_.io, [self = shared_from_this(), address, expected] { return self->dial(address, expected); },
      asio::detached);
}

asio::awaitable<void> peer_links::dial(std::string address, member_id expected) {
  bool met = false;
  const auto outcome = co_await dial_once(address, expected, met);
  auto& t = targets_[address];
  t.busy = false;
  if (stopped_) co_return;
  if (!outcome && !core_.is_fenced()) {
    note_failure(address, outcome.error());
    // Refused, or reset by a system that came up again: whoever is only cut off answers nothing.
    if (!expected.is_nil() && outcome.error().code() == errc::unavailable && !linked(expected))
      owner_.nobody_there(expected);
  }
  t.backoff = met ? core_.limits.redial_min : std::min(t.backoff * 2, core_.limits.redial_max);
  // A little randomness keeps a hundred members from dialling a returned voter in step.
  t.next = std::chrono::steady_clock::now() + t.backoff / 2 +
           std::chrono::milliseconds(random_() % static_cast<std::uint32_t>(t.backoff.count() / 2 + 1));
}

/// Connects, greets and serves the connection until it ends. `met`: it was up.
asio::awaitable<result<void>> peer_links::dial_once(std::string address, member_id expected, bool& met) {
  TROUPE_CO_TRY(const auto endpoint, transport::parse_endpoint(address));
  transport::dial_request request;
  request.to = endpoint;
  request.protocol = transport::protocol::raft;
  request.self = self_;
  request.from = core_.options.dial_from;
  request.expected = expected;
  request.deadline = after(core_.limits.dial_time_max);
  TROUPE_CO_TRY(auto connection, co_await transport::dial(std::move(request)));
  if (stopped_) co_return error{errc::cancelled, "stopped"};
  self_.cluster = connection.peer().cluster;
  auto link =
      std::make_shared<peer_link>(transport::framed(std::move(connection)), core_.io, core_.limits.write_time_max);
  targets_[address].found = link->member();
  newcomers_.insert(link);
  link->start();
  link->push(frame_type::hello, codec::encode(owner_.greeting()));
  const auto first = co_await link->read(after(core_.limits.dial_time_max));
  newcomers_.erase(link);
  if (!first || stopped_) {
    link->close();
    co_return first ? error{errc::cancelled, "stopped"} : first.error();
  }
  if (first->type == static_cast<std::uint16_t>(frame_type::fenced)) {
    const auto said = codec::decode<wire::fenced>(first->payload, "fenced");
    link->close();
    const auto reason = said ? said->reason : std::string("no reason given");
    owner_.fenced_by(reason);
    co_return error{errc::aborted, reason};
  }
  const auto said = first->type == static_cast<std::uint16_t>(frame_type::welcome)
                        ? codec::decode<wire::welcome>(first->payload, "welcome")
                        : error{errc::corrupted, "a frame of type " + std::to_string(first->type) + " for a welcome"};
  if (!said) {
    link->close();
    co_return said.error();
  }
  const auto member = link->member();
  if (!meet(link, said->self)) {
    link->close();
    co_return error{errc::failed_precondition, "it is an earlier start of that node"};
  }
  met = true;
  auto& place = members_[member].dialled;
  if (place && place != link) place->close();
  place = link;
  owner_.hinted(said->leader);
  owner_.came(link->peer());
  co_await read_all(link, core_.limits.lease);
  ended(link);
  co_return ok();
}

void peer_links::accept(transport::connection stream) {
  if (stopped_ || newcomers_.size() >= newcomers_max) return;  // closed by its destructor
  auto link = std::make_shared<peer_link>(transport::framed(std::move(stream)), core_.io, core_.limits.write_time_max);
  newcomers_.insert(link);
  link->start();
  asio::co_spawn(
      core_.io, [self = shared_from_this(), link] { return self->serve(link); }, asio::detached);
}

asio::awaitable<void> peer_links::serve(std::shared_ptr<peer_link> link) {
  const auto first = co_await link->read(after(troupe::limits::handshake_time_max));
  newcomers_.erase(link);
  if (!first || stopped_ || first->type != static_cast<std::uint16_t>(frame_type::hello)) co_return link->close();
  const auto said = codec::decode<wire::hello>(first->payload, "hello");
  if (!said) co_return link->close();
  if (!meet(link, *said)) {
    // What was refused is read to its end, so that the refusal is not lost in a reset.
    for (;;) {
      const auto more = co_await link->read(after(core_.limits.lease));
      if (!more) break;
    }
    co_return link->close();
  }
  auto& m = members_[link->member()];
  m.accepted.insert(link);
  if (const auto at = targets_.find(m.address); at != targets_.end())
    at->second.next = {};  // it is there: dial at once
  link->push(frame_type::welcome, codec::encode(wire::welcome{owner_.greeting(), owner_.leader_known()}));
  owner_.came(link->peer());
  // The dialler speaks up every heartbeat interval; twice the lease leaves the judgement to the failure detector.
  co_await read_all(link, core_.limits.lease * 2);
  ended(link);
}

bool peer_links::meet(const std::shared_ptr<peer_link>& link, const wire::hello& said) {
  const auto refuse = [&](const std::string& reason) {
    link->dismiss(codec::encode(wire::fenced{reason}));
    return false;
  };
  if (said.member != link->member() || said.incarnation != link->incarnation())
    return refuse("it says that it is another than it proved to be");
  auto& m = members_[link->member()];
  if (link->incarnation() < m.incarnation)
    return refuse("a later start of its data directory is known, at " + m.address);
  if (const auto reason = owner_.refuses(link->peer(), said)) return refuse(*reason);
  if (link->incarnation() > m.incarnation) dismiss_older(link->member(), link->incarnation(), said.address);
  note_address(link->member(), link->incarnation(), said.address);
  return true;
}

asio::awaitable<void> peer_links::read_all(std::shared_ptr<peer_link> link, std::chrono::milliseconds silence_max) {
  while (link->is_open() && !stopped_) {
    auto f = co_await link->read(after(silence_max));
    if (!f) break;
    if (stopped_ || !link->is_open()) break;
    if (f->type == static_cast<std::uint16_t>(frame_type::fenced)) {
      const auto said = codec::decode<wire::fenced>(f->payload, "fenced");
      owner_.fenced_by(said ? said->reason : std::string("no reason given"));
      break;
    }
    owner_.received(*link, std::move(*f));
  }
  link->close();
}

void peer_links::ended(const std::shared_ptr<peer_link>& link) {
  link->close();
  auto& m = members_[link->member()];
  if (m.dialled == link) m.dialled.reset();
  m.accepted.erase(link);
  if (stopped_ || linked(link->member()) || link->incarnation() < m.incarnation) return;
  owner_.went(link->peer());
}

}  // namespace troupe::actors
