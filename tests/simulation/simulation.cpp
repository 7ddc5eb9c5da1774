#include <tests/simulation/simulation.hpp>

namespace troupe::simulation {

namespace {
constexpr std::size_t events_kept = 200'000;
constexpr sim_time repair_every = 50 * millisecond;
constexpr sim_time heal_time = 4 * second;    ///< then no new operations
constexpr sim_time settle_time = 3 * second;  ///< then everything has ended and agrees
}  // namespace

simulation::simulation(std::uint64_t seed, planted bug, bool trace)
    : random_(seed * 2654435761u + 1), tracing_(trace), bug_(bug) {
  swarm_ = swarm::of(random_);
  cluster_.value.octets[0] = 1;
  nodes_.resize(swarm_.nodes);
  cut_.assign(swarm_.nodes, std::vector<bool>(swarm_.nodes, false));
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    auto& n = nodes_[i];
    n.slot = i;
    n.id.value.octets[0] = static_cast<std::uint8_t>(i + 1);
    n.storage = std::make_unique<disk>(cluster_);
    n.clock_offset = static_cast<sim_time>(random_.below(1'000'000)) * millisecond;
    n.clock_ppm = random_.between(-swarm_.skew_ppm, swarm_.skew_ppm);
    (i < swarm_.voters ? first_members_.voters : first_members_.learners).insert(n.id);
  }
  clients_.resize(swarm_.clients);
}

outcome simulation::run() {
  for (auto& n : nodes_) start(n);
  for (auto& c : clients_) {
    c.number = static_cast<std::size_t>(&c - clients_.data());
    think(c);
  }
  schedule_faults();
  time_.at(swarm_.fault_time, [this] {
    heal_all();
    // From here on the automatic choice has the word.
    for (sim_time t = 0; t < heal_time + settle_time; t += repair_every) time_.after(t, [this] { repair_members(); });
  });
  time_.at(swarm_.fault_time + heal_time, [this] { stopping_ = true; });
  const auto end = swarm_.fault_time + heal_time + settle_time;
  while (!check_.failure() && time_.step(end)) {
  }
  if (!check_.failure()) check_settled();
  out_.failure = check_.failure();
  out_.events = time_.events();
  out_.operations = check_.operations();
  out_.entries = check_.committed().value;
  out_.simulated = time_.now();
  out_.configuration = swarm_.describe();
  out_.last_events.assign(events_.begin(), events_.end());
  return out_;
}

void simulation::check_settled() {
  const node* leader = nullptr;
  for (const auto& n : nodes_) {
    if (!n.up) return check_.fail(name(n) + " is not up at the end");
    if (n.raft->role() == consensus::role::leader && (leader == nullptr || n.raft->term() > leader->raft->term()))
      leader = &n;
  }
  if (leader == nullptr) return check_.fail("a hang: no leader after everything was healed");
  for (const auto& c : clients_)
    if (c.operation != 0)
      return check_.fail("a hang: an operation of client " + std::to_string(c.number) + " never ended");
  const auto& members = leader->raft->members();
  if (members.voters.size() != consensus::voters_wanted(nodes_.size()))
    return check_.fail("a hang: " + std::to_string(members.voters.size()) + " voters at the end");
  for (const auto& n : nodes_) {
    if (!members.contains(n.id)) return check_.fail("a hang: " + name(n) + " never became a member");
    if (n.state.applied() != leader->state.applied() || n.state.applied() != check_.committed())
      return check_.fail("a hang: " + name(n) + " has applied " + to_string(n.state.applied()) + " of " +
                         to_string(check_.committed()));
    if (n.state.save() != leader->state.save()) return check_.fail(name(n) + "'s state differs at the end");
  }
}

void simulation::note(const std::string& what) {
  events_.push_back(std::to_string(time_.now() / microsecond) + " µs  " + what);
  if (events_.size() > events_kept) events_.pop_front();
}

}  // namespace troupe::simulation
