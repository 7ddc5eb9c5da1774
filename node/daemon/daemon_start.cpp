#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <troupe/base/text.hpp>
#include <troupe/base/version.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/transport/endpoint.hpp>

#include "node/daemon/daemon_impl.hpp"
#include "node/daemon/ready_file.hpp"

namespace troupe::node {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t slab_bytes_max = 16ULL << 20;
constexpr std::uint64_t slab_bytes_min = 2ULL << 20;
constexpr std::uint64_t slabs_min = 8;  ///< of a block store: fewer than that leave no reserves
constexpr std::uint32_t warm_slabs_max = 8;

std::uint64_t machine_memory() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
}

/// Large slabs are mapped seldom; but a small budget has to give every worker two of them, from three quarters of it.
std::uint64_t slab_bytes_for(std::uint64_t budget, std::uint32_t workers) {
  auto bytes = slab_bytes_max;
  while (bytes > slab_bytes_min && (budget / bytes < slabs_min || budget / bytes * 3 / 4 < 2ULL * workers)) bytes /= 2;
  return bytes;
}

}  // namespace

std::uint32_t daemon::impl::workers_max() const {
  const auto slots = config.slots != 0 ? config.slots : std::max(1U, std::thread::hardware_concurrency());
  return slots + std::max(2U, slots / 2);
}

/// Who this node is: from its directory, or made now. The incarnation grows with every start, before anybody hears of
/// it.
result<void> daemon::impl::load_identity() {
  TROUPE_TRY(auto opened, storage::data_directory::open(config.data));
  directory.emplace(std::move(opened));
  TROUPE_TRY_VOID(write_pid_file(directory->path()));
  TROUPE_TRY(auto known, directory->load_identity());
  if (known) {
    identity = std::move(*known);
    if (!config.name.empty() && !identity.name.empty() && config.name != identity.name)
      return error{errc::invalid_argument, config.data + " belongs to " + identity.name + ", not to " + config.name +
                                               "; leave --name out, or take another directory"};
    // A port that was chosen once stays, so that the others find this node again.
    const auto wanted = transport::parse_endpoint(config.listen);
    if (!wanted) return wanted.error().with_context("--listen");
    if (wanted->port() == 0 && !identity.address.empty()) config.listen = identity.address;
  } else {
    // Without this, `up` after a loss of identity.json would begin another cluster under the same name.
    TROUPE_TRY(const auto left, directory->holds_data());
    if (!left.empty())
      return error{errc::corrupted,
                   config.data + " holds data of a node (" + left +
                       "), but its identity.json is gone. It cannot go on as that node: restore the file, or move the "
                       "whole directory away so that a new node can begin there"};
    if (!config.bootstrap && config.join.empty())
      return error{
          errc::invalid_argument,
          config.data +
              " is a new node: give --bootstrap to begin a cluster with it, or --join HOST:PORT of one that is there"};
    identity.member_id = member_id::random();
    identity.name = config.name;
    if (config.bootstrap) identity.cluster_id = cluster_id::random();
  }
  for (const auto& seed : config.join)
    if (std::find(identity.seeds.begin(), identity.seeds.end(), seed) == identity.seeds.end())
      identity.seeds.push_back(seed);
  identity.incarnation = identity.incarnation.next();
  TROUPE_TRY(card.token, load_token(config));
  TROUPE_TRY_VOID(load_credentials());
  card.cluster = identity.cluster_id;
  card.member = identity.member_id;
  card.incarnation = identity.incarnation;
  return ok();
}

/// What a crash left behind: spill files belong to nobody and go. A segment without its seal stays: it may be a log's
/// open one, whose next leader asks for it; the garbage collector takes those that metadata does not know.
result<void> daemon::impl::open_stores() {
  TROUPE_TRY(const auto purged, directory->purge_spill());
  if (purged > 0) log.info("storage", "removed " + std::to_string(purged) + " spill files of an earlier life");
  keeper.emplace(telemetry::record_keeper::options{},
                 [this](const std::string& trouble) { log.warning("telemetry", trouble); });
  if (const auto kept = journal.keep(*keeper, directory->events_file()); !kept)
    log.warning("telemetry", "events of earlier lives are not shown: " + kept.error().message());
  segments.emplace(directory->segments());
  TROUPE_TRY_VOID(segments->remove_unfinished());
  TROUPE_TRY(const auto there, segments->list());
  for (const auto id : there) {
    const auto reader = segments->open(id);
    if (reader || reader.error().code() == errc::failed_precondition) continue;
    log.warning("storage", "segment " + to_string(id) + " can't be used: " + reader.error().message());
  }
  TROUPE_TRY(auto store, data::module_store::open(directory->modules()));
  modules.emplace(std::move(store));
  // Reading checks the hash, and removes what is damaged: another node may have a good one.
  for (const auto& hash : modules->list())
    if (const auto whole = modules->read(hash); !whole)
      log.warning("modules", whole.error().message() + "; it is fetched anew when a job needs it");
  dataflow::block_store_options options;
  options.spill_directory = directory->spill();
  options.budget_bytes =
      config.memory_bytes != 0 ? config.memory_bytes : std::min<std::uint64_t>(machine_memory() / 8, 1ULL << 30);
  options.slab_bytes = slab_bytes_for(options.budget_bytes, workers_max());
  if (options.budget_bytes < slabs_min * options.slab_bytes)
    return error{errc::invalid_argument, "--memory " + format_bytes(options.budget_bytes) +
                                             " is too little: blocks of jobs need " +
                                             format_bytes(slabs_min * options.slab_bytes) + " at least"};
  options.warm_slabs = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(warm_slabs_max, options.budget_bytes / options.slab_bytes / 4));
  TROUPE_TRY(blocks, dataflow::block_store::open(options));
  config.memory_bytes = options.budget_bytes;
  return ok();
}

result<void> daemon::impl::open_gate() {
  transport::gate_options options;
  TROUPE_TRY(options.listen, transport::parse_endpoint(config.listen));
  gate.emplace(io, options, card, log, metrics);
  return ok();
}

result<void> daemon::impl::join() {
  actors::metadata_options options;
  options.bootstrap = config.bootstrap;
  options.had_log = identity.keeps_log;
  options.log_begins = [this](const troupe::cluster_id& cluster) {
    if (std::exchange(identity.cluster_id, cluster) == cluster) return;
    if (const auto saved = directory->save_identity(identity); !saved)
      log.warning("node", "remembering the cluster of this node: " + saved.error().message());
  };
  // From now on a directory without the log is a damaged one. Either this thread calls, or it waits for `joined`.
  options.log_begun = [this] {
    if (std::exchange(identity.keeps_log, true)) return;
    if (const auto saved = directory->save_identity(identity); !saved)
      log.warning("node", "remembering that this node keeps the metadata log: " + saved.error().message());
  };
  options.limits.gone_after = std::chrono::milliseconds(config.gone_after_ms);
  options.log_directory = directory->raft();
  options.self = card;
  options.seeds = identity.seeds;
  options.who.id = identity.member_id;
  options.who.incarnation = identity.incarnation;
  options.who.name = identity.name;
  options.who.cores = std::max(1U, std::thread::hardware_concurrency());
  options.who.slots = config.slots != 0 ? config.slots : options.who.cores;
  config.slots = options.who.slots;
  options.who.memory_bytes = config.memory_bytes;
  options.who.pid = static_cast<std::uint32_t>(::getpid());
  options.who.version = version_text;
  options.who.started_at_unix_ms = telemetry::now_unix_ms();
  options.fenced = [this](const std::string& reason) {
    if (pool) pool->kill_all();
    finish({true, "fenced: " + reason});
  };
  options.lease_changed = [this](const std::string& why) {
    const std::lock_guard lock(lease_mutex);
    lease_lost = why;
    if (tell_of_lease) tell_of_lease(why);
  };
  TROUPE_TRY(const auto endpoint, transport::parse_endpoint(config.listen));
  options.dial_from = endpoint.address();

  // The port has to be known before the node registers, and the port's handlers need the metadata node: open the gate
  // in between.
  TROUPE_TRY_VOID(open_gate());

  // A gate on port 0 chooses when it starts; it may start now, since peers are refused with `not_ready` until handlers
  // are set.
  TROUPE_TRY_VOID(gate->start());
  const auto address = transport::to_string(gate->local());
  config.listen = identity.address = address;
  TROUPE_TRY_VOID(directory->save_identity(identity));
  TROUPE_TRY_VOID(remember(config));
  options.who.address = address;
  TROUPE_TRY(metadata, actors::metadata_node::open(std::move(options), log, metrics));
  gate->on(transport::protocol::raft, metadata->acceptor());

  std::promise<result<actors::joined>> promise;
  auto joined = promise.get_future();
  auto told = std::make_shared<std::atomic<bool>>(false);
  metadata->start([&promise, told](result<actors::joined> r) {
    if (!told->exchange(true)) promise.set_value(std::move(r));
  });
  log.info("node", "listening on " + address + ", joining");
  // Joining goes on until somebody answers: the user sees why in the log, and SIGTERM ends it.
  while (joined.wait_for(50ms) != std::future_status::ready) {
    const std::lock_guard lock(mutex);
    if (end) {
      if (!told->exchange(true)) promise.set_value(error{errc::cancelled, end->reason});
    }
  }
  auto membership = joined.get();
  if (!membership) return membership.error().with_context("joining the cluster");
  identity.cluster_id = membership->cluster;
  identity.name = membership->name;
  card.cluster = membership->cluster;
  gate->set_identity(card);
  config.name = identity.name;
  TROUPE_TRY_VOID(directory->save_identity(identity));
  return remember(config);
}

/// The addresses of all others, for a restart: the voters among them have to find each other before anybody knows what
/// the metadata says. Those that left too: they may be voters still, and come back.
void daemon::impl::save_seeds() {
  const std::lock_guard lock(seeds_mutex);
  std::vector<std::string> seeds;
  metadata->read([&](const metadata::state& s) {
    for (const auto& [id, m] : s.members())
      if (id != identity.member_id) seeds.push_back(m.address);
    return 0;
  });
  if (seeds.empty() || seeds == identity.seeds) return;
  identity.seeds = std::move(seeds);
  if (const auto saved = directory->save_identity(identity); !saved)
    log.warning("node", "remembering the other nodes: " + saved.error().message());
}

}  // namespace troupe::node
