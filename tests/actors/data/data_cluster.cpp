#include "data_cluster.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <random>

namespace data_test {

test_metadata::test_metadata() : thread_([this] { work(); }) {}

test_metadata::~test_metadata() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void test_metadata::post(std::function<void()> f) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(f));
  }
  wake_.notify_all();
}

void test_metadata::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ended_ || !queue_.empty(); });
    if (queue_.empty()) return;
    auto f = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    f();
    f = nullptr;
    lock.lock();
  }
}

void test_metadata::propose(metadata::command what, request_id id, metadata::service::reply then) {
  post([this, what = std::move(what), id, then = std::move(then)] {
    std::vector<test_service*> services;
    bool reachable = false;
    {
      const std::lock_guard lock(mutex_);
      reachable = reachable_;
      services = services_;
      ++proposals_[what.index()];
    }
    if (!reachable) return then(error{errc::unavailable, "the holder of the metadata is not to be reached"});
    const metadata::envelope e{id, 1'700'000'000'000, what};
    const log_index index{++index_};
    auto answer = first_.apply(index, e);
    for (auto* service : services) {
      auto same = service->apply(index, e);
      (void)same;
    }
    then(std::move(answer));
  });
}

void test_metadata::barrier(std::function<void(result<void>)> then) {
  post([this, then = std::move(then)] {
    bool reachable = false;
    {
      const std::lock_guard lock(mutex_);
      reachable = reachable_;
    }
    if (reachable)
      then(ok());
    else
      then(error{errc::unavailable, "the holder of the metadata is not to be reached"});
  });
}

result<metadata::response> test_metadata::propose_and_wait(metadata::command what) {
  auto promise = std::make_shared<std::promise<result<metadata::response>>>();
  auto future = promise->get_future();
  propose(std::move(what), request_id::random(),
          [promise](result<metadata::response> r) { promise->set_value(std::move(r)); });
  return future.get();
}

void test_metadata::settle() {
  auto promise = std::make_shared<std::promise<void>>();
  post([promise] { promise->set_value(); });
  promise->get_future().get();
}

void test_metadata::set_reachable(bool reachable) {
  const std::lock_guard lock(mutex_);
  reachable_ = reachable;
}

int test_metadata::proposals(std::size_t alternative) const {
  const std::lock_guard lock(mutex_);
  const auto found = proposals_.find(alternative);
  return found == proposals_.end() ? 0 : found->second;
}

test_service::test_service(test_metadata& cluster) : cluster_(cluster) {
  auto promise = std::make_shared<std::promise<void>>();
  cluster_.post([this, promise] {
    {
      std::unique_lock lock(mutex_);
      state_ = cluster_.first_;
    }
    const std::lock_guard lock(cluster_.mutex_);
    cluster_.services_.push_back(this);
    promise->set_value();
  });
  promise->get_future().get();
}

test_service::~test_service() {
  auto promise = std::make_shared<std::promise<void>>();
  cluster_.post([this, promise] {
    const std::lock_guard lock(cluster_.mutex_);
    std::erase(cluster_.services_, this);
    promise->set_value();
  });
  promise->get_future().get();
}

std::function<void()> test_service::observe(observer f) {
  const std::lock_guard lock(observers_mutex_);
  const int key = next_observer_++;
  observers_.emplace(key, std::move(f));
  return [this, key] {
    const std::lock_guard guard(observers_mutex_);
    observers_.erase(key);
  };
}

result<metadata::response> test_service::apply(log_index index, const metadata::envelope& what) {
  result<metadata::response> answer = [&] {
    std::unique_lock lock(mutex_);
    return state_.apply(index, what);
  }();
  const std::lock_guard lock(observers_mutex_);
  for (const auto& [key, f] : observers_) f(index, what.command, answer, state_);
  return answer;
}

ssize_t small_disk::pwritev(int fd, const iovec* parts, int count, off_t position) {
  std::int64_t wanted = 0;
  for (int i = 0; i < count; ++i) wanted += static_cast<std::int64_t>(parts[i].iov_len);
  if (bytes_left.fetch_sub(wanted) < wanted) {
    errno = ENOSPC;
    return -1;
  }
  return file_operations::pwritev(fd, parts, count, position);
}

namespace {
std::filesystem::path made(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  return folder;
}
std::unique_ptr<dataflow::block_store> open_blocks(const std::filesystem::path& folder) {
  dataflow::block_store_options options;
  options.spill_directory = made(folder);
  options.budget_bytes = 64 << 20;
  options.slab_bytes = 4 << 20;
  auto opened = dataflow::block_store::open(options);
  REQUIRE_OK(opened);
  return std::move(*opened);
}
data::module_store open_modules(const std::filesystem::path& folder) {
  auto opened = data::module_store::open(folder);
  REQUIRE_OK(opened);
  return std::move(*opened);
}
constexpr const char* token = "the token of a test";
}  // namespace

node::node(test_metadata& c, cluster_id cluster_of, std::string n, const std::filesystem::path& f, node_options options)
    : cluster(c),
      name(std::move(n)),
      folder(f),
      service(std::make_unique<test_service>(c)),
      segments(made(folder / "segments").string(), disk),
      modules(open_modules(folder / "modules")),
      blocks(open_blocks(folder / "spill")) {
  log.to_function([](std::string_view) {});
  transport::identity self;
  self.cluster = cluster_of;
  self.member = id;
  self.incarnation = incarnation{1};
  self.token = token;
  transport::gate_options gate_options;
  gate_options.listen = *transport::parse_endpoint("127.0.0.1:0");
  gate = std::make_unique<transport::gate>(gate_io, gate_options, self, log, metrics);
  data::data_plane_options plane_options;
  plane_options.unknown_file_kept = options.unknown_file_kept;
  plane_options.request_time_max = std::chrono::milliseconds(20'000);
  plane = std::make_unique<data::data_plane>(
      data::data_plane_parts{self, "127.0.0.1:1", segments, modules, *blocks, *service, journal, metrics, log},
      plane_options);
  plane->serve(*gate);
  REQUIRE_OK(gate->start());
  work.emplace(asio::make_work_guard(gate_io));
  gate_thread = std::thread([this] { gate_io.run(); });
  metadata::register_member command;
  command.who.id = id;
  command.who.name = name;
  command.who.address = transport::to_string(gate->local());
  command.who.incarnation = incarnation{1};
  command.who.slots = 2;
  command.who.cores = 2;
  REQUIRE_OK(cluster.propose_and_wait(command));
}

void node::kill() {
  if (!plane) return;
  gate->stop();
  plane.reset();
  metadata::set_member_state command;
  command.id = id;
  command.incarnation = incarnation{1};
  command.state = metadata::member_state::dead;
  command.reason = "killed by the test";
  REQUIRE_OK(cluster.propose_and_wait(command));
}

node::~node() {
  gate->stop();
  plane.reset();
  work.reset();
  gate_io.stop();
  gate_thread.join();
}

std::size_t node::segment_files() const {
  auto listed = segments.list();
  REQUIRE_OK(listed);
  return listed->size();
}

data_cluster::data_cluster(int nodes, node_options options) {
  folder = std::filesystem::temp_directory_path() / ("troupe-data-" + uuid::random().short_string());
  thread_ = std::thread([this] { io_.run(); });
  for (int i = 0; i < nodes; ++i) {
    const auto name = "node" + std::to_string(i + 1);
    nodes_.push_back(std::make_unique<node>(metadata, id, name, folder / name, options));
  }
}

data_cluster::~data_cluster() {
  for (auto& n : nodes_) n->plane.reset();
  nodes_.clear();
  work_.reset();
  io_.stop();
  thread_.join();
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

result<std::unique_ptr<data::importer>> data_cluster::start_import(int from, data::import_options options) {
  return ask<std::unique_ptr<data::importer>>(
      [&](auto then) { (*this)[from].plane->start_import(std::move(options), std::move(then)); });
}

result<data::import_result> data_cluster::import(int from, data::import_options options, bytes_view text,
                                                 std::size_t piece) {
  auto started = start_import(from, std::move(options));
  if (!started) return started.error();
  auto& importer = **started;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    auto written = await(importer.write(text.substr(at, piece)));
    if (!written) return written.error();
  }
  auto done = await(importer.finish());
  metadata.settle();
  return done;
}

result<bytes> data_cluster::export_all(int from, const std::string& name, data::text_format format) {
  auto opened = (*this)[from].plane->open_export(name, format);
  if (!opened) return opened.error();
  bytes all;
  for (;;) {
    auto piece = await((*opened)->next());
    if (!piece) return piece.error();
    if (piece->empty()) return all;
    all += *piece;
  }
}

metadata::dataset data_cluster::dataset(const std::string& name) {
  metadata.settle();
  return (*this)[0].service->read([&](const metadata::state& s) {
    const auto* found = s.find_dataset(name);
    REQUIRE(found != nullptr);
    return *found;
  });
}

bool data_cluster::eventually(const std::function<bool()>& what) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!what()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

bytes some_lines(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  bytes out;
  for (std::size_t i = 0; i < count; ++i) {
    out += "line " + std::to_string(i) + " ";
    out.append(random() % 60, static_cast<char>('a' + random() % 26));
    out += '\n';
  }
  return out;
}

void flip_bit(const std::filesystem::path& file) {
  std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
  REQUIRE(f.good());
  const auto size = std::filesystem::file_size(file);
  const auto at = static_cast<std::streamoff>(4096 + (size - 4096) / 4);
  f.seekg(at);
  const auto c = static_cast<char>(f.get() ^ 0x10);
  f.seekp(at);
  f.put(c);
}

}  // namespace data_test
