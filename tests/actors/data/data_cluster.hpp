#pragma once
#include <actors/data/data_plane.hpp>
#include <actors/data/module_store.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <deque>
#include <filesystem>
#include <future>
#include <optional>
#include <support/catch.hpp>
#include <thread>
#include <troupe/storage/segment_store.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/telemetry/log.hpp>
#include <troupe/telemetry/metrics.hpp>
#include <troupe/transport/gate.hpp>

/// Several data planes in one process, each with its own folder, gate and view of one shared metadata log.
namespace data_test {

using namespace troupe;
namespace asio = boost::asio;

class test_service;

/// The metadata of all nodes: one thread that applies every command to every node's state, in one order.
class test_metadata {
 public:
  test_metadata();
  ~test_metadata();
  void propose(metadata::command what, request_id id, metadata::service::reply then);
  void barrier(std::function<void(result<void>)> then);
  result<metadata::response> propose_and_wait(metadata::command what);
  /// Waits until everything that was asked for has been applied everywhere.
  void settle();
  /// From now on every proposal and barrier is answered by `unavailable`.
  void set_reachable(bool reachable);
  [[nodiscard]] int proposals(std::size_t alternative) const;

 private:
  friend class test_service;
  void post(std::function<void()> f);
  void work();
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<test_service*> services_;
  std::map<std::size_t, int> proposals_;
  bool reachable_ = true;
  bool ended_ = false;
  std::uint64_t index_ = 0;
  metadata::state first_;  ///< what a service that comes later starts from
  std::thread thread_;
};

class test_service final : public metadata::service {
 public:
  explicit test_service(test_metadata& cluster);
  ~test_service() override;
  void propose(metadata::command what, request_id id, std::uint32_t, reply then) override {
    cluster_.propose(std::move(what), id, std::move(then));
  }
  void barrier(std::uint32_t, std::function<void(result<void>)> then) override { cluster_.barrier(std::move(then)); }
  std::function<void()> observe(observer f) override;
  [[nodiscard]] member_id leader() const override { return {}; }

 private:
  friend class test_metadata;
  result<metadata::response> apply(log_index index, const metadata::envelope& what);
  test_metadata& cluster_;
  std::mutex observers_mutex_;
  std::map<int, observer> observers_;
  int next_observer_ = 0;
};

/// Fails writes when its budget is used up: a full disk.
class small_disk final : public storage::file_operations {
 public:
  std::atomic<std::int64_t> bytes_left{std::numeric_limits<std::int64_t>::max()};
  ssize_t pwritev(int fd, const iovec* parts, int count, off_t position) override;
  int fallocate(int, int, off_t, off_t) override { return 0; }
};

struct node_options {
  std::chrono::milliseconds unknown_file_kept{3'600'000};
};

class node {
 public:
  node(test_metadata& cluster, cluster_id id, std::string name, const std::filesystem::path& folder,
       node_options options);
  ~node();
  /// As a killed process: its connections break, nothing is said to anyone. Then metadata says that it is dead.
  void kill();
  [[nodiscard]] std::filesystem::path segment_path(segment_id which) const { return segments.path(which); }
  [[nodiscard]] std::size_t segment_files() const;

  test_metadata& cluster;
  member_id id = member_id::random();
  std::string name;
  std::filesystem::path folder;
  small_disk disk;
  std::unique_ptr<test_service> service;
  storage::segment_store segments;
  data::module_store modules;
  std::unique_ptr<dataflow::block_store> blocks;
  telemetry::journal journal;
  telemetry::metrics metrics;
  telemetry::logger log;
  asio::io_context gate_io;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::thread gate_thread;
  std::unique_ptr<transport::gate> gate;
  std::unique_ptr<data::data_plane> plane;
};

class data_cluster {
 public:
  explicit data_cluster(int nodes, node_options options = {});
  ~data_cluster();
  node& operator[](int i) { return *nodes_[static_cast<std::size_t>(i)]; }

  /// Runs a coroutine to its end, from a thread that is none of the nodes'.
  template <class T>
  T await(asio::awaitable<T> what) {
    auto future = asio::co_spawn(io_, std::move(what), asio::use_future);
    REQUIRE(future.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
    return future.get();
  }
  /// Calls something that answers by a callback and waits for the answer.
  template <class T, class Start>
  result<T> ask(Start start) {
    auto promise = std::make_shared<std::promise<result<T>>>();
    auto future = promise->get_future();
    start([promise](result<T> r) { promise->set_value(std::move(r)); });
    if (future.wait_for(std::chrono::seconds(60)) != std::future_status::ready)
      return error{errc::internal, "no answer within a minute"};
    return future.get();
  }

  result<std::unique_ptr<data::importer>> start_import(int from, data::import_options options);
  /// A whole import in pieces of `piece` bytes.
  result<data::import_result> import(int from, data::import_options options, bytes_view text,
                                     std::size_t piece = 1 << 16);
  result<bytes> export_all(int from, const std::string& name, data::text_format format = data::text_format::lines);
  metadata::dataset dataset(const std::string& name);
  /// Waits for a state of things that is to come by itself.
  static bool eventually(const std::function<bool()>& what);

  test_metadata metadata;
  cluster_id id = cluster_id::random();
  std::filesystem::path folder;

 private:
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  std::thread thread_;
  std::vector<std::unique_ptr<node>> nodes_;
};

/// `count` lines of different lengths, the same for the same seed.
bytes some_lines(std::size_t count, std::uint32_t seed = 1);

/// Flips a bit in the middle of a file.
void flip_bit(const std::filesystem::path& file);

}  // namespace data_test
