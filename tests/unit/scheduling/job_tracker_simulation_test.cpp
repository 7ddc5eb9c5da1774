#include "job_builder.hpp"

#include <deque>
#include <memory>
#include <random>
#include <support/catch.hpp>
#include <troupe/metadata/splits.hpp>

using namespace troupe;
using namespace troupe::scheduling;
using namespace troupe::scheduling::testing;

namespace {

/// A cluster in miniature: members that die and come back, metadata that forgets with them, attempts that end in every
/// way. It checks every effect against what it knows, and that the job ends. All randomness comes from the seed.
class simulated_job {
 public:
  struct settings {
    std::uint32_t maps = 0;
    std::uint32_t reduces = 0;
    std::uint8_t members = 3;
    std::uint32_t copies = 2;
    double blamed = 0;    ///< probability that an attempt fails by its own fault
    double unblamed = 0;  ///< … that something else fails it
    double deaths = 0;    ///< … that a step kills a member
    double take_overs = 0;
    int poisoned = -1;                 ///< map task that fails wherever it runs
    bool slow = false;                 ///< tasks take so long that others' queues are worth a look
    std::vector<stage_shape> shape{};  ///< more than a map and a reduce: `reduces` is the shuffle's partitions then
  };

  simulated_job(std::uint64_t seed, settings s)
      : random_(seed), settings_(s), job_(make_job(s.maps, s.reduces, s.copies)) {
    if (!s.shape.empty()) {
      job_.description.shape = s.shape;
      job_.description.stages = static_cast<std::uint32_t>(s.shape.size());
      job_.plan.partitions = s.reduces;
      job_.plan.input_splits = {s.maps};
      job_.stages.resize(s.shape.size());
    }
    shape_ = metadata::stages_of(job_.description);
    layout_ = metadata::layout_of(job_);
    for (std::uint8_t n = 1; n <= s.members; ++n) members_[member_number(n)] = make_member(n, 1 + pick(3));
    std::vector<std::vector<member_id>> holders;
    for (std::uint32_t t = 0; t < s.maps; ++t) {
      const auto first = static_cast<std::uint8_t>(pick(s.members));
      const auto second = static_cast<std::uint8_t>((first + 1) % s.members);
      holders.push_back(
          {member_number(static_cast<std::uint8_t>(first + 1)), member_number(static_cast<std::uint8_t>(second + 1))});
    }
    if (holders.empty()) holders.emplace_back();
    input_ = make_input(s.maps, holders);
    begin();
  }

  void run() {
    for (int steps = 0; !ended_; ++steps) {
      REQUIRE(steps < 200'000);
      step();
    }
  }

  metadata::job_state outcome = metadata::job_state::running;
  std::optional<metadata::job_error> error;
  std::uint64_t losses_seen = 0;
  std::uint64_t withdrawals_seen = 0;

 private:
  struct out_attempt {
    member_id where;
    troupe::incarnation incarnation;
    bool has_slot = false;
  };
  struct answer {
    enum { commit, revoke, withdraw, finish } kind;
    effect what;
  };

  std::uint32_t pick(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
  bool chance(double p) { return static_cast<double>(random_() % 1'000'000) < p * 1e6; }

  void begin() {
    tallies counted;
    double seconds = 0;
    if (tracker_) {
      counted = tracker_->counted();
      seconds = counted.lost_task_seconds;
      job_.supervisor_epoch = job_.supervisor_epoch.next();
    }
    out_.clear();
    answers_.clear();
    blamed_.clear();
    numbers_.clear();
    homes_.clear();
    tracker_ = std::make_unique<job_tracker>(job_, input_, now_);
    tracker_->set_prior(counted.attempts, seconds);
    tell_members();
  }

  void tell_members() {
    std::vector<worker_member> live;
    for (const auto& [id, m] : members_)
      if (!dead_.contains(id)) live.push_back(m);
    for (auto i = out_.begin(); i != out_.end();) {  // what ran there is gone
      const bool gone =
          dead_.contains(i->second.where) || members_.at(i->second.where).incarnation != i->second.incarnation;
      i = gone ? out_.erase(i) : std::next(i);
    }
    tracker_->set_members(now_, live, &job_.stages);
    carry_out();
  }

  /// Everything that a task of the stage reads is committed.
  bool inputs_committed(stage_index s) const {
    for (const auto& branch : shape_[s.value].branches)
      for (const auto& e : branch.edges)
        if (e.kind != edge_kind::dataset && job_.stages[e.from].committed.size() != layout_[e.from].tasks) return false;
    return true;
  }

  void carry_out() {
    bool sync = false;
    for (auto& e : tracker_->take_effects()) {
      if (auto* s = std::get_if<start_effect>(&e)) {
        REQUIRE_FALSE(dead_.contains(s->where));
        REQUIRE((s->what.attempt.value >= 1 && s->what.attempt.value <= metadata::attempts_per_task));
        REQUIRE(numbers_.insert(s->what).second);  // an attempt's number names files: never twice
        for (const auto& [other, o] : out_) REQUIRE_FALSE((other.stage == s->what.stage && other.task == s->what.task));
        REQUIRE_FALSE(job_.stages[s->what.stage.value].committed.contains(s->what.task));
        REQUIRE(inputs_committed(s->what.stage));
        const bool last = s->what.stage.value + 1 == job_.stages.size();
        REQUIRE(s->replicas.size() ==
                (last ? std::min<std::size_t>(settings_.copies, members_.size() - dead_.size()) - 1 : 0));
        for (const auto& r : s->replicas) REQUIRE((r != s->where && !dead_.contains(r)));
        out_[s->what] = {s->where, members_.at(s->where).incarnation, false};
      } else if (auto* c = std::get_if<cancel_effect>(&e)) {
        out_.erase(c->what);
      } else if (auto* h = std::get_if<prefetch_effect>(&e)) {
        REQUIRE_FALSE(dead_.contains(h->where));
        homes_[h->where] = {h->reduces.begin(), h->reduces.end()};
      } else if (auto* w = std::get_if<withdraw_effect>(&e)) {
        REQUIRE_FALSE(dead_.contains(w->where));
        REQUIRE(out_.at(w->what).where == w->where);
        ++withdrawals_seen;
        if (!chance(0.1)) answers_.push_back({answer::withdraw, e});  // else it is lost with a link
      } else if (std::holds_alternative<commit_effect>(e)) {
        answers_.push_back({answer::commit, e});
      } else if (std::holds_alternative<revoke_effect>(e)) {
        answers_.push_back({answer::revoke, e});
      } else if (std::holds_alternative<finish_effect>(e)) {
        answers_.push_back({answer::finish, e});
      } else if (std::holds_alternative<sync_effect>(e)) {
        sync = true;
      } else {
        ++losses_seen;
      }
    }
    std::set<task_index> at_home;
    for (const auto& [id, reduces] : homes_)
      for (const auto reduce : reduces) REQUIRE(at_home.insert(reduce).second);
    if (!sync) return;
    tracker_->sync_commits(now_, job_.stages);
    carry_out();
  }

  /// Metadata applies the oldest proposal and answers.
  void answer_oldest() {
    auto a = answers_.front();
    answers_.pop_front();
    if (a.kind == answer::commit) {
      const auto& c = std::get<commit_effect>(a.what);
      auto& committed = job_.stages[c.what.stage.value].committed;
      const auto& m = members_.at(c.commit.where);
      result<void> answer = ok();
      if (committed.contains(c.what.task))
        answer = troupe::error{errc::already_exists, "committed already"};
      else if (dead_.contains(m.id) || m.incarnation != c.commit.where_incarnation)
        answer = troupe::error{errc::aborted, "that member is gone"};
      else
        committed[c.what.task] = c.commit;
      tracker_->commit_answered(now_, c.what, answer);
    } else if (a.kind == answer::revoke) {
      const auto& r = std::get<revoke_effect>(a.what);
      auto& committed = job_.stages[r.what.stage.value].committed;
      const auto found = committed.find(r.what.task);
      result<void> answer = ok();
      if (found == committed.end() || found->second.attempt != r.what.attempt)
        answer = troupe::error{errc::aborted, "not committed"};
      else
        committed.erase(found);
      tracker_->revoke_answered(now_, r.what, answer);
    } else if (a.kind == answer::withdraw) {
      // Its node gives it back unless it has begun, failed or gone since, or waits for its inputs only.
      const auto what = std::get<withdraw_effect>(a.what).what;
      const auto found = out_.find(what);
      const bool dropped = found != out_.end() && !found->second.has_slot && chance(0.7);
      if (dropped) out_.erase(found);
      tracker_->attempt_withdrawn(now_, what, dropped);
    } else {
      const auto& f = std::get<finish_effect>(a.what);
      const auto wanted = layout_.back().tasks;
      if (f.outcome == metadata::job_state::succeeded && job_.stages.back().committed.size() != wanted) {
        tracker_->finish_answered(now_, troupe::error{errc::failed_precondition, "tasks are missing"});
      } else {
        outcome = f.outcome;
        error = f.error;
        ended_ = true;
        tracker_->finish_answered(now_, ok());
        check_end();
        return;
      }
    }
    carry_out();
  }

  void check_end() {
    const auto counted = tracker_->counted();
    if (outcome == metadata::job_state::succeeded) {
      std::uint64_t committed = 0;
      for (const auto& stage : job_.stages) committed += stage.committed.size();
      const auto committing =
          std::count_if(answers_.begin(), answers_.end(), [](const answer& a) { return a.kind == answer::commit; });
      CHECK(counted.attempts - counted.lost_attempts ==
            committed + out_.size() + static_cast<std::uint64_t>(committing));
      CHECK(settings_.poisoned < 0);
      return;
    }
    REQUIRE(error.has_value());
    // Whoever is blamed has really failed often enough, on enough members.
    bool found = false;
    for (const auto& [task, where] : blamed_)
      found = found || (where.size() >= limits::attempts_failed_max &&
                        error->message.starts_with(task_name(task.first, task.second) + " failed"));
    CHECK(found);
    if (members_.size() - dead_.size() >= 2)
      for (const auto& [task, where] : blamed_)
        if (error->message.starts_with(task_name(task.first, task.second) + " failed"))
          CHECK(std::set<member_id>(where.begin(), where.end()).size() >= 2);
  }

  void end_an_attempt() {
    auto i = std::next(out_.begin(), pick(static_cast<std::uint32_t>(out_.size())));
    const auto what = i->first;
    auto& o = i->second;
    if (!o.has_slot) {
      o.has_slot = true;
      tracker_->attempt_started(now_, what);
      return carry_out();
    }
    const auto where = o.where;
    const bool poisoned = what.stage.value == 0 && static_cast<int>(what.task.value) == settings_.poisoned;
    if (poisoned || chance(settings_.blamed)) {
      out_.erase(i);
      blamed_[{what.stage, what.task}].push_back(where);
      tracker_->attempt_failed(now_, what, {failure_kind::user_code, errc::user_code, "it threw", 12, {}});
    } else if (chance(settings_.unblamed)) {
      out_.erase(i);
      std::vector<std::uint32_t> read;
      for (const auto& e :
           shape_[what.stage.value].branches[layout_[what.stage.value].branch_of(what.task.value)].edges)
        if (e.kind != edge_kind::dataset && !job_.stages[e.from].committed.empty()) read.push_back(e.from);
      if (chance(0.5) && !read.empty()) {
        const auto from = read[pick(static_cast<std::uint32_t>(read.size()))];
        const auto& of = job_.stages[from].committed;
        const auto source = *std::next(of.begin(), pick(static_cast<std::uint32_t>(of.size())));
        tracker_->attempt_failed(now_, what,
                                 {failure_kind::input_lost,
                                  chance(0.5) ? errc::not_found : errc::unavailable,
                                  "no such block",
                                  {},
                                  {{stage_index(from), source.first, source.second.attempt}}});
      } else {
        tracker_->attempt_failed(now_, what, {failure_kind::engine, errc::io_error, "no space left", {}, {}});
      }
    } else {
      metadata::task_commit commit;
      commit.attempt = what.attempt;
      commit.where = where;
      commit.where_incarnation = o.incarnation;
      out_.erase(i);
      tracker_->attempt_finished(now_, what, commit);
    }
    carry_out();
  }

  void kill_or_revive() {
    const auto id = member_number(static_cast<std::uint8_t>(1 + pick(settings_.members)));
    auto& m = members_[id];
    if (dead_.contains(id)) {
      dead_.erase(id);
      m.incarnation = m.incarnation.next();
    } else if (dead_.empty()) {  // one at a time: with two copies nothing is lost for good
      dead_.insert(id);
      homes_.erase(id);
      for (std::size_t s = 0; s + 1 < job_.stages.size(); ++s)
        std::erase_if(job_.stages[s].committed, [&](const auto& c) { return c.second.where == id; });
    } else {
      return;
    }
    tell_members();
  }

  void step() {
    now_ += pick(settings_.slow ? 200 : 20);
    if (chance(settings_.deaths)) kill_or_revive();
    if (chance(settings_.take_overs)) begin();
    if (!answers_.empty() && chance(0.7)) return answer_oldest();
    if (!out_.empty()) return end_an_attempt();
    if (!answers_.empty()) return answer_oldest();
    // Nothing is under way: only time can help.
    auto wakeup = tracker_->wakeup();
    if (!wakeup) {
      INFO("maps " << settings_.maps << " reduces " << settings_.reduces << " members " << int(settings_.members)
                   << " committed " << job_.stages[0].committed.size() << ", " << job_.stages.back().committed.size());
      REQUIRE_FALSE(dead_.empty());  // else the job hangs
      return;
    }
    now_ = std::max(now_, *wakeup);
    tracker_->tick(now_);
    carry_out();
  }

  std::mt19937_64 random_;
  settings settings_;
  metadata::job job_;
  std::vector<stage_shape> shape_;
  std::vector<stage_layout> layout_;
  job_input input_;
  std::map<member_id, worker_member> members_;
  std::set<member_id> dead_;
  std::unique_ptr<job_tracker> tracker_;
  std::map<attempt_ref, out_attempt> out_;
  std::deque<answer> answers_;
  std::map<std::pair<stage_index, task_index>, std::vector<member_id>> blamed_;
  std::set<attempt_ref> numbers_;
  std::map<member_id, std::set<task_index>> homes_;  ///< of reduces, as members were told
  time_ms now_ = 0;
  bool ended_ = false;
};

/// A graph at random that check_stages takes: unions, broadcasts, forward edges, several readers.
std::vector<stage_shape> random_shape(std::mt19937_64& random) {
  const auto pick = [&](std::size_t n) { return static_cast<std::uint32_t>(random() % n); };
  std::vector<stage_shape> shape{{"0", {{{{edge_kind::dataset, all_inputs, 0}}}}, pick(3) == 0 ? 2U : 0U}};
  const auto stages = 2 + pick(6);
  for (std::uint32_t s = 1; s < stages; ++s) {
    stage_shape made{std::to_string(s), {}, pick(4) == 0 ? 1U : 0U};
    const auto branches = 1 + pick(2);
    for (std::uint32_t b = 0; b < branches; ++b) {
      stage_branch branch;
      if (pick(3) == 0) branch.edges.push_back({edge_kind::broadcast, pick(s), 0});
      const auto from = pick(s);
      switch (pick(4)) {
        case 0:
          branch.edges.push_back({edge_kind::dataset, all_inputs, 0});
          break;
        case 1:
          branch.edges.push_back({edge_kind::forward, from, 0});
          break;
        default:
          branch.edges.push_back({edge_kind::partitioned, from, 0});
          if (const auto other = pick(s); shape[other].partitions == shape[from].partitions)
            branch.edges.push_back({edge_kind::partitioned, other, 0});
      }
      made.branches.push_back(std::move(branch));
    }
    shape.push_back(std::move(made));
  }
  for (std::uint32_t s = 0; s + 1 < stages; ++s) {
    bool read = false;
    for (const auto& stage : shape)
      for (const auto& branch : stage.branches)
        for (const auto& e : branch.edges) read = read || (e.kind != edge_kind::dataset && e.from == s);
    if (!read) shape.back().branches[0].edges.push_back({edge_kind::broadcast, s, 0});
  }
  return shape;
}

}  // namespace

TEST_CASE("Graphs of stages at random, with members that die and come back, always end, and end right") {
  std::uint64_t losses = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed * 104'729);
    simulated_job::settings s;
    s.shape = random_shape(random);
    REQUIRE(check_stages(s.shape, 0));
    s.maps = static_cast<std::uint32_t>(random() % 12);
    s.reduces = static_cast<std::uint32_t>(1 + random() % 4);
    s.members = static_cast<std::uint8_t>(2 + random() % 4);
    s.copies = 1 + static_cast<std::uint32_t>(random() % 3);
    s.unblamed = random() % 2 == 0 ? 0.02 : 0;
    s.deaths = random() % 2 == 0 ? 0.01 : 0;
    s.take_overs = random() % 4 == 0 ? 0.002 : 0;
    s.slow = random() % 2 == 0;
    simulated_job job(seed, s);
    job.run();
    REQUIRE(job.outcome == metadata::job_state::succeeded);
    losses += job.losses_seen;
  }
  CHECK(losses > 500);  // else nothing was lost in earlier stages
}

TEST_CASE("A job with failures, losses and take-overs at random always ends, and ends right") {
  std::uint64_t withdrawals = 0;
  for (std::uint64_t seed = 1; seed <= 600; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed * 7919);
    simulated_job::settings s;
    s.maps = static_cast<std::uint32_t>(random() % 40);
    s.reduces = random() % 4 == 0 ? 0 : static_cast<std::uint32_t>(1 + random() % 8);
    s.members = static_cast<std::uint8_t>(2 + random() % 4);
    s.copies = 1 + static_cast<std::uint32_t>(random() % 3);
    s.blamed = random() % 3 == 0 ? 0.05 : 0;
    s.unblamed = random() % 2 == 0 ? 0.05 : 0;
    s.deaths = random() % 2 == 0 ? 0.02 : 0;
    s.take_overs = random() % 4 == 0 ? 0.002 : 0;
    s.slow = random() % 2 == 0;
    simulated_job job(seed, s);
    job.run();
    if (s.blamed == 0) REQUIRE(job.outcome == metadata::job_state::succeeded);
    if (s.blamed == 0 && s.unblamed == 0 && s.deaths == 0 && s.take_overs == 0) REQUIRE(job.losses_seen == 0);
    withdrawals += job.withdrawals_seen;
  }
  CHECK(withdrawals > 100);  // else the simulation says nothing about them
}

TEST_CASE("A poisoned task always fails its job, and is the one that is blamed") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    simulated_job::settings s;
    s.maps = 10;
    s.reduces = seed % 2 == 0 ? 3 : 0;
    s.members = static_cast<std::uint8_t>(2 + seed % 3);
    s.unblamed = 0.05;
    s.deaths = 0.01;
    s.poisoned = static_cast<int>(seed % 10);
    simulated_job job(seed, s);
    job.run();
    REQUIRE(job.outcome == metadata::job_state::failed);
    REQUIRE(job.error->message.starts_with("map task " + std::to_string(s.poisoned) + " failed"));
    CHECK(job.error->dataset == "corpus");
    CHECK(job.error->offset == 12);
  }
}
