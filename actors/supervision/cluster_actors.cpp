#include <actors/monitoring/metadata_events.hpp>
#include <actors/supervision/cluster_actors.hpp>
#include <actors/supervision/node_supervisor.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <condition_variable>
#include <mutex>

namespace troupe::actors {

namespace {

using namespace std::chrono_literals;
constexpr auto stop_time_max = 5s;

error late(std::string_view what) {
  return error{errc::deadline_exceeded, std::string(what) + " did not come in time"};
}

}  // namespace

void add_cluster_messages(caf::actor_system_config& config) {
  config.add_message_types<caf::id_block::troupe_cluster>();
}

struct cluster_actors::impl {
  caf::actor_system& system;
  std::shared_ptr<const node_context> context;
  caf::actor root;
  std::function<void()> unobserve;

  std::mutex mutex;
  peer_map peers;  ///< this node included
  bool stopped = false;

  /// What the node supervisor must hear of a command, if anything. On the metadata thread: hands over only.
  void applied(const metadata::command& what, const result<metadata::response>& answer, const metadata::state& s) {
    if (!answer) return;
    local::metadata_changed change;
    std::visit(
        [&](const auto& c) {
          using type = std::decay_t<decltype(c)>;
          if constexpr (std::is_same_v<type, metadata::register_member> ||
                        std::is_same_v<type, metadata::set_member_state> ||
                        std::is_same_v<type, metadata::remove_member>)
            change.members = true;
          else if constexpr (std::is_same_v<type, metadata::create_job>)
            change.job = answer->job;
          else if constexpr (requires { c.job; })
            change.job = c.job;
          else if constexpr (std::is_same_v<type, metadata::report_damage> ||
                             std::is_same_v<type, metadata::add_holder> ||
                             std::is_same_v<type, metadata::remove_holder>)
            change.segment = c.segment;
          else if constexpr (std::is_same_v<type, metadata::seal_and_open>) {
            if (c.seal) change.segment = c.seal->id;
          }
        },
        what);
    if (change.members || change.job.value != 0 || change.segment.value != 0) caf::anon_send(root, change);
    auto happenings = describe_shortages(what, answer, s);
    if (auto change_text = describe_change(what, answer, s))
      happenings.insert(happenings.begin(), std::move(*change_text));
    for (auto& h : happenings) {
      h.sender = context->self();
      caf::anon_send(root, std::move(h));
    }
  }

  peer_map everyone() {
    std::lock_guard lock(mutex);
    return stopped ? peer_map{} : peers;
  }
};

cluster_actors::cluster_actors(caf::actor_system& system, metadata::service& metadata, node_ports& ports,
                               telemetry::journal& journal, cluster_actors_config config)
    : impl_(new impl{system,
                     std::make_shared<node_context>(node_context{metadata, ports, journal, std::move(config)}),
                     {},
                     {},
                     {},
                     {},
                     false}) {}

cluster_actors::~cluster_actors() { stop(); }

void cluster_actors::start() {
  auto& i = *impl_;
  i.root = i.system.spawn<node_supervisor>(i.context);
  {
    std::lock_guard lock(i.mutex);
    i.peers[i.context->config.self] = {i.context->config.incarnation, i.root};
  }
  i.unobserve = i.context->metadata.observe([weak = std::weak_ptr(impl_)](log_index, const metadata::command& what,
                                                                          const result<metadata::response>& answer,
                                                                          const metadata::state& s) {
    if (const auto self = weak.lock()) self->applied(what, answer, s);
  });
  // What was applied between the two lines above is seen by this look.
  caf::anon_send(i.root, local::metadata_changed{true, {}, {}});
}

void cluster_actors::stop() {
  auto& i = *impl_;
  {
    std::lock_guard lock(i.mutex);
    if (std::exchange(i.stopped, true)) return;
    i.peers.clear();
  }
  if (i.unobserve) i.unobserve();
  if (!i.root) return;
  caf::scoped_actor self(i.system);
  self->monitor(i.root);
  self->send(i.root, local::stop{});
  bool ended = false;
  self->receive([&](const caf::down_msg&) { ended = true; }, caf::after(stop_time_max) >> [] {});
  if (!ended) self->send_exit(i.root, caf::exit_reason::kill);
  i.root = {};
}

caf::actor cluster_actors::gateway() const { return impl_->root; }

void cluster_actors::peer_connected(member_id peer, troupe::incarnation incarnation, caf::actor gateway) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopped) return;
    impl_->peers[peer] = {incarnation, gateway};
  }
  caf::anon_send(impl_->root, local::peer_connected{peer, incarnation, std::move(gateway)});
}

void cluster_actors::peer_lost(member_id peer) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopped) return;
    impl_->peers.erase(peer);
  }
  caf::anon_send(impl_->root, local::peer_lost{peer});
}

void cluster_actors::lease_changed(std::string why) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopped) return;
  }
  caf::anon_send(impl_->root, local::lease_changed{std::move(why)});
}

// Questions: a short-lived actor each, which ends with its answer or its deadline

void cluster_actors::job_status(job_id job, clock_duration deadline,
                                std::function<void(result<message::job_status>)> then) {
  const auto supervisor = impl_->context->metadata.read([&](const metadata::state& s) -> std::optional<member_id> {
    const auto* j = s.find_job(job);
    return j == nullptr ? std::nullopt : j->supervisor;
  });
  const auto peers = impl_->everyone();
  if (!supervisor)
    return then(
        error{errc::not_found, "job " + to_string(job) + " has no supervisor: it has ended, or does not exist"});
  const auto found = peers.find(*supervisor);
  if (found == peers.end())
    return then(error{errc::unavailable, "the node that supervises job " + to_string(job) + " cannot be reached"});
  impl_->system.spawn(
      [gateway = found->second.gateway, job, deadline, then = std::move(then)](caf::event_based_actor* self) {
        self->request(gateway, deadline, message::job_status_query{job})
            .then(
                [then, job](message::job_status& status) {
                  if (status.known) return then(std::move(status));
                  then(error{errc::not_found, "job " + to_string(job) + " has no supervisor there"});
                },
                [then](const caf::error&) { then(late("the job's status")); });
      });
}

void cluster_actors::job_logs(job_id job, std::uint64_t after, std::uint32_t limit, clock_duration deadline,
                              std::function<void(result<message::job_log_page>)> then) {
  // Supervisors may have moved, and of an ended job metadata does not know the last: everyone is asked, the one with
  // the most recent lines counts.
  struct collected {
    std::size_t waiting = 0;
    message::job_log_page best;
    bool any = false;
  };
  const auto peers = impl_->everyone();
  if (peers.empty()) return then(error{errc::cancelled, "this node is stopping"});
  impl_->system.spawn([peers, job, after, limit, deadline, then = std::move(then)](caf::event_based_actor* self) {
    const auto all = std::make_shared<collected>();
    all->waiting = peers.size();
    all->best.job = job;
    const auto one_less = [all, then] {
      if (--all->waiting > 0) return;
      if (all->any)
        then(std::move(all->best));
      else
        then(late("the job's log"));
    };
    for (const auto& [id, p] : peers)
      self->request(p.gateway, deadline, message::job_log_query{job, after, limit})
          .then(
              [all, one_less](message::job_log_page& page) {
                all->any = true;
                if (page.known &&
                    (!all->best.known || page.first + page.lines.size() > all->best.first + all->best.lines.size()))
                  all->best = std::move(page);
                one_less();
              },
              [one_less](const caf::error&) { one_less(); });
  });
}

namespace {

/// Reads one node's tree page by page.
struct tree_reading : std::enable_shared_from_this<tree_reading> {
  caf::event_based_actor* self;
  caf::actor gateway;
  std::chrono::steady_clock::time_point deadline;
  std::vector<message::tree_entry> entries;
  std::function<void(bool whole)> done;

  void next() {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    self->request(gateway, std::max<std::chrono::milliseconds>(left, 1ms),
                  message::tree_query{static_cast<std::uint32_t>(entries.size())})
        .then(
            [me = shared_from_this()](message::tree_page& page) {
              me->entries.insert(me->entries.end(), page.entries.begin(), page.entries.end());
              if (page.more && !page.entries.empty() && me->entries.size() < 10'000) return me->next();
              me->done(true);
            },
            [me = shared_from_this()](const caf::error&) { me->done(false); });
  }
};

}  // namespace

void cluster_actors::tree(clock_duration deadline, std::function<void(result<std::vector<message::tree_entry>>)> then) {
  struct node {
    std::string name;
    metadata::member_state state;
    std::uint32_t pid;
    caf::actor gateway;
  };
  const auto peers = impl_->everyone();
  std::vector<node> nodes;
  impl_->context->metadata.read([&](const metadata::state& s) {
    for (const auto& [id, m] : s.members()) {
      if (m.state == metadata::member_state::left) continue;
      const auto found = peers.find(id);
      const bool same = found != peers.end() && found->second.incarnation == m.incarnation;
      nodes.push_back({m.name, m.state, m.pid, same ? found->second.gateway : caf::actor()});
    }
  });
  std::sort(nodes.begin(), nodes.end(), [](const node& a, const node& b) { return a.name < b.name; });
  if (nodes.empty()) return then(std::vector<message::tree_entry>{});
  impl_->system.spawn([nodes, deadline, then = std::move(then)](caf::event_based_actor* self) {
    const auto answers = std::make_shared<std::vector<std::vector<message::tree_entry>>>(nodes.size());
    const auto waiting = std::make_shared<std::size_t>(nodes.size());
    const auto one_less = [answers, waiting, then] {
      if (--*waiting > 0) return;
      std::vector<message::tree_entry> all;
      for (auto& a : *answers) all.insert(all.end(), a.begin(), a.end());
      then(std::move(all));
    };
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const auto& n = nodes[i];
      const auto silent = [answers, i, n](const char* state) {
        (*answers)[i] = {{n.name, {}, "node", n.name, n.name, state, 0, n.pid, {}}};
      };
      if (!n.gateway || n.state == metadata::member_state::dead) {
        silent(n.state == metadata::member_state::dead ? "dead" : "unreachable");
        one_less();
        continue;
      }
      const auto reading = std::make_shared<tree_reading>();
      reading->self = self;
      reading->gateway = n.gateway;
      reading->deadline = std::chrono::steady_clock::now() + deadline;
      reading->done = [answers, i, one_less, silent, weak = std::weak_ptr(reading)](bool whole) {
        const auto r = weak.lock();
        if (whole && r)
          (*answers)[i] = std::move(r->entries);
        else
          silent("unreachable");
        one_less();
      };
      reading->next();
    }
  });
}

}  // namespace troupe::actors
