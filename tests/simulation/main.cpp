#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <tests/simulation/protocol.hpp>
#include <troupe/base/checksum.hpp>

/// The simulator's program; `scripts/simulate` calls it. Both protocols have the same command line.
namespace {

using namespace troupe;
using namespace troupe::simulation;

std::size_t events_printed = 120;

struct totals {
  std::uint64_t seeds = 0, events = 0, operations = 0, entries = 0, crashes = 0, cuts = 0, wipes = 0, elections = 0,
                flips = 0, records = 0, segments = 0, jobs = 0;
  sim_time simulated = 0;
  void add(const outcome& o) {
    ++seeds;
    events += o.events;
    operations += o.operations;
    entries += o.entries;
    crashes += o.crashes;
    cuts += o.cuts;
    wipes += o.wipes;
    elections += o.elections;
    flips += o.flips;
    records += o.records;
    segments += o.segments;
    jobs += o.jobs;
    simulated += o.simulated;
  }
};

void print_failure(const protocol& of, std::uint64_t seed, const named_bug* bug, const outcome& o) {
  std::cout << of.name << " seed " << seed << " FAILED after " << o.simulated / millisecond << " ms: " << *o.failure
            << "\n  " << o.configuration << "\n  again: scripts/simulate --protocol " << of.name << " --seed " << seed
            << (bug != nullptr ? " --bug " + bug->name : "") << "\n";
}

/// Runs one seed; a failing one again with its last events, which must fail in the same way.
bool run_one(const protocol& of, std::uint64_t seed, const named_bug* bug, totals& sum, bool verbose) {
  const auto o = of.run(seed, bug, false);
  sum.add(o);
  if (!o.failure) return true;
  if (verbose) {
    const auto again = of.run(seed, bug, true);
    const auto skip = again.last_events.size() - std::min(again.last_events.size(), events_printed);
    for (std::size_t i = skip; i < again.last_events.size(); ++i) std::cout << "  " << again.last_events[i] << "\n";
    print_failure(of, seed, bug, o);
    if (again.failure != o.failure) std::cout << "  NOT DETERMINISTIC: the second run said otherwise\n";
  }
  return false;
}

std::vector<std::uint64_t> seeds_that_failed(const std::string& path) {
  std::vector<std::uint64_t> seeds;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line[0] != '#') seeds.push_back(std::stoull(line));
  return seeds;
}

/// Splits the seeds over processes; each prints its own failures. False when one failed.
bool run_many(const protocol& of, const std::vector<std::uint64_t>& seeds, unsigned jobs) {
  const auto began = std::chrono::steady_clock::now();
  std::vector<pid_t> children;
  std::cout.flush();
  for (unsigned job = 0; job < jobs; ++job) {
    const auto child = jobs == 1 ? 0 : ::fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    totals sum;
    std::size_t failed = 0;
    for (std::size_t i = job; i < seeds.size() && failed < 5; i += jobs)
      failed += run_one(of, seeds[i], nullptr, sum, true) ? 0 : 1;
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    std::printf(
        "%s: %llu seeds in %.1f s: %.1f simulated hours, %.1f M events, %llu operations, %llu entries, %llu elections, "
        "%llu crashes, %llu cuts, %llu wiped disks",
        of.name.c_str(), static_cast<unsigned long long>(sum.seeds), seconds,
        static_cast<double>(sum.simulated) / 3.6e12, static_cast<double>(sum.events) / 1e6,
        static_cast<unsigned long long>(sum.operations), static_cast<unsigned long long>(sum.entries),
        static_cast<unsigned long long>(sum.elections), static_cast<unsigned long long>(sum.crashes),
        static_cast<unsigned long long>(sum.cuts), static_cast<unsigned long long>(sum.wipes));
    if (sum.records != 0)
      std::printf(", %llu flipped bits, %llu records acknowledged, %llu segments sealed",
                  static_cast<unsigned long long>(sum.flips), static_cast<unsigned long long>(sum.records),
                  static_cast<unsigned long long>(sum.segments));
    if (sum.jobs != 0) std::printf(", %llu jobs", static_cast<unsigned long long>(sum.jobs));
    std::printf("\n");
    std::fflush(stdout);
    std::cout.flush();
    if (jobs == 1) return failed == 0;
    ::_exit(failed == 0 ? 0 : 1);
  }
  bool good = true;
  for (const auto child : children) {
    int status = 0;
    good = ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0 && good;
  }
  return good;
}

/// True when the bug is found within its budget.
bool find_bug(const protocol& of, const named_bug& bug, std::uint64_t first, std::uint64_t budget) {
  for (std::uint64_t i = 0; i < budget; ++i) {
    const auto o = of.run(first + i, &bug, false);
    if (!o.failure) continue;
    std::cout << "bug " << bug.name << ": found by seed " << first + i << " (" << i + 1 << " of " << budget
              << "): " << *o.failure << std::endl;
    return true;
  }
  std::cout << "bug " << bug.name << ": NOT FOUND within " << budget << " seeds" << std::endl;
  return false;
}

/// Each bug in a process of its own, `jobs` at a time; the rare ones first, so that none is waited for at the end.
bool find_bugs(const protocol& of, unsigned jobs) {
  std::vector<const named_bug*> bugs;
  for (const auto& b : of.bugs) bugs.push_back(&b);
  std::stable_sort(bugs.begin(), bugs.end(), [](const auto* a, const auto* b) { return a->budget > b->budget; });
  bool good = true;
  unsigned running = 0;
  const auto reap = [&] {
    int status = 0;
    good = ::wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && good;
    --running;
  };
  std::cout.flush();
  for (const auto* b : bugs) {
    if (running == jobs) reap();
    if (::fork() == 0) ::_exit(find_bug(of, *b, 1, b->budget) ? 0 : 1);
    ++running;
  }
  while (running != 0) reap();
  return good;
}

/// The hash of the tree that is checked out, which is known before it is committed to main: CI then runs the very seeds
/// that were run before. Empty where there is no git.
std::string tree_of(const std::string& directory) {
  const auto command = "git -c safe.directory='*' -C '" + directory + "' rev-parse --verify 'HEAD^{tree}' 2>/dev/null";
  auto* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  char line[128] = {};
  const bool read = std::fgets(line, sizeof line, pipe) != nullptr;
  const bool good = ::pclose(pipe) == 0 && read;
  std::string hash(good ? line : "");
  while (!hash.empty() && hash.back() == '\n') hash.pop_back();
  return hash;
}

/// The gate of one protocol: seeds that ever failed, fixed ones, derived ones, and every planted bug.
bool run_gate(const protocol& of, std::uint64_t first, std::uint64_t seeds, const std::string& salt, bool gate,
              unsigned jobs) {
  auto list = seeds_that_failed(of.failed_seeds);
  const auto fixed = gate && !salt.empty() ? seeds / 2 : seeds;
  for (std::uint64_t i = 0; i < fixed; ++i) list.push_back(first + i);
  for (std::uint64_t i = fixed; i < seeds; ++i) list.push_back(xxh3_64(salt + ":" + std::to_string(i)) >> 16);
  bool good = run_many(of, list, jobs);
  if (gate) good = find_bugs(of, jobs) && good;
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Simulates clusters, their disks, networks and clients; a seed is a run."};
  std::uint64_t seed = 0, first = 1, seeds = 0;
  std::string protocol_name, bug_name, salt, tree;
  int kind = -1;
  bool gate = false, list = false;
  unsigned jobs = 1;
  app.add_option("--protocol", protocol_name, "consensus, log or jobs; all when none is named")
      ->check(CLI::IsMember({"consensus", "log", "jobs"}));
  app.add_option("--seed", seed, "run this one, print its last events");
  app.add_option("--events", events_printed, "how many of a failing run's last events are printed");
  app.add_option("--seeds", seeds, "how many");
  app.add_option("--first", first, "the first of them");
  app.add_option("--bug", bug_name, "plant this mistake; the run must fail");
  app.add_option("--kind", kind, "look for the bug in runs of this kind, by its number in the protocol's swarm::kind");
  app.add_option("--salt", salt, "half of a gate's seeds are derived from this, for example the commit");
  app.add_option("--salt-of-tree", tree,
                 "the same from the git tree that is checked out in this directory; else fixed seeds");
  app.add_option("--jobs", jobs, "processes")->check(CLI::Range(1, 64));
  app.add_flag("--gate", gate, "seeds that ever failed, fixed and derived seeds, and every planted bug");
  app.add_flag("--list-bugs", list);
  CLI11_PARSE(app, argc, argv);

  if (salt.empty() && !tree.empty()) {
    salt = tree_of(tree);
    if (gate)
      std::cout << (salt.empty() ? "no git here: all seeds are fixed"
                                 : "half of the seeds are derived from tree " + salt)
                << std::endl;
  }

  std::vector<protocol> chosen;
  for (auto& p : {consensus_protocol(), log_protocol(), jobs_protocol()})
    if (protocol_name.empty() || p.name == protocol_name) chosen.push_back(p);
  if (list) {
    for (const auto& p : chosen)
      for (const auto& b : p.bugs) std::cout << p.name << " " << b.name << "  (within " << b.budget << " seeds)\n";
    return 0;
  }
  const named_bug* bug = nullptr;
  const protocol* of = &chosen.front();
  for (const auto& p : chosen)
    for (const auto& b : p.bugs)
      if (b.name == bug_name && bug == nullptr) {
        bug = &b;
        of = &p;
      }
  if (!bug_name.empty() && bug == nullptr) {
    std::cerr << "no planted bug is called " << bug_name << "; --list-bugs names them\n";
    return 2;
  }
  named_bug in_kind;
  if (bug != nullptr && kind >= 0) {
    in_kind = *bug;
    in_kind.kind = kind;
    bug = &in_kind;
  }
  if (app.count("--seed") != 0) {
    if (bug == nullptr && protocol_name.empty()) {
      std::cerr << "say which protocol: --protocol consensus, log or jobs\n";
      return 2;
    }
    totals sum;
    if (!run_one(*of, seed, bug, sum, true)) return 1;
    std::cout << of->name << " seed " << seed << " is good: " << sum.events << " events, " << sum.operations
              << " operations, " << sum.entries << " entries, " << sum.elections << " elections, " << sum.records
              << " records, " << sum.segments << " segments\n";
    return 0;
  }
  if (bug != nullptr) return find_bug(*of, *bug, first, seeds == 0 ? bug->budget : seeds) ? 0 : 1;
  bool good = true;
  for (const auto& p : chosen) {
    const std::uint64_t of_gate = p.name == "jobs" ? 5'000 : 20'000;
    good = run_gate(p, first, seeds != 0 ? seeds : gate ? of_gate : 200, salt, gate, jobs) && good;
  }
  std::cout << (good ? "good" : "FAILED") << std::endl;
  return good ? 0 : 1;
}
