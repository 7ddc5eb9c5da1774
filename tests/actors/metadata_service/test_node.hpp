#pragma once
#include <actors/cluster/metadata_node.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <mutex>
#include <support/catch.hpp>
#include <thread>
#include <troupe/transport/gate.hpp>

/// Nodes in one process, each with a gate and a metadata service of its own, on loopback.
namespace troupe::actors::testing {

using namespace std::chrono_literals;
namespace asio = boost::asio;

inline const std::string token = "a token of tests";

/// A directory that goes with the test.
class scratch {
 public:
  scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "troupe-metadata-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~scratch() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string path() const { return path_; }

 private:
  std::string path_;
};

/// Holds of a state in which the member is as wanted.
inline auto state_of(member_id id, metadata::member_state wanted) {
  return [=](const metadata::state& s) {
    const auto* m = s.find_member(id);
    return m != nullptr && m->state == wanted;
  };
}

/// What a node is across its restarts.
struct seat {
  member_id member = member_id::random();
  std::uint64_t incarnation = 0;
  std::uint16_t port = 0;  ///< 0 until its first start
  std::shared_ptr<scratch> directory = std::make_shared<scratch>();
  bool had_log = false;
  std::string address() const { return "127.0.0.1:" + std::to_string(port); }
};

class test_node {
 public:
  struct settings {
    cluster_id cluster;
    bool bootstrap = false;
    std::vector<std::string> seeds;
    std::string name;
    metadata_limits limits;
    storage::file_operations* files = &storage::file_operations::system();
  };

  test_node(seat& s, settings what) {
    log_.to_function([this](std::string_view line) {
      const std::lock_guard lock(mutex_);
      lines_ += line;
      lines_ += '\n';
    });
    ++s.incarnation;
    transport::identity self{what.cluster, s.member, incarnation{s.incarnation}, token};
    transport::gate_options gate_options;
    gate_options.listen = {asio::ip::make_address("127.0.0.1"), s.port};
    gate_ = std::make_unique<transport::gate>(io_, gate_options, self, log_, metrics_);
    if (const auto started = gate_->start(); !started) FAIL(started.error().message());
    s.port = gate_->local().port();

    metadata_options o;
    o.bootstrap = what.bootstrap;
    o.log_directory = s.directory->path();
    o.had_log = s.had_log;
    o.log_begun = [&s] { s.had_log = true; };
    o.self = self;
    o.who.name = what.name;
    o.who.address = s.address();
    o.who.slots = 2;
    o.seeds = what.seeds;
    o.limits = what.limits;
    o.files = what.files;
    o.fenced = [this](std::string reason) { fenced_.set_value(std::move(reason)); };
    auto opened = metadata_node::open(std::move(o), log_, metrics_);
    if (!opened) FAIL(opened.error().message());
    node_ = std::move(*opened);
    gate_->on(transport::protocol::raft, node_->acceptor());
    thread_ = std::thread([this] {
      const auto guard = asio::make_work_guard(io_);
      io_.run();
    });
    auto promise = std::make_shared<std::promise<result<joined>>>();
    joining_ = promise->get_future();
    node_->start([this, promise, self](result<joined> r) mutable {
      if (r) {
        self.cluster = r->cluster;
        gate_->set_identity(self);
      }
      promise->set_value(std::move(r));
    });
  }
  ~test_node() { kill(); }

  /// The port closes and every connection ends, with nothing said: as the kernel does for a process that was killed.
  void kill() {
    if (!thread_.joinable()) return;
    gate_->stop();
    node_->stop();
    std::promise<void> drained;
    asio::post(io_, [&] { drained.set_value(); });  // behind the gate's own work: the port is closed
    drained.get_future().wait();
    io_.stop();
    thread_.join();
    gate_.reset();
  }

  result<joined> join(std::chrono::seconds patience = 20s) {
    if (joining_.wait_for(patience) != std::future_status::ready)
      return error{errc::deadline_exceeded, "did not join; log:\n" + lines()};
    return joining_.get();
  }
  result<metadata::response> propose(metadata::command c, request_id id = request_id::random(),
                                     std::uint32_t deadline_ms = 10'000) {
    auto promise = std::make_shared<std::promise<result<metadata::response>>>();
    auto future = promise->get_future();
    node_->propose(std::move(c), id, deadline_ms,
                   [promise](result<metadata::response> r) { promise->set_value(std::move(r)); });
    if (future.wait_for(30s) != std::future_status::ready) return error{errc::internal, "no answer at all"};
    return future.get();
  }
  result<void> barrier(std::uint32_t deadline_ms = 10'000) {
    auto promise = std::make_shared<std::promise<result<void>>>();
    auto future = promise->get_future();
    node_->barrier(deadline_ms, [promise](result<void> r) { promise->set_value(std::move(r)); });
    if (future.wait_for(30s) != std::future_status::ready) return error{errc::internal, "no answer at all"};
    return future.get();
  }
  bytes image() {
    return node_->read([](const metadata::state& s) { return s.snapshot(); });
  }
  std::optional<metadata::member> member(member_id id) {
    return node_->read([&](const metadata::state& s) {
      const auto* m = s.find_member(id);
      return m == nullptr ? std::nullopt : std::optional(*m);
    });
  }
  /// Waits until an applied command makes `condition(state)` true.
  template <class Condition>
  bool wait_until(Condition condition, std::chrono::milliseconds patience = 15s) {
    struct waiting {
      std::mutex mutex;
      std::condition_variable changed;
      bool seen = false;
    };
    auto w = std::make_shared<waiting>();
    const auto look = [w, condition](const metadata::state& s) {
      if (!condition(s)) return;
      const std::lock_guard lock(w->mutex);
      w->seen = true;
      w->changed.notify_all();
    };
    const auto end = node_->observe([look](log_index, const metadata::command&, const result<metadata::response>&,
                                           const metadata::state& s) { look(s); });
    node_->read([&](const metadata::state& s) { look(s); });
    std::unique_lock lock(w->mutex);
    const bool seen = w->changed.wait_for(lock, patience, [&] { return w->seen; });
    lock.unlock();
    end();
    return seen;
  }
  std::future<std::string> fenced() { return fenced_.get_future(); }
  std::string lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  metadata_node& node() { return *node_; }
  telemetry::metrics& metrics() { return metrics_; }

 private:
  telemetry::logger log_;
  telemetry::metrics metrics_;
  std::mutex mutex_;
  std::string lines_;
  asio::io_context io_{1};
  std::unique_ptr<transport::gate> gate_;
  std::unique_ptr<metadata_node> node_;
  std::thread thread_;
  std::future<result<joined>> joining_;
  std::promise<std::string> fenced_;
};

/// The node that makes the cluster; others join beside it.
struct test_cluster {
  cluster_id id = cluster_id::random();
  metadata_limits limits;
  storage::file_operations* files = &storage::file_operations::system();
  seat first_seat;
  std::unique_ptr<test_node> first;

  test_node& start_first() {
    test_node::settings s;
    s.cluster = id;
    s.bootstrap = true;
    s.limits = limits;
    s.files = files;
    s.seeds = seeds;
    first = std::make_unique<test_node>(first_seat, s);
    return *first;
  }
  std::unique_ptr<test_node> start(seat& at, std::string name = {}) {
    test_node::settings s;
    if (at.had_log) s.cluster = id;
    s.seeds = {first_seat.address()};
    for (const auto& more : seeds)
      if (more != at.address()) s.seeds.push_back(more);
    s.limits = limits;
    s.name = std::move(name);
    return std::make_unique<test_node>(at, s);
  }
  std::vector<std::string> seeds;  ///< of everyone, for restarts without the first node
};

/// Waits until as many members vote, as `node` sees it.
inline bool wait_for_voters(test_node& node, std::size_t count, std::chrono::milliseconds patience = 15s) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (node.node().voters().size() != count) {
    if (std::chrono::steady_clock::now() > until) return false;
    (void)node.barrier(1'000);  // a configuration is an entry: there is something to wait for
  }
  return true;
}

inline metadata::load_module module(int n, std::size_t padding = 0) {
  metadata::module_info m;
  m.hash = std::string(64, '0');
  const auto digits = std::to_string(n);
  m.hash.replace(64 - digits.size(), digits.size(), digits);
  m.name = "m" + digits;
  m.abi = std::string(std::min<std::size_t>(padding, 4000), 'x');
  metadata::job_description d;
  d.name = "job" + digits;
  m.jobs.push_back(d);
  return {m};
}

}  // namespace troupe::actors::testing
