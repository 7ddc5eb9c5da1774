#include <actors/cluster/metadata_core.hpp>
#include <actors/cluster/metadata_member.hpp>
#include <actors/cluster/metadata_node.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

namespace troupe::actors {
namespace asio = boost::asio;

/// Between acceptors, which may outlive the node, and the node.
struct metadata_node::door {
  std::mutex mutex;
  asio::io_context* io = nullptr;  ///< null once the node has stopped
  std::shared_ptr<metadata_role> role;
};

metadata_node::metadata_node(metadata_options options, telemetry::logger& log, telemetry::metrics& metrics)
    : io_(std::make_unique<asio::io_context>(1)),
      core_(std::make_shared<metadata_core>(std::move(options), log, metrics, *io_, mutex_, state_)),
      door_(std::make_shared<door>()) {}

result<std::unique_ptr<metadata_node>> metadata_node::open(metadata_options options, telemetry::logger& log,
                                                           telemetry::metrics& metrics) {
  if (options.self.member.is_nil() || options.self.incarnation.value == 0)
    return error{errc::invalid_argument, "a node needs a member id and an incarnation above 0"};
  if (options.bootstrap && options.self.cluster.is_nil())
    return error{errc::invalid_argument, "a node that begins a cluster needs a cluster id"};
  std::unique_ptr<metadata_node> node(new metadata_node(std::move(options), log, metrics));
  TROUPE_TRY(node->member_, metadata_member::open(*node->core_));
  return node;
}

metadata_node::~metadata_node() { stop(); }

void metadata_node::start(std::function<void(result<joined>)> then) {
  if (started_.exchange(true) || stopped_)
    return then(error{errc::failed_precondition, "the metadata service was started already"});
  const std::shared_ptr<metadata_role> role = member_;
  {
    const std::lock_guard lock(door_->mutex);
    door_->io = io_.get();
    door_->role = role;
  }
  asio::post(*io_, [this, role, then = std::move(then)]() mutable {
    core_->start(role);
    core_->register_self([this, then = std::move(then)](result<std::string> name) {
      if (!name) return then(name.error());
      then(joined{member_->cluster(), std::move(*name), core_->leader().first});
    });
  });
  thread_ = std::thread([this] {
    const auto guard = asio::make_work_guard(*io_);
    io_->run();
  });
}

void metadata_node::stop() {
  if (stopped_.exchange(true)) return;
  {
    const std::lock_guard lock(door_->mutex);
    door_->io = nullptr;
    door_->role.reset();
  }
  core_->close();
  asio::post(*io_, [this] { io_->stop(); });  // behind close's own work, so every request has its answer
  if (thread_.joinable())
    thread_.join();
  else
    io_->run();                   // never started
  if (member_) member_->close();  // it may not have been opened
  member_.reset();
  core_->drop_role();
  io_.reset();  // ends the coroutines, which hold the last references to sessions and roles
}

std::function<void(transport::connection)> metadata_node::acceptor() {
  return [door = door_](transport::connection stream) {
    const std::lock_guard lock(door->mutex);
    if (door->io == nullptr) return;
    auto moved = stream.move_to(door->io->get_executor());
    if (!moved) return;
    asio::post(*door->io, [role = door->role, s = std::make_shared<transport::connection>(std::move(*moved))] {
      role->accept(std::move(*s));
    });
  };
}

void metadata_node::propose(metadata::command what, request_id id, std::uint32_t deadline_ms, reply then) {
  core_->propose(std::move(what), id, std::chrono::milliseconds(deadline_ms), std::move(then));
}

void metadata_node::barrier(std::uint32_t deadline_ms, std::function<void(result<void>)> then) {
  core_->barrier(std::chrono::milliseconds(deadline_ms), std::move(then));
}

std::function<void()> metadata_node::observe(observer f) { return core_->observe(std::move(f)); }

member_id metadata_node::leader() const { return core_->leader().first; }

std::vector<member_id> metadata_node::voters() const { return member_->voters(); }

bool metadata_node::may_act() const noexcept {
  return std::chrono::steady_clock::now().time_since_epoch().count() < core_->acts_until_ns;
}

metadata_status metadata_node::status() const {
  metadata_status s;
  s.leads = member_->leads();
  s.connected = core_->connected;
  s.lease_holds = may_act();
  s.applied = log_index{core_->applied};
  std::tie(s.leader, s.leader_address) = core_->leader();
  return s;
}

}  // namespace troupe::actors
