#pragma once
#include <deque>
#include <memory>
#include <tests/simulation/disk.hpp>
#include <tests/simulation/log/checker.hpp>
#include <tests/simulation/log/files.hpp>
#include <tests/simulation/log/jobs.hpp>
#include <tests/simulation/log/swarm.hpp>
#include <tests/simulation/outcome.hpp>
#include <tests/simulation/process.hpp>
#include <troupe/consensus/raft.hpp>
#include <troupe/replication/leader.hpp>
#include <troupe/replication/repair.hpp>
#include <troupe/replication/replica.hpp>

namespace troupe::simulation::log {

constexpr sim_time upkeep_interval = 100 * millisecond;

struct planted {
  replication::planted_bug in_room = replication::planted_bug::none;
  owner_bug in_owner = owner_bug::none;
};

/// A cluster whose members run real consensus, real metadata, and the replica and leaders of replicated logs, with
/// producers, readers and everything that goes wrong, for one seed. Single-threaded; nothing outside of the seed has a
/// say.
class world {
 public:
  world(std::uint64_t seed, planted bug, bool trace, std::optional<swarm::kind> kind = std::nullopt,
        bool with_jobs = false);
  outcome run();

 private:
  using key = replication::partition_key;

  struct proposal {
    metadata::command what;
    std::function<void(const result<metadata::response>&)> then;
    bool done = false;
  };
  struct disk_order {
    std::function<void()> what;
    bool is_sync = false;
  };
  struct leadership {
    std::unique_ptr<replication::log_leader> leader;
    std::uint64_t number = 0;  ///< counts leaders, so that timers and answers of a former one are void
    std::optional<sim_time> timer;
    std::map<replication::append_id, std::pair<std::size_t, std::uint64_t>> appends;  ///< producer, its operation
  };
  struct member : process {
    std::int64_t wall_off_ms = 0;

    // consensus
    std::unique_ptr<disk> raft_disk;
    std::unique_ptr<consensus::raft> raft;
    std::deque<consensus::effects::persist> raft_queue;
    bool raft_writing = false;
    std::uint64_t raft_timer = 0;
    consensus::configuration voters;
    log_index snapshot_at;

    // metadata
    std::unique_ptr<metadata::state> state;
    std::map<request_id, proposal> proposals;
    bool registered = false;
    replication::replica_ref self;

    // logs
    std::unique_ptr<segment_files> files;
    std::unique_ptr<replication::replica> replica;
    std::optional<sim_time> replica_timer;
    std::map<key, leadership> leaders;
    std::unique_ptr<replication::repair_planner> repairs;
    std::set<segment_id> copying;
    std::map<segment_id, int> settle_seen;
    struct removal {
      metadata::remove_holder what;
      std::set<member_id> waiting;  ///< others that have not looked at their copies yet
      sim_time again = 0;
    };
    std::map<segment_id, removal> removals;
    std::deque<disk_order> disk_queue;  ///< of the replica: carried out one after the other, in order
    bool disk_busy = false;
    sim_time slow_until = 0, full_until = 0;
    bool sync_fails = false;

    std::unique_ptr<job_host> jobs;
  };
  struct producer {
    std::size_t number = 0;
    key where;
    uuid id;
    std::uint64_t sequence = 0;
    std::uint64_t operation = 0;  ///< 0: thinking
    std::uint64_t attempt = 0;
    std::uint32_t count = 0;
    bytes payload;
    std::size_t target = 0;
  };
  struct reader {
    key where;
    std::uint64_t offset = 0;
  };

  // member.cpp: starts, crashes
  void start(member& m);
  void crash(member& m, bool power);
  void crash_for_a_while(member& m, bool power);
  void lose_tails(member& m);
  void wipe(member& m);
  void pause(member& m, sim_time how_long);
  void resume(member& m);
  /// Does it on the member's own thread, unless it ends before.
  void later(member& m, sim_time delay, std::function<void()> what);
  // metadata.cpp: its part in consensus, its metadata
  void carry_out_raft(member& m);
  void perform_raft(member& m, const consensus::effect& e);
  void begin_raft_write(member& m);
  void apply(member& m, const consensus::effects::apply& what);
  void after_apply(member& m);
  void plant_in_job(const metadata::state& s, metadata::envelope& e) const;
  void propose(member& m, metadata::command what, std::function<void(const result<metadata::response>&)> then);
  void forward(member& m, request_id id);
  void register_self(member& m);
  void end_drains();
  void ask_for_dataset(member& m);
  [[nodiscard]] consensus::time_point local(const member& m) const { return m.local(time_.now()); }
  [[nodiscard]] replication::moment moment_of(const member& m) const;

  // log_owner.cpp: what the replica and the leaders want
  void start_leader(member& m, const key& where);
  void run_leaders(member& m);
  void carry_out_replica(member& m);
  void perform_replica(member& m, replication::replica_effect& e);
  void carry_out_leader(member& m, const key& where);
  void perform_leader(member& m, const key& where, replication::leader_effect& e);
  void order_disk(member& m, std::function<void()> what, bool is_sync = false);
  void work_disk(member& m);
  [[nodiscard]] sim_time disk_time(const member& m);
  void send_log(member& from, const replication::message& what);
  void receive_log(member& m, const replication::message& what);
  void lost_connection(member& to);

  // upkeep.cpp: repair, scrub, retention, files nobody wants, who is alive
  void upkeep(member& m);
  void repair(member& m, const replication::copy_task& task);
  void ask_others(member& m, const metadata::remove_holder& removal);
  void verified(member& m, const replication::message& what);
  void scrub(member& m);
  void collect_garbage(member& m);
  void detect_failures(member& m);
  void repair_voters(member& m);

  // jobs.cpp: who wants jobs, their supervisors
  void want_jobs();
  [[nodiscard]] std::optional<std::string> jobs_unsettled(const metadata::state& s) const;
  [[nodiscard]] scheduling::time_ms job_time(const member& m) const;
  void send_job(member& from, member_id to, std::function<void(member&)> what);
  void jobs_changed(member& m);
  void tick_jobs(member& m);
  [[nodiscard]] static job_supervision* supervision_of(member& m, job_id job, troupe::epoch epoch);
  [[nodiscard]] std::vector<scheduling::worker_member> workers_of(const member& m) const;
  void supervise(member& m, job_id id);
  void tell_members(member& m, job_id id);
  void flush_job(member& m, job_id id);
  void perform_job(member& m, job_supervision& one, scheduling::effect& e);
  void node_reports(member& m, job_id id, troupe::epoch epoch, member_id from,
                    const std::vector<std::pair<scheduling::attempt_ref, bool>>& has);
  // job_attempts.cpp: attempts at the member that runs them
  bool heard_of_job(member& m, job_id id, troupe::epoch epoch);
  void start_attempt(member& m, job_id id, troupe::epoch epoch, const scheduling::attempt_ref& what, member_id by);
  void plan_attempt(member& m, const attempt_key& which);
  void fill_slots(member& m);
  void attempt_done(member& m, const attempt_key& which, std::uint64_t number);
  void end_attempt(member& m, const attempt_key& which, std::optional<metadata::task_commit> made,
                   scheduling::failure why);
  void send_report(member& m, const attempt_key& which);
  void send_progress(member& m, job_id id, troupe::epoch epoch, member_id to);
  void drop_attempt(member& m, const attempt_key& which, troupe::epoch epoch);
  void withdraw_attempt(member& m, job_id id, troupe::epoch epoch, const scheduling::attempt_ref& what, member_id by);
  void answer_withdrawal(member& m, const attempt_key& which, troupe::epoch epoch, member_id by, bool dropped);

  // network.cpp
  [[nodiscard]] sim_time delay();
  [[nodiscard]] bool lost();
  void transmit(std::size_t from, member& to, std::function<void(member&)> what);

  // clients.cpp
  void think(producer& p);
  void begin(producer& p);
  void attempt(producer& p);
  void ask(member& m, std::size_t number, std::uint64_t operation, const uuid& id, std::uint64_t sequence,
           std::uint32_t count, const bytes& payload, const key& where);
  void answer(member& m, std::size_t number, std::uint64_t operation,
              const result<replication::effects::appended>& how);
  void redirect(member& m, std::size_t number, std::uint64_t operation, std::optional<member_id> to);
  void read_on(reader& r);
  void read_answered(reader& r, std::uint64_t base, record_offset from, bytes_view batches, segment_id id);
  void burst();

  // faults.cpp
  void schedule_faults();
  void every(sim_time mean, void (world::*fault)());
  void split();
  void one_way_cut();
  void cut_leader();
  void crash_one();
  void lose_power();
  void pause_one();
  void slow_one();
  void fail_sync();
  void fill_disk();
  void flip_bit();
  void flip_tail();
  void wipe_one();
  void jump_clock();
  void force_take_over();
  void drain_one();
  void heal_cut(std::uint64_t cut);
  void heal_all();
  [[nodiscard]] member& any();
  [[nodiscard]] member* some_log_leader();
  [[nodiscard]] const metadata::state* truth() const;
  [[nodiscard]] bool may_destroy(const member& m, segment_id id) const;
  [[nodiscard]] bool may_wipe(const member& m) const;
  [[nodiscard]] bool voters_survive_without(const member& m) const;
  [[nodiscard]] bool is_intact(segment_id id, member_id holder, const metadata::state& s) const;
  [[nodiscard]] member* member_of(member_id id);
  [[nodiscard]] const member* member_of(member_id id) const;

  void check_queues(member& m);
  [[nodiscard]] std::optional<std::string> unsettled() const;
  void check_at_end();
  template <class F>
  void trace(F&& text) {
    events_.note(time_.now(), text);
  }

  random_source random_;
  planted bug_;
  swarm swarm_;
  scheduler time_;
  checker check_;
  job_checker job_check_;
  cluster_id cluster_;
  consensus::configuration first_voters_;
  std::deque<member> members_;
  std::deque<producer> producers_;
  std::deque<reader> readers_;
  std::vector<std::vector<bool>> cut_;  ///< [from][to]
  std::uint64_t cut_number_ = 0;
  std::uint64_t next_operation_ = 0, next_leader_ = 0, next_attempt_ = 0;
  log_index applied_first_;  ///< the newest entry that anybody applied
  dataset_id dataset_;
  std::set<member_id> draining_;
  std::map<segment_id, std::set<member_id>> replicas_;   ///< of the open segments, as the newest metadata has them
  std::map<segment_id, std::set<member_id>> powerless_;  ///< replicas that lost unsynced bytes, policy `seal`
  bool healed_ = false, stopping_ = false, settled_ = false;
  outcome out_;
  event_log events_;
};

}  // namespace troupe::simulation::log
