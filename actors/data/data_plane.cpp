#include <pthread.h>
#include <actors/data/block_server.hpp>
#include <actors/data/data_plane.hpp>
#include <actors/data/dataset_reader.hpp>
#include <actors/data/garbage_collector.hpp>
#include <actors/data/module_fetcher.hpp>
#include <actors/data/segment_copying.hpp>
#include <actors/data/segment_output.hpp>
#include <actors/data/stream_importer.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/redirect_error.hpp>
#include <future>
#include <thread>
#include <troupe/telemetry/log.hpp>
#include <troupe/transport/gate.hpp>

namespace troupe::data {

namespace asio = boost::asio;

namespace {
constexpr auto collect_delay = std::chrono::milliseconds(200);  // one look for what a burst of changes leaves
constexpr auto stop_time_max = std::chrono::seconds(3);
}  // namespace

struct data_plane::impl {
  impl(data_plane_parts parts, data_plane_options options)
      : c(std::make_shared<context>(*io, std::move(parts), options)),
        server(std::make_shared<block_server>(c)),
        collector(c),
        modules(std::make_shared<module_fetcher>(c)),
        collect_timer(std::in_place, *io, transport::steady_time::max()) {}

  void start();
  void stop();
  void on_change(const metadata::command& what, const result<metadata::response>& outcome);
  void collect_soon();
  asio::awaitable<void> collect_for_ever();
  result<metadata::dataset> find(const std::string& name) const;

  /// Runs a coroutine that gives a result and hands it to a callback.
  template <class T, class Make>
  void run(Make make, reply<T> then) {
    if (c->stopping) return then(error{errc::cancelled, "this node is stopping"});
    asio::co_spawn(
        *io,
        [make = std::move(make), then = std::move(then), keep = c]() mutable -> asio::awaitable<void> {
          auto got = co_await make();
          then(std::move(got));
        },
        asio::detached);
  }

  std::unique_ptr<asio::io_context> io = std::make_unique<asio::io_context>(1);
  context_ptr c;
  std::shared_ptr<block_server> server;
  garbage_collector collector;
  std::shared_ptr<module_fetcher> modules;
  std::optional<asio::steady_timer> collect_timer;
  bool collect_wanted = false;
  std::vector<std::weak_ptr<segment_output>> outputs;  ///< open ones, to be ended by stop; on the I/O thread
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::function<void()> stop_observing;
  std::promise<void> ended;
  std::thread thread;
};

void data_plane::impl::start() {
  work.emplace(asio::make_work_guard(*io));
  thread = std::thread([this] {
    io->run();
    ended.set_value();
  });
  pthread_setname_np(thread.native_handle(), "data-io");
  stop_observing = c->parts.metadata.observe([this](log_index, const metadata::command& what,
                                                    const result<metadata::response>& outcome,
                                                    const metadata::state&) { on_change(what, outcome); });
  asio::co_spawn(
      *io, [this]() -> asio::awaitable<void> { co_await collect_for_ever(); }, asio::detached);
}

void data_plane::impl::stop() {
  if (c->stopping.exchange(true)) return;
  if (stop_observing) stop_observing();
  asio::post(*io, [this] {
    server->close();
    c->peers.close();
    for (auto& weak : outputs)
      if (auto output = weak.lock()) output->abort(error{errc::cancelled, "this node is stopping"});
    collect_timer->cancel();
    work.reset();
  });
  // What waits for metadata may wait longer than anybody who wants to stop.
  if (ended.get_future().wait_for(stop_time_max) != std::future_status::ready) io->stop();
  thread.join();
  c->disk.close();
}

void data_plane::impl::collect_soon() {
  asio::post(*io, [this] {
    collect_wanted = true;
    collect_timer->cancel();
  });
}

void data_plane::impl::on_change(const metadata::command& what, const result<metadata::response>& outcome) {
  if (!outcome) return;
  const auto drop = [this](member_id id) {
    asio::post(*io, [this, id] {
      c->peers.drop(id);
      server->drop(id);
    });
  };
  if (const auto* state = std::get_if<metadata::set_member_state>(&what)) {
    if (state->state == metadata::member_state::dead || state->state == metadata::member_state::left) {
      if (!c->is_self(state->id)) drop(state->id);
      collect_soon();
    }
  } else if (const auto* added = std::get_if<metadata::add_holder>(&what)) {
    c->forget_damage(added->segment);
  } else if (const auto* again = std::get_if<metadata::register_member>(&what)) {
    if (!c->is_self(again->who.id)) drop(again->who.id);
  } else if (const auto* loaded = std::get_if<metadata::load_module>(&what)) {
    const auto& module = loaded->module;
    if (c->options.fetch_modules_when_loaded &&
        std::find(module.holders.begin(), module.holders.end(), c->self()) == module.holders.end())
      asio::post(*io, [this, hash = module.hash, holders = module.holders] {
        modules->fetch(hash, holders, [this, hash](result<std::filesystem::path> got) {
          if (!got)
            c->parts.log.warning("data",
                                 "module " + hash.substr(0, 12) + " was not fetched yet: " + got.error().message());
        });
      });
  } else if (std::holds_alternative<metadata::abort_import>(what) ||
             std::holds_alternative<metadata::commit_import>(what) ||
             std::holds_alternative<metadata::delete_dataset>(what) ||
             std::holds_alternative<metadata::finish_job>(what) || std::holds_alternative<metadata::cancel_job>(what) ||
             std::holds_alternative<metadata::delete_module>(what)) {
    collect_soon();
  }
}

asio::awaitable<void> data_plane::impl::collect_for_ever() {
  const auto keep = c;
  while (!c->stopping) {
    if (!collect_wanted) {
      collect_timer->expires_after(c->options.collect_interval);
      boost::system::error_code woken;
      co_await collect_timer->async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
    if (c->stopping) co_return;
    collect_timer->expires_after(collect_delay);
    boost::system::error_code woken;
    do {
      co_await collect_timer->async_wait(asio::redirect_error(asio::use_awaitable, woken));
    } while (woken && !c->stopping);
    if (c->stopping) co_return;
    collect_wanted = false;
    std::erase_if(outputs, [](const auto& weak) { return weak.expired(); });
    auto done = co_await collector.collect();
    if (!done && done.error().code() != errc::unavailable && done.error().code() != errc::cancelled)
      c->parts.log.warning("data", "no look for garbage: " + done.error().message());
  }
}

result<metadata::dataset> data_plane::impl::find(const std::string& name) const {
  return c->parts.metadata.read([&](const metadata::state& s) -> result<metadata::dataset> {
    const auto* found = s.find_dataset(name);
    if (found == nullptr)
      return error{errc::not_found, "there is no dataset " + name + "; «datasets» lists what there is"};
    return *found;
  });
}

data_plane::data_plane(data_plane_parts parts, data_plane_options options)
    : impl_(std::make_unique<impl>(std::move(parts), options)) {
  impl_->start();
}

data_plane::~data_plane() {
  stop();
  // Coroutines that could not end in time hold the context: they go with their frames.
  impl_->collect_timer.reset();
  impl_->io.reset();
}

void data_plane::serve(transport::gate& gate) {
  gate.on(transport::protocol::block,
          [server = impl_->server](transport::connection incoming) { server->accept(std::move(incoming)); });
}

void data_plane::set_identity(transport::identity self, std::string address) {
  impl_->c->set_identity(std::move(self), std::move(address));
}

void data_plane::stop() { impl_->stop(); }

asio::io_context& data_plane::io() { return *impl_->io; }

void data_plane::fetch_map_output(member_id from, const dataflow::attempt_key& attempt, partition_index partition,
                                  reply<std::vector<dataflow::block_ref>> then) {
  using blocks = std::vector<dataflow::block_ref>;
  auto c = impl_->c;
  impl_->run<blocks>(
      [c, from, attempt, partition]() -> asio::awaitable<result<blocks>> {
        if (c->is_self(from)) co_return c->parts.blocks.get(attempt, partition);
        const auto deadline = c->request_deadline();
        store_sink sink(c, attempt.job, deadline);
        block_protocol::get_map_output request;
        request.attempt = attempt;
        request.partition = partition;
        auto came =
            co_await ask(c, from, block_protocol::frame_type::get_map_output, codec::encode(request), sink, deadline);
        if (!came.outcome) co_return came.outcome.error().with_context("output of " + dataflow::to_string(attempt));
        co_return sink.take();
      },
      std::move(then));
}

void data_plane::fetch_segment_range(job_id job, dataset_id dataset, const metadata::segment& segment,
                                     std::uint64_t from, std::uint64_t to, reply<fetched_range> then) {
  auto c = impl_->c;
  impl_->run<fetched_range>(
      [c, job, dataset, segment, from, to]() -> asio::awaitable<result<fetched_range>> {
        store_sink sink(c, job, c->request_deadline());
        copy_reader reader(c, dataset, segment);
        auto position = from;
        auto read = co_await reader.read(position, to, 0, limits::chunk_bytes_max, sink);
        if (!read) co_return read.error();
        fetched_range out;
        out.first = sink.first();
        out.records = sink.records();
        out.blocks = sink.take();
        co_return std::move(out);
      },
      std::move(then));
}

void data_plane::fetch_module(const std::string& hash, std::vector<member_id> holders,
                              reply<std::filesystem::path> then) {
  if (impl_->c->stopping) return then(error{errc::cancelled, "this node is stopping"});
  asio::post(*impl_->io, [m = impl_->modules, hash, holders = std::move(holders), then = std::move(then)]() mutable {
    m->fetch(hash, std::move(holders), std::move(then));
  });
}

std::shared_ptr<replicated_writer> data_plane::open_output(output_spec spec) {
  auto output = std::make_shared<segment_output>(impl_->c, std::move(spec));
  if (!impl_->c->stopping)
    asio::post(*impl_->io, [i = impl_.get(), weak = std::weak_ptr(output)] { i->outputs.push_back(weak); });
  return segment_output::handle(std::move(output));
}

void data_plane::start_import(import_options options, reply<std::unique_ptr<importer>> then) {
  auto c = impl_->c;
  impl_->run<std::unique_ptr<importer>>(
      [c, options = std::move(options)]() -> asio::awaitable<result<std::unique_ptr<importer>>> {
        auto behind = std::make_shared<stream_importer>(c, options);
        auto begun = co_await behind->begin();
        if (!begun) co_return begun.error();
        co_return stream_importer::handle(std::move(behind));
      },
      std::move(then));
}

result<std::unique_ptr<record_source>> data_plane::open_dataset(const std::string& name) {
  TROUPE_TRY(auto found, impl_->find(name));
  return dataset_reader::handle(impl_->c, std::move(found));
}

result<std::unique_ptr<exporter>> data_plane::open_export(const std::string& name, text_format format) {
  TROUPE_TRY(auto found, impl_->find(name));
  return text_exporter::make(impl_->c, std::move(found), format);
}

void data_plane::head(const std::string& name, std::uint64_t limit, reply<std::vector<shown_record>> then) {
  using records = std::vector<shown_record>;
  auto found = impl_->find(name);
  if (!found) return then(found.error());
  auto c = impl_->c;
  impl_->run<records>([c, d = std::move(*found),
                       limit]() -> asio::awaitable<result<records>> { co_return co_await read_head(c, d, limit); },
                      std::move(then));
}

void data_plane::report_damage(dataset_id dataset, segment_id segment, member_id holder, log_index made,
                               const std::string& why) {
  impl_->c->report_damage(dataset, segment, holder, made, why);
}

void data_plane::copy_segment(dataset_id dataset, segment_id segment, member_id from, reply<void> then) {
  auto found = impl_->c->parts.metadata.read([&](const metadata::state& s) -> result<block_protocol::pull_segment> {
    const auto* d = s.find_dataset(dataset);
    const auto* g = s.find_segment(segment);
    if (d == nullptr || g == nullptr)
      return error{errc::not_found, "segment " + to_string(segment) + " is not there (any more)"};
    block_protocol::pull_segment out;
    out.what = {segment, dataset, {}, d->format, format::schema_id_of(d->schema), d->created_at_unix_ms, g->file_bytes};
    for (std::uint32_t p = 0; p < d->partitions.size(); ++p)
      for (const auto& one : d->partitions[p].segments)
        if (one.id == segment) out.what.partition = partition_index{p};
    out.summary = {g->bytes, g->file_bytes, g->records, g->digest};
    out.from = from;
    return out;
  });
  if (!found) return then(found.error());
  auto c = impl_->c;
  impl_->run<void>(
      [c, what = std::move(*found)]() -> asio::awaitable<result<void>> { co_return co_await pull_copy(c, what); },
      std::move(then));
}

void data_plane::collect_garbage(reply<std::size_t> then) {
  impl_->run<std::size_t>(
      [i = impl_.get()]() -> asio::awaitable<result<std::size_t>> { co_return co_await i->collector.collect(); },
      std::move(then));
}

}  // namespace troupe::data
