#pragma once
#include "fake_metadata.hpp"
#include "fake_node.hpp"

#include <actors/supervision/cluster_actors.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <future>
#include <support/catch.hpp>
#include <troupe/telemetry/journal.hpp>

namespace troupe::actors::testing {

using namespace std::chrono_literals;

/// Several nodes' supervisors in one process, linked as peers, over pretended nodes and one metadata state. The real
/// supervisors, trackers and messages.
class fake_cluster {
 public:
  struct node {
    member_id id;
    std::string name;
    std::unique_ptr<fake_node> ports;
    std::unique_ptr<telemetry::journal> journal;
    std::unique_ptr<cluster_actors> actors;
    bool alive = true;
  };

  static constexpr std::uint32_t segments = 6;

  explicit fake_cluster(std::size_t count, std::uint32_t slots = 2, std::uint32_t copies = 2) {
    add_cluster_messages(config_);
    config_.set("scheduler.max-threads", 2U);
    system_ = std::make_unique<caf::actor_system>(config_);
    for (std::size_t i = 0; i < count; ++i) {
      node n;
      n.id.value.octets[0] = static_cast<std::uint8_t>(i + 1);
      n.name = "node" + std::to_string(i + 1);
      metadata::member who;
      who.id = n.id;
      who.name = n.name;
      who.address = "127.0.0.1:" + std::to_string(7'000 + i);
      who.incarnation = troupe::incarnation(1);
      who.slots = slots;
      REQUIRE(metadata.commit(metadata::register_member{who}));
      nodes.push_back(std::move(n));
    }
    load(copies);
    for (auto& n : nodes) start(n, slots);
    for (auto& a : nodes)
      for (auto& b : nodes)
        if (&a != &b) a.actors->peer_connected(b.id, troupe::incarnation(1), b.actors->gateway());
  }

  ~fake_cluster() {
    for (auto& n : nodes)
      if (n.actors) n.actors->stop();
    for (auto& n : nodes) n.ports->join();
    for (auto& n : nodes) n.actors.reset();
    system_.reset();
  }

  result<metadata::response> submit(const std::string& job, const std::string& output,
                                    const std::string& input = "corpus") {
    metadata::create_job c;
    c.job_name = job;
    c.inputs = {input};
    c.output = output;
    return metadata.commit(std::move(c));
  }

  metadata::job wait_end(job_id id, std::chrono::milliseconds most = 30s) {
    const bool ended =
        metadata.wait_for([&](const metadata::state& s) { return !s.running_jobs().contains(id); }, most);
    REQUIRE(ended);
    return metadata.read([&](const metadata::state& s) { return *s.find_job(id); });
  }

  node& supervisor_of(job_id id) {
    const auto who = metadata.read([&](const metadata::state& s) { return s.find_job(id)->supervisor; });
    REQUIRE(who.has_value());
    for (auto& n : nodes)
      if (n.id == *who) return n;
    throw std::logic_error("no such node");
  }

  /// As kill -9: its actors stop without a word, its peers lose the link, the failure detector says so.
  void kill(node& n) {
    n.alive = false;
    {
      std::lock_guard lock(world.mutex);
      world.dead.insert(n.id);
    }
    for (auto& other : nodes)
      if (other.alive) other.actors->peer_lost(n.id);
    for (auto& other : nodes) n.actors->peer_lost(other.id);
    n.actors->stop();
    world.changed.notify_all();
    REQUIRE(metadata.commit(
        metadata::set_member_state{n.id, troupe::incarnation(1), metadata::member_state::dead, "killed by the test"}));
  }

  template <class T>
  static result<T> wait(std::function<void(std::function<void(result<T>)>)> ask) {
    auto promise = std::make_shared<std::promise<result<T>>>();
    auto answer = promise->get_future();
    ask([promise](result<T> r) { promise->set_value(std::move(r)); });
    REQUIRE(answer.wait_for(20s) == std::future_status::ready);
    return answer.get();
  }

  fake_world world;
  fake_metadata metadata;
  std::vector<node> nodes;

 private:
  void start(node& n, std::uint32_t slots) {
    std::set<segment_id> here;
    metadata.read([&](const metadata::state& s) {
      for (const auto& [id, d] : s.datasets())
        for (const auto& p : d.partitions)
          for (const auto& segment : p.segments)
            if (std::count(segment.holders.begin(), segment.holders.end(), n.id) > 0) here.insert(segment.id);
    });
    n.ports = std::make_unique<fake_node>(world, n.id, here);
    n.journal = std::make_unique<telemetry::journal>();
    cluster_actors_config c;
    c.self = n.id;
    c.incarnation = troupe::incarnation(1);
    c.name = n.name;
    c.slots = slots;
    c.escalated = [](const std::string& why) { FAIL("escalated: " << why); };
    n.actors = std::make_unique<cluster_actors>(*system_, metadata, *n.ports, *n.journal, c);
    n.actors->start();
  }

  void load(std::uint32_t copies) {
    metadata::load_module m;
    m.module.hash = std::string(64, 'a');
    m.module.name = "words";
    m.module.abi = "test";
    m.module.holders = {nodes[0].id};
    for (const auto* name : {"count", "copy"}) {
      metadata::job_description d;
      d.name = name;
      d.output_format = data_format::lines;
      d.stages = d.name == "count" ? 2 : 1;
      m.module.jobs.push_back(d);
    }
    REQUIRE(metadata.commit(m));
    import("corpus", segments, copies);
    import("nothing", 0, copies);
  }

  void import(const std::string& name, std::uint32_t count, std::uint32_t copies) {
    metadata::begin_import b;
    b.name = name;
    b.copies = copies;
    b.importer = nodes[0].id;
    const auto begun = metadata.commit(b);
    REQUIRE(begun);
    metadata::commit_import c;
    c.dataset = begun->dataset;
    c.partitions.resize(1);
    for (std::uint32_t i = 0; i < count; ++i) {
      metadata::segment s;
      s.id = segment_id(begun->first_segment.value + i);
      s.bytes = s.file_bytes = 32ULL << 20;  // two splits each
      s.records = 20;
      for (std::uint32_t k = 0; k < std::min<std::size_t>(copies, nodes.size()); ++k)
        s.holders.push_back(nodes[(i + k) % nodes.size()].id);
      c.partitions[0].segments.push_back(s);
    }
    REQUIRE(metadata.commit(c));
  }

  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> system_;
};

}  // namespace troupe::actors::testing
