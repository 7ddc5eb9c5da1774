/// One member of a metadata cluster, without the rest of a node, told by lines on standard input what to do; for
/// `scripts/bench metadata`, which starts three of them and kills them.
///
///   metadata_member DIR CLUSTER MEMBER INCARNATION PORT (bootstrap | SEED,SEED…)
///   leads                  1 or 0
///   voters                 how many
///   load IN_FLIGHT MS      proposes noops; answers «commits seconds p50_us p99_us longest_gap_us errors»
#include <actors/cluster/metadata_node.hpp>
#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <condition_variable>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <sstream>
#include <thread>
#include <troupe/transport/gate.hpp>

using namespace troupe;
using namespace troupe::actors;
using clock_type = std::chrono::steady_clock;

namespace {

constexpr std::size_t command_bytes = 100;  // as the prototype of doc/design/protocols.md
constexpr std::uint32_t deadline_ms = 10'000;

/// A command that changes nothing and has about the size of a real one.
metadata::command command() { return metadata::delete_dataset{std::string(command_bytes - 40, 'x')}; }

struct load {
  load(metadata_node& n, clock_type::time_point until) : node(n), end(until) {}

  metadata_node& node;
  clock_type::time_point end;
  std::mutex mutex;
  std::condition_variable done;
  std::vector<std::uint32_t> times_us;
  clock_type::time_point last = clock_type::now();
  clock_type::duration gap{};
  std::size_t errors = 0;
  std::size_t running = 0;

  void next() {
    const auto begun = clock_type::now();
    if (begun >= end) {
      const std::lock_guard lock(mutex);
      if (--running == 0) done.notify_all();
      return;
    }
    node.propose(command(), request_id::random(), deadline_ms, [this, begun](const result<metadata::response>& r) {
      const auto now = clock_type::now();
      {
        const std::lock_guard lock(mutex);
        // It names a dataset that is not there: committed, applied, and refused by every member alike.
        if (!r && r.error().code() != errc::not_found) {
          ++errors;
        } else {
          times_us.push_back(
              static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - begun).count()));
          gap = std::max(gap, now - last);
          last = now;
        }
      }
      next();
    });
  }
};

void run_load(metadata_node& node, std::size_t in_flight, std::chrono::milliseconds time) {
  load l(node, clock_type::now() + time);
  l.running = in_flight;
  const auto begun = clock_type::now();
  for (std::size_t i = 0; i < in_flight; ++i) l.next();
  std::unique_lock lock(l.mutex);
  l.done.wait(lock, [&] { return l.running == 0; });
  const std::chrono::duration<double> took = clock_type::now() - begun;
  auto& t = l.times_us;
  std::sort(t.begin(), t.end());
  const auto at = [&](std::size_t part) { return t.empty() ? 0 : t[std::min(t.size() - 1, t.size() * part / 100)]; };
  std::cout << t.size() << ' ' << took.count() << ' ' << at(50) << ' ' << at(99) << ' '
            << std::chrono::duration_cast<std::chrono::microseconds>(l.gap).count() << ' ' << l.errors << std::endl;
}

int fail(const error& e) {
  std::cerr << "metadata_member: " << e.message() << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::cerr << "metadata_member DIR CLUSTER MEMBER INCARNATION PORT (bootstrap | SEED,SEED…)\n";
    return 2;
  }
  telemetry::logger log;
  telemetry::metrics metrics;
  log.to_function([](std::string_view line) { std::cerr << line << "\n"; });
  const auto cluster = cluster_id::parse(argv[2]);
  const auto member = member_id::parse(argv[3]);
  if (!cluster || !member) return fail({errc::invalid_argument, "CLUSTER and MEMBER are UUIDs"});
  metadata_options o;
  o.log_directory = argv[1];
  o.self = {*cluster, *member, incarnation{std::stoull(argv[4])}, "the token of a benchmark"};
  o.had_log = o.self.incarnation.value > 1;
  const std::string port = argv[5];
  o.who.address = "127.0.0.1:" + port;
  const std::string seeds = argv[6];
  o.bootstrap = seeds == "bootstrap";
  if (!o.bootstrap) {
    std::istringstream list(seeds);
    for (std::string seed; std::getline(list, seed, ',');) o.seeds.push_back(seed);
  }
  o.fenced = [](const std::string& reason) {
    std::cerr << "metadata_member: fenced: " << reason << std::endl;
    std::_Exit(3);
  };

  boost::asio::io_context io;
  transport::gate_options gate_options;
  gate_options.listen = {boost::asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(std::stoul(port))};
  transport::gate gate(io, gate_options, o.self, log, metrics);
  if (const auto started = gate.start(); !started) return fail(started.error());
  auto opened = metadata_node::open(std::move(o), log, metrics);
  if (!opened) return fail(opened.error());
  auto& node = **opened;
  gate.on(transport::protocol::raft, node.acceptor());
  const auto work = boost::asio::make_work_guard(io);
  std::thread network([&] { io.run(); });
  node.start([](const result<joined>& r) {
    if (!r) std::_Exit(fail(r.error()));
    std::cout << "joined" << std::endl;
  });
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "leads") {
      std::cout << (node.status().leads ? 1 : 0) << std::endl;
    } else if (word == "voters") {
      std::cout << node.voters().size() << std::endl;
    } else if (word == "load") {
      std::size_t in_flight = 1;
      long ms = 0;
      words >> in_flight >> ms;
      run_load(node, in_flight, std::chrono::milliseconds(ms));
    } else {
      std::cerr << "metadata_member: unknown word " << word << "\n";
    }
  }
  std::fflush(stdout);
  std::_Exit(0);
}
