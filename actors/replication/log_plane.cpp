#include <pthread.h>
#include <actors/replication/append_router.hpp>
#include <actors/replication/housekeeper.hpp>
#include <actors/replication/log_reader.hpp>
#include <actors/replication/offsets.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <thread>
#include <troupe/telemetry/log.hpp>
#include <troupe/transport/gate.hpp>

namespace troupe::logs {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {
constexpr auto stop_time_max = 2s;
constexpr auto barrier_time_max = 5s;
constexpr auto question_time_max = 5s;

/// Which of the parts must look again after a command.
struct change {
  bool members = false, all = false;
  std::set<partition_key> partitions;
  std::set<dataset_id> datasets;
  [[nodiscard]] bool empty() const { return !members && !all && partitions.empty() && datasets.empty(); }
};

struct change_of {
  const result<metadata::response>& answer;
  change& into;
  void operator()(const metadata::register_member&) const { into.members = true; }
  void operator()(const metadata::set_member_state&) const { into.members = true; }
  void operator()(const metadata::drain_member&) const { into.members = true; }
  void operator()(const metadata::remove_member&) const { into.members = true; }
  void operator()(const metadata::take_over& c) const { into.partitions.insert({c.dataset, c.partition}); }
  void operator()(const metadata::release_partition& c) const { into.partitions.insert({c.dataset, c.partition}); }
  void operator()(const metadata::seal_and_open& c) const { into.partitions.insert({c.dataset, c.partition}); }
  void operator()(const metadata::trim_partition& c) const { into.partitions.insert({c.dataset, c.partition}); }
  void operator()(const metadata::alter_dataset&) const { into.datasets.insert(answer->dataset); }
  void operator()(const metadata::add_holder& c) const { into.datasets.insert(c.dataset); }
  void operator()(const metadata::remove_holder& c) const { into.datasets.insert(c.dataset); }
  void operator()(const metadata::report_damage& c) const { into.datasets.insert(c.dataset); }
  void operator()(const metadata::delete_dataset&) const { into.all = true; }
  void operator()(const metadata::commit_import&) const { into.all = true; }
  void operator()(const metadata::finish_job&) const { into.all = true; }
  void operator()(const metadata::noop&) const { into.all = true; }
  template <class T>
  void operator()(const T&) const {}
};
}  // namespace

struct log_plane::impl {
  impl(log_plane_parts parts, log_plane_options options, storage::promise_log promises);
  void start();
  void stop();
  void deliver(const replication::message& m);
  void receive(const replication::message& m);
  void dispatch(const replication::message& m);
  void called(member_id from, call_kind kind, shared_bytes body, log_links::answer then);
  void changed(const metadata::command& what, const result<metadata::response>& answer);
  void take_changes();
  void catch_up();

  /// Runs a coroutine on the log thread and hands its result to a callback.
  template <class T, class Make>
  void run(Make make, reply<T> then) {
    asio::post(context->io, [this, make = std::move(make), then = std::move(then)]() mutable {
      if (context->stopping) return then(error{errc::cancelled, "this node is stopping"});
      asio::co_spawn(
          context->io,
          [make = std::move(make), then = std::move(then), keep = context]() mutable -> asio::awaitable<void> {
            auto made = co_await make();
            then(std::move(made));
          },
          asio::detached);
    });
  }

  log_context_ptr context;
  std::shared_ptr<log_links> links;
  std::shared_ptr<leader_host> leaders;
  std::shared_ptr<append_router> router;
  std::shared_ptr<log_reader> reader;
  std::shared_ptr<copy_checker> checker;
  std::shared_ptr<offsets> ends;
  std::shared_ptr<housekeeper> keeper;
  std::optional<replica_host> replica;
  std::deque<replication::message> local;  ///< to oneself
  bool local_posted = false;

  std::mutex changes_mutex;
  change changes;
  std::function<void()> stop_observing;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::promise<void> ended;
  std::thread thread;
};

log_plane::impl::impl(log_plane_parts parts, log_plane_options options, storage::promise_log promises)
    : context(std::make_shared<log_context>(std::move(parts), options)) {
  const auto send = [this](const replication::message& m) { deliver(m); };
  log_links::settings with{context->io,
                           context->self.member,
                           context->parts.metadata,
                           context->parts.log,
                           [this] {
                             transport::dial_request request;
                             request.self = context->parts.self;
                             if (const auto own = transport::parse_endpoint(context->parts.address))
                               request.from = own->address();
                             return request;
                           },
                           [this](const replication::message& m) { receive(m); },
                           [this](member_id from, call_kind kind, shared_bytes body, transport::steady_time,
                                  log_links::answer then) { called(from, kind, std::move(body), std::move(then)); },
                           [this](member_id id) { leaders->member_back(id); },
                           [this](member_id id, troupe::incarnation was) {
                             context->parts.log.info("log",
                                                     context->name_of(id) + " is gone: nobody listens at its address");
                             leaders->member_gone(id, was);
                           }};
  links = std::make_shared<log_links>(std::move(with));
  leaders = std::make_shared<leader_host>(context, send);
  router = std::make_shared<append_router>(context, links, leaders);
  reader = std::make_shared<log_reader>(context, links, send);
  checker = std::make_shared<copy_checker>(context, links);
  ends = std::make_shared<offsets>(context, links, leaders);
  keeper = std::make_shared<housekeeper>(
      context, checker, leaders, [this](segment_id id) { return replica && replica->busy_with(id); },
      [this](segment_id id, const format::segment_summary& expected, auto then) {
        replica->adopt(id, expected, std::move(then));
      });
  replica.emplace(context, std::move(promises), send);
}

void log_plane::impl::start() {
  work.emplace(asio::make_work_guard(context->io));
  thread = std::thread([this] {
    context->io.run();
    ended.set_value();
  });
  pthread_setname_np(thread.native_handle(), "log-io");
  stop_observing = context->parts.metadata.observe([this](log_index, const metadata::command& what,
                                                          const result<metadata::response>& answer,
                                                          const metadata::state&) { changed(what, answer); });
  asio::post(context->io, [this] {
    links->refresh();
    keeper->start();
    catch_up();
  });
}

/// What this member led, and promises of earlier starts, can be judged once it has applied what the others did
/// meanwhile.
void log_plane::impl::catch_up() {
  context->parts.metadata.barrier(
      static_cast<std::uint32_t>(std::chrono::milliseconds(barrier_time_max).count()),
      [this, weak = std::weak_ptr(context)](result<void> done) {
        const auto c = weak.lock();
        if (!c || c->stopping) return;
        asio::post(c->io, [this, c, done] {
          if (c->stopping) return;
          if (!done) {
            auto timer = std::make_shared<asio::steady_timer>(c->io, 200ms);
            return timer->async_wait([this, c, timer](const boost::system::error_code& failed) {
              if (!failed && !c->stopping) catch_up();
            });
          }
          replica->caught_up();
          leaders->evaluate();
        });
      });
}

void log_plane::impl::stop() {
  if (!context->stopping && stop_observing) stop_observing();
  std::promise<void> quiet;
  if (context->stopping.exchange(true)) return;
  asio::post(context->io, [this, &quiet] {
    leaders->stop("this node is stopping");
    links->stop();
    reader->stop();
    keeper->stop();
    replica->stop();
    quiet.set_value();
  });
  quiet.get_future().wait();
  work.reset();
  // Coroutines see the flag when their pauses end; those that wait longer go with the context.
  if (ended.get_future().wait_for(stop_time_max) != std::future_status::ready) context->io.stop();
  thread.join();
  context->disk.close();
  context->reading.close();
  context->checking.close();
}

/// To another member, or to oneself: not at once, for who sends is in the middle of something.
void log_plane::impl::deliver(const replication::message& m) {
  if (m.to.member != context->self.member) {
    const bool of_readers = std::holds_alternative<replication::read_request>(m.body) ||
                            std::holds_alternative<replication::read_response>(m.body);
    return links->send(m.to.member, m, of_readers ? lane::clients : lane::replication);
  }
  local.push_back(m);
  if (std::exchange(local_posted, true)) return;
  asio::post(context->io, [this] {
    local_posted = false;
    for (auto waiting = std::exchange(local, {}); const auto& one : waiting) dispatch(one);
  });
}

void log_plane::impl::receive(const replication::message& m) {
  if (m.cluster != context->parts.self.cluster || m.to.member != context->self.member) return;
  dispatch(m);
}

void log_plane::impl::dispatch(const replication::message& m) {
  using namespace replication;
  if (context->stopping) return;
  std::visit(
      [&](const auto& body) {
        using type = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<type, read_response>)
          reader->answered(m);
        else if constexpr (std::is_same_v<type, open_request> || std::is_same_v<type, replication::append_request> ||
                           std::is_same_v<type, fence_request> || std::is_same_v<type, seal_request> ||
                           std::is_same_v<type, producers_request> || std::is_same_v<type, verify_request> ||
                           std::is_same_v<type, replication::read_request>)
          replica->receive(m);
        else
          leaders->receive(m);
      },
      m.body);
}

void log_plane::impl::called(member_id, call_kind kind, shared_bytes body, log_links::answer then) {
  if (context->stopping) return then(error{errc::unavailable, "this node is stopping"});
  switch (kind) {
    case call_kind::append:
      return router->serve(std::move(body), std::move(then));
    case call_kind::ends:
      return ends->serve(std::move(body), std::move(then));
    case call_kind::batches:
      return reader->serve_batches(std::move(body), std::move(then));
    case call_kind::check:
      return checker->serve(std::move(body), std::move(then));
  }
  then(error{errc::unsupported,
             "a call of kind " + std::to_string(static_cast<int>(kind)) + ", which this build does not know"});
}

/// On the metadata thread: only noted.
void log_plane::impl::changed(const metadata::command& what, const result<metadata::response>& answer) {
  if (!answer) return;
  const std::lock_guard lock(changes_mutex);
  const bool first = changes.empty();
  std::visit(change_of{answer, changes}, what);
  if (first && !changes.empty()) asio::post(context->io, [this] { take_changes(); });
}

void log_plane::impl::take_changes() {
  change now;
  {
    const std::lock_guard lock(changes_mutex);
    now = std::exchange(changes, {});
  }
  if (context->stopping) return;
  if (now.members || now.all) {
    links->refresh();
    leaders->changed_all();
    replica->settle_all();
    leaders->evaluate();
    keeper->wake();
  } else {
    for (const auto& where : now.partitions) {
      leaders->changed(where);
      replica->settle(where);
    }
    for (const auto id : now.datasets) leaders->changed(id);
    // Somebody may have been named, or have given way.
    if (!now.partitions.empty()) leaders->evaluate(now.partitions);
    if (!now.datasets.empty()) keeper->wake();
  }
  reader->metadata_changed();
}

result<std::unique_ptr<log_plane>> log_plane::open(log_plane_parts parts, log_plane_options options) {
  auto& operations = parts.operations != nullptr ? *parts.operations : storage::file_operations::system();
  TROUPE_TRY(auto promises, storage::promise_log::open(operations, parts.directory));
  auto made = std::make_unique<impl>(std::move(parts), options, std::move(promises));
  made->start();
  return std::unique_ptr<log_plane>(new log_plane(std::move(made)));
}

log_plane::log_plane(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
log_plane::~log_plane() { stop(); }
void log_plane::stop() { impl_->stop(); }

void log_plane::lease_changed(std::string why) {
  asio::post(impl_->context->io, [l = impl_->leaders, c = impl_->context, why = std::move(why)] {
    if (!c->stopping) l->lease_changed(why);
  });
}

boost::asio::any_io_executor log_plane::executor() const { return impl_->context->io.get_executor(); }

std::size_t log_plane::appends_under_way() const noexcept { return impl_->context->appends_under_way; }

void log_plane::serve(transport::gate& gate) {
  // Weak: the gate may outlive this plane, whose thread the links need.
  gate.on(transport::protocol::log, [weak = std::weak_ptr(impl_->links)](transport::connection incoming) {
    if (const auto links = weak.lock()) links->accept(std::move(incoming));
  });
}

void log_plane::append(append_request what, reply<append_outcome> then) {
  impl_->router->append(std::move(what), std::move(then));
}

void log_plane::read(read_request what, reply<read_outcome> then) {
  impl_->reader->read(std::move(what), std::move(then));
}

void log_plane::end_offsets(const std::string& dataset, reply<std::vector<offset_range>> then) {
  using ranges = std::vector<offset_range>;
  impl_->run<ranges>(
      [ends = impl_->ends, dataset]() -> asio::awaitable<result<ranges>> {
        auto found = co_await ends->find(dataset, transport::after(question_time_max), true);
        if (!found) co_return found.error();
        ranges out;
        for (const auto& p : found->partitions) out.push_back({p.partition, p.begin, p.end});
        co_return std::move(out);
      },
      std::move(then));
}

void log_plane::open_ends(std::vector<std::string> datasets, reply<std::vector<metadata::open_end>> then) {
  using found_ends = std::vector<metadata::open_end>;
  impl_->run<found_ends>(
      [ends = impl_->ends, datasets = std::move(datasets)]() -> asio::awaitable<result<found_ends>> {
        found_ends out;
        for (std::uint32_t i = 0; i < datasets.size(); ++i) {
          auto found = co_await ends->find(datasets[i], transport::after(question_time_max), true);
          if (!found) co_return found.error();
          for (const auto& p : found->partitions)
            if (p.open && p.open->records != 0) out.push_back({i, p.partition, *p.open});
        }
        co_return std::move(out);
      },
      std::move(then));
}

void log_plane::status(const std::string& dataset, reply<dataset_status> then) {
  impl_->run<dataset_status>(
      [ends = impl_->ends, dataset]() -> asio::awaitable<result<dataset_status>> {
        co_return co_await ends->describe(dataset, transport::after(1s));
      },
      std::move(then));
}

void log_plane::verify(const std::string& dataset, milliseconds time_max, reply<verify_report> then) {
  impl_->run<verify_report>(
      [ends = impl_->ends, checker = impl_->checker, dataset, time_max]() -> asio::awaitable<result<verify_report>> {
        const auto deadline = transport::after(time_max);
        std::map<segment_id, record_offset> open;
        auto found =
            co_await ends->find(dataset, std::min<transport::steady_time>(deadline, transport::after(1s)), false);
        if (!found) co_return found.error();
        for (const auto& p : found->partitions)
          if (p.open) open[p.open->segment] = record_offset{p.open->records};
        co_return co_await checker->verify(dataset, std::move(open), deadline);
      },
      std::move(then));
}

log_plane::drain_progress log_plane::draining(const metadata::state& s, member_id who) {
  drain_progress out;
  for (const auto& [id, d] : s.datasets()) {
    if (d.state != metadata::dataset_state::ready) continue;
    for (const auto& p : d.partitions) {
      for (const auto& g : p.segments) {
        if (std::find(g.holders.begin(), g.holders.end(), who) == g.holders.end()) continue;
        ++out.segments;
        out.bytes += g.file_bytes;
      }
      const bool replicates = p.log.open && std::any_of(p.log.open->replicas.begin(), p.log.open->replicas.end(),
                                                        [&](const auto& r) { return r.member == who; });
      if (replicates || (p.log.leader && p.log.leader->member == who)) ++out.partitions;
    }
  }
  return out;
}

}  // namespace troupe::logs
