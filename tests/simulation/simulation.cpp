#include <tests/simulation/simulation.hpp>

namespace troupe::simulation {

namespace {
constexpr sim_time repair_every = 50 * millisecond;
constexpr sim_time heal_time = 4 * second;    ///< then no new operations
constexpr sim_time settle_time = 3 * second;  ///< then everything has ended and agrees, at the latest
constexpr sim_time look_every = 200 * millisecond;
}  // namespace

simulation::simulation(std::uint64_t seed, planted bug, bool trace, std::optional<swarm::kind> kind)
    : random_(seed * 2654435761u + 1), bug_(bug), events_(trace) {
  swarm_ = swarm::of(random_, kind);
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
  for (auto t = swarm_.fault_time + heal_time; t < end; t += look_every)
    time_.at(t, [this] { settled_ = settled_ || !unsettled(); });
  while (!check_.failure() && !settled_ && time_.step(end)) {
  }
  if (!check_.failure())
    if (const auto why = unsettled()) check_.fail(*why);
  out_.failure = check_.failure();
  out_.events = time_.events();
  out_.operations = check_.operations();
  out_.entries = check_.committed().value;
  out_.simulated = time_.now();
  out_.configuration = swarm_.describe();
  out_.last_events = events_.last();
  return out_;
}

/// What is still to come, as a sentence. Nothing: every operation has ended, and every member agrees.
std::optional<std::string> simulation::unsettled() const {
  const node* leader = nullptr;
  for (const auto& n : nodes_) {
    if (!n.up) return n.name() + " is not up at the end";
    if (n.raft->role() == consensus::role::leader && (leader == nullptr || n.raft->term() > leader->raft->term()))
      leader = &n;
  }
  if (leader == nullptr) return "a hang: no leader after everything was healed";
  for (const auto& c : clients_)
    if (c.operation != 0) return "a hang: an operation of client " + std::to_string(c.number) + " never ended";
  const auto& members = leader->raft->members();
  if (members.voters.size() != consensus::voters_wanted(nodes_.size()))
    return "a hang: " + std::to_string(members.voters.size()) + " voters at the end";
  for (const auto& n : nodes_) {
    if (!members.contains(n.id)) return "a hang: " + n.name() + " never became a member";
    if (n.state.applied() != leader->state.applied() || n.state.applied() != check_.committed())
      return "a hang: " + n.name() + " has applied " + to_string(n.state.applied()) + " of " +
             to_string(check_.committed());
    if (n.state.save() != leader->state.save()) return n.name() + "'s state differs at the end";
  }
  return std::nullopt;
}

}  // namespace troupe::simulation
