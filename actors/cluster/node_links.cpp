#include <actors/cluster/basp_bridge.hpp>
#include <actors/cluster/node_links.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <map>
#include <mutex>
#include <set>
#include <troupe/transport/awaiting.hpp>
#include <troupe/transport/dial.hpp>
#include <troupe/transport/endpoint.hpp>

namespace troupe::actors {
namespace {

using namespace std::chrono_literals;
constexpr auto dial_time_max = 3s;
constexpr auto hello_time_max = 5s;
constexpr auto pause_min = 20ms;
constexpr auto pause_max = 1000ms;
/// How long the gate's registration of an accepted connection is kept while its hello has not come.
constexpr auto accepted_without_hello_max = 8s;

using tickets = std::vector<std::shared_ptr<void>>;

struct peer_link {
  member_id member;
  troupe::incarnation incarnation;
  tickets kept;                 ///< the gate's registration, for an accepted link
  std::function<void()> ended;  ///< for a dialled one
};

}  // namespace

struct node_links::impl : std::enable_shared_from_this<node_links::impl> {
  explicit impl(node_links_parts p) : parts(std::move(p)) {}

  node_links_parts parts;
  caf::actor link_actor;
  std::function<void()> unobserve;
  std::mutex mutex;
  std::set<member_id> dialling;           ///< a coroutine of ours looks after this member
  std::map<member_id, tickets> accepted;  ///< connections whose hello has not come yet
  bool stopped = false;

  struct target {
    std::string address;
    troupe::incarnation incarnation;
  };
  /// Where to dial, if metadata still wants a link to that member and it is ours to dial.
  std::optional<target> wanted(member_id id) const {
    return parts.metadata.read([&](const metadata::state& s) -> std::optional<target> {
      const auto* m = s.find_member(id);
      if (m == nullptr || id == parts.self.member || !(parts.self.member < id)) return std::nullopt;
      if (m->state != metadata::member_state::alive && m->state != metadata::member_state::suspect) return std::nullopt;
      return target{m->address, m->incarnation};
    });
  }

  void look() {
    std::vector<member_id> ids;
    parts.metadata.read([&](const metadata::state& s) {
      for (const auto& [id, m] : s.members()) ids.push_back(id);
      return 0;
    });
    for (const auto id : ids)
      if (wanted(id)) begin(id);
  }

  void begin(member_id id) {
    {
      const std::lock_guard lock(mutex);
      if (stopped || !dialling.insert(id).second) return;
    }
    auto self = shared_from_this();
    boost::asio::co_spawn(
        boost::asio::make_strand(parts.io), [self, id]() { return self->look_after(id); }, boost::asio::detached);
  }

  /// Dials the member, stays while the link lives, dials again; ends when nobody wants the link any more.
  boost::asio::awaitable<void> look_after(member_id id) {
    std::chrono::milliseconds pause = pause_min;
    std::string said;
    for (;;) {
      std::optional<target> to = wanted(id);
      {
        const std::lock_guard lock(mutex);
        if (stopped || !to) {
          dialling.erase(id);
          break;
        }
      }
      const auto ended = co_await link_once(id, *to);
      if (ended) {
        pause = pause_min;
        said.clear();
      } else {
        if (ended.error().message() != said)
          parts.log.info("links", "no link to " + to->address + " yet: " + ended.error().message());
        said = ended.error().message();
      }
      co_await transport::sleep_until(transport::after(pause));
      pause = std::min<std::chrono::milliseconds>(pause * 2, pause_max);
    }
    // A registration that came between the look and the erase has found us still dialling.
    if (wanted(id)) begin(id);
  }

  /// ok when the link was up and has ended.
  boost::asio::awaitable<result<void>> link_once(member_id id, target to) {
    transport::dial_request request;
    const auto endpoint = transport::parse_endpoint(to.address);
    if (!endpoint) co_return endpoint.error();
    request.to = *endpoint;
    request.protocol = transport::protocol::basp;
    request.self = parts.self;
    request.from = parts.dial_from;
    request.expected = id;
    request.deadline = transport::after(dial_time_max);
    auto stream = co_await transport::dial(request);
    if (!stream) co_return stream.error();
    auto released = stream->release_fd();
    if (!released) co_return released.error();
    const auto other = co_await transport::await_result<caf::actor>(
        [&](auto then) {
          parts.bridge.connect(released->fd, std::chrono::duration_cast<std::chrono::milliseconds>(hello_time_max),
                               std::move(then));
        },
        transport::after(hello_time_max + 1s));
    if (!other) co_return other.error();
    auto ended = std::make_shared<transport::notifier>();
    const auto seen = ended->generation();
    const auto hello = co_await transport::await_result<void>(
        [&](auto then) { greet(*other, released->peer.member, std::move(then), [ended] { ended->notify_all(); }); },
        transport::after(hello_time_max + 1s));
    if (!hello) co_return hello.error();
    while (!co_await ended->wait(seen, transport::after(60s))) {
      const std::lock_guard lock(mutex);
      if (stopped) break;
    }
    co_return ok();
  }

  /// Dialling side: says who we are and learns the other's gateway.
  void greet(const caf::actor& other, member_id expected, const std::function<void(result<void>)>& then,
             const std::function<void()>& ended);
  void arrived(caf::event_based_actor* self, const message::link_hello& from, const caf::actor& gateway,
               std::function<void()> ended);
};

namespace {

/// A call into the link actor, from any thread.
using task = std::function<void(caf::event_based_actor*)>;

struct link_state {
  std::map<caf::actor_addr, peer_link> links;  ///< by the peer's gateway
  static inline const char* name = "links";
};

}  // namespace

}  // namespace troupe::actors

/// Never leaves the process: it carries a call into the link actor.
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(std::shared_ptr<std::function<void(caf::event_based_actor*)>>)

namespace troupe::actors {

void add_link_messages(caf::actor_system_config& config) {
  config.add_message_type<message::link_hello>("troupe::message::link_hello");
}

node_links::node_links(node_links_parts parts) : impl_(std::make_shared<impl>(std::move(parts))) {}
node_links::~node_links() { stop(); }

void node_links::impl::arrived(caf::event_based_actor* self, const message::link_hello& from, const caf::actor& gateway,
                               std::function<void()> ended) {
  auto& links = static_cast<caf::stateful_actor<link_state>*>(self)->state.links;
  peer_link link{from.member, from.incarnation, {}, std::move(ended)};
  {
    const std::lock_guard lock(mutex);
    if (const auto at = accepted.find(from.member); at != accepted.end()) {
      link.kept = std::move(at->second);
      accepted.erase(at);
    }
  }
  self->monitor(gateway);
  links[gateway.address()] = std::move(link);
  parts.connected(from.member, from.incarnation, gateway);
}

void node_links::impl::greet(const caf::actor& other, member_id expected, const std::function<void(result<void>)>& then,
                             const std::function<void()>& ended) {
  auto me = shared_from_this();
  auto work = std::make_shared<task>([me, other, expected, then, ended](caf::event_based_actor* self) {
    self->request(other, hello_time_max, message::link_hello{me->parts.self.member, me->parts.self.incarnation},
                  me->parts.gateway)
        .then(
            [me, self, expected, then, ended](const message::link_hello& from, const caf::actor& gateway) {
              if (from.member != expected)
                return then(error{errc::failed_precondition, "the other side of the link says it is another member"});
              me->arrived(self, from, gateway, ended);
              then(ok());
            },
            [then](const caf::error& e) {
              then(error{errc::unavailable, "no greeting on the link: " + caf::to_string(e)});
            });
  });
  caf::anon_send(link_actor, std::move(work));
}

void node_links::start() {
  auto me = impl_;
  me->link_actor = me->parts.system.spawn([me](caf::stateful_actor<link_state>* self) -> caf::behavior {
    self->set_down_handler([me, self](const caf::down_msg& down) {
      const auto at = self->state.links.find(down.source);
      if (at == self->state.links.end()) return;
      auto link = std::move(at->second);
      self->state.links.erase(at);
      const bool replaced = std::any_of(self->state.links.begin(), self->state.links.end(),
                                        [&](const auto& other) { return other.second.member == link.member; });
      if (!replaced) me->parts.lost(link.member);
      if (link.ended) link.ended();
    });
    return {
        [me, self](const message::link_hello& from,
                   const caf::actor& gateway) -> caf::result<message::link_hello, caf::actor> {
          me->arrived(self, from, gateway, {});
          return {message::link_hello{me->parts.self.member, me->parts.self.incarnation}, me->parts.gateway};
        },
        [self](const std::shared_ptr<task>& work) { (*work)(self); },
    };
  });
  std::weak_ptr<impl> weak = me;
  me->unobserve = me->parts.metadata.observe([weak](log_index, const metadata::command& c,
                                                    const result<metadata::response>&, const metadata::state&) {
    if (!std::holds_alternative<metadata::register_member>(c) && !std::holds_alternative<metadata::set_member_state>(c))
      return;
    // The observer runs under the metadata thread's lock; looking again happens elsewhere.
    if (auto self = weak.lock()) boost::asio::post(self->parts.io, [self] { self->look(); });
  });
  me->look();
}

void node_links::accept(transport::connection stream) {
  auto released = stream.release_fd();
  if (!released)
    return impl_->parts.log.warning("links", "a connection could not be handed to CAF: " + released.error().message());
  const auto member = released->peer.member;
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->stopped || !impl_->link_actor) return;
    impl_->accepted[member] = std::move(released->tickets);
  }
  impl_->parts.bridge.accept(released->fd, impl_->link_actor);
  // Should no hello come, the registration must not block the member's next try for ever.
  auto me = impl_;
  boost::asio::co_spawn(
      impl_->parts.io,
      [me, member]() -> boost::asio::awaitable<void> {
        co_await transport::sleep_until(transport::after(accepted_without_hello_max));
        const std::lock_guard lock(me->mutex);
        me->accepted.erase(member);
      },
      boost::asio::detached);
}

void node_links::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->stopped) return;
    impl_->stopped = true;
    impl_->accepted.clear();
  }
  if (impl_->unobserve) impl_->unobserve();
  if (impl_->link_actor) {
    // An actor that ever sent to another process stays in CAF's registry until it quits.
    caf::scoped_actor self{impl_->parts.system};
    self->send_exit(impl_->link_actor, caf::exit_reason::user_shutdown);
    self->wait_for(impl_->link_actor);
    impl_->link_actor = nullptr;
  }
}

}  // namespace troupe::actors
