#pragma once
#include <deque>
#include <memory>
#include <tests/simulation/checker.hpp>
#include <tests/simulation/disk.hpp>
#include <tests/simulation/machine.hpp>
#include <tests/simulation/outcome.hpp>
#include <tests/simulation/process.hpp>
#include <tests/simulation/random.hpp>
#include <tests/simulation/scheduler.hpp>
#include <tests/simulation/swarm.hpp>
#include <troupe/consensus/raft.hpp>

namespace troupe::simulation {

struct planted {
  consensus::planted_bug in_raft = consensus::planted_bug::none;
  owner_bug in_owner = owner_bug::none;
};

/// One cluster, its clients, and everything that goes wrong, for one seed. Single-threaded; nothing outside of the seed
/// has a say.
class simulation {
 public:
  simulation(std::uint64_t seed, planted bug, bool trace, std::optional<swarm::kind> kind = std::nullopt);
  outcome run();

 private:
  struct node : process {
    std::unique_ptr<consensus::raft> raft;
    machine state;
    std::unique_ptr<disk> storage;
    std::deque<consensus::effects::persist> disk_queue;
    std::size_t disk_writing = 0;  ///< the first so many of the queue are under way
    bool sync_fails = false;
    sim_time slow_until = 0;
    std::uint64_t timer = 0;
    consensus::configuration members;
    log_index snapshot_at;
    std::map<log_index, std::pair<term, std::uint64_t>> proposals;  ///< waiting: term, request
    std::map<std::uint64_t, std::uint64_t> reads;                   ///< by read id: the client's operation
    std::uint64_t next_read = 0;
  };
  struct client {
    std::size_t number = 0;
    std::uint64_t operation = 0;  ///< 0: thinking
    bool is_read = false;
    command what;
    log_index floor;
    std::uint64_t attempt = 0;
    std::size_t target = 0;
  };
  /// Under way, see choreography.cpp: slots of the leader that is cut off, the learner with it, the next leader and the
  /// voter with that.
  struct dance {
    std::size_t first = 0, learner = 0, with = 0;
    std::optional<std::size_t> second;
    bool rolled_back = false;
    sim_time until = 0;
  };

  // node.cpp
  void start(node& n);
  void crash(node& n);
  void wipe(node& n);
  void pause(node& n, sim_time how_long);
  void resume(node& n);
  void carry_out(node& n);
  void perform(node& n, const consensus::effect& e);
  void begin_write(node& n);
  void end_write(node& n);
  void apply(node& n, const consensus::effects::apply& what);
  [[nodiscard]] consensus::time_point local(const node& n) const { return n.local(time_.now()); }

  // network.cpp
  void transmit(node& from, const consensus::message& m);
  [[nodiscard]] sim_time delay();
  [[nodiscard]] bool lost();

  // clients.cpp
  void think(client& c);
  void begin(client& c);
  void attempt(client& c);
  void ask(node& n, std::size_t client_number, std::uint64_t operation, bool is_read, const command& what);
  void answer_write(node& n, std::uint64_t request, std::uint64_t value);
  void answer_read(node& n, std::uint64_t operation);
  void redirect(node& n, std::uint64_t operation);
  void respond(std::uint64_t operation, std::function<void(client&)> with);

  // faults.cpp
  void schedule_faults();
  void every(sim_time mean, void (simulation::*fault)());
  void partition();
  void one_way_cut();
  void cut_leader();
  void isolate(std::size_t slot, std::size_t companion);
  void crash_one();
  void lose_power();
  void pause_one();
  void slow_one();
  void fail_sync();
  void wipe_one();
  void transfer();
  void change_members();
  void burst();
  void heal_cut(std::uint64_t cut);
  void heal_all();
  void repair_members();
  [[nodiscard]] bool survives(const consensus::configuration& c) const;
  [[nodiscard]] bool calm() const;
  [[nodiscard]] node* some_leader();
  [[nodiscard]] node& any();

  // choreography.cpp
  void begin_dance();
  void dance_elects(node& n);
  void dance_changes();
  void look_at_dance();
  void cut_apart(const std::vector<std::size_t>& side);
  void mend_network();

  [[nodiscard]] std::optional<std::string> unsettled() const;
  template <class F>
  void trace(F&& text) {
    events_.note(time_.now(), text);
  }

  random_source random_;
  planted bug_;
  swarm swarm_;
  scheduler time_;
  checker check_;
  cluster_id cluster_;
  consensus::configuration first_members_;
  std::vector<node> nodes_;
  std::vector<client> clients_;
  std::vector<std::vector<bool>> cut_;  ///< [from][to]
  std::uint64_t cut_number_ = 0;
  std::optional<dance> dance_;
  std::uint64_t next_operation_ = 0;
  std::map<std::uint64_t, std::size_t> owners_;  ///< operation: client
  bool healed_ = false, stopping_ = false, settled_ = false;
  outcome out_;
  event_log events_;
};

}  // namespace troupe::simulation
