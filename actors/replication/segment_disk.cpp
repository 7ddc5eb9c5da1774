#include <actors/replication/segment_disk.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <troupe/base/invariant.hpp>
#include <troupe/storage/segment_store.hpp>
#include <troupe/telemetry/log.hpp>

namespace troupe::logs {

namespace asio = boost::asio;
using namespace replication::effects;

namespace {
constexpr auto promise_retry = std::chrono::seconds(1);  ///< a full disk: the fence waits

replication::seal_outcome outcome_of(storage::open_segment::outcome from) {
  return {from.summary, from.last_append_unix_ms, std::move(from.producers)};
}
}  // namespace

storage::file_operations& segment_disk::operations() const {
  auto* given = context_->parts.operations;
  return given != nullptr ? *given : storage::file_operations::system();
}

std::string segment_disk::path_of(segment_id id) const { return context_->parts.segments.path(id); }

/// On the log thread, from a disk thread.
template <class F>
void segment_disk::back(F f) {
  asio::post(context_->io, [self = shared_from_this(), f = std::move(f)]() mutable {
    if (!self->context_->stopping) f(*self);
  });
}

segment_disk::strand_ptr segment_disk::strand_of(segment_id id) {
  auto& slot = strands_[id];
  if (!slot) slot = std::make_shared<strand>();
  return slot;
}

void segment_disk::enqueue(segment_id id, std::function<void(strand&)> task) {
  auto s = strand_of(id);
  ++s->ordered;
  {
    const std::lock_guard lock(s->mutex);
    s->tasks.push_back(std::move(task));
    if (std::exchange(s->running, true)) return;
  }
  ready_.push_back(std::move(s));
}

void segment_disk::flush() {
  for (auto& s : std::exchange(ready_, {})) post(s);
}

void segment_disk::post(const strand_ptr& s) {
  std::function<void()> run = [self = shared_from_this(), s] { work(self, s); };
  // The pool takes one task for each segment, and there are fewer of those than its queue has room; once it is closed,
  // nothing is owed to anybody any more.
  const bool taken = context_->disk.post(std::move(run));
  TROUPE_INVARIANT(taken || context_->stopping, "the disk threads' queue is full");
}

void segment_disk::work(const std::shared_ptr<segment_disk>&, const strand_ptr& s) {
  for (;;) {
    std::function<void(strand&)> task;
    {
      const std::lock_guard lock(s->mutex);
      if (s->tasks.empty()) {
        s->running = false;
        return;
      }
      task = std::move(s->tasks.front());
      s->tasks.pop_front();
    }
    task(*s);
  }
}

void segment_disk::carry_out(create_file order) {
  enqueue(order.segment, [this, self = shared_from_this(), order](strand& s) {
    storage::segment_info info;
    info.cluster = context_->parts.self.cluster;
    info.replica = context_->self.member;
    info.dataset = order.where.dataset;
    info.partition = order.where.partition;
    info.epoch = order.epoch;
    info.schema = order.how.schema;
    info.format = order.how.format;
    info.created_at_unix_ms = order.how.created_at_unix_ms;
    info.expected_bytes = order.how.expected_bytes;
    auto made = storage::open_segment::create(operations(), context_->parts.segments.directory(), order.segment, info);
    result<void> how = ok();
    if (made)
      s.set_file(std::make_shared<storage::open_segment>(std::move(*made)));
    else
      how = made.error();
    back([number = order.number, how](segment_disk& d) { d.then_.created(number, how); });
  });
}

void segment_disk::carry_out(write_batches order) {
  const auto segment = order.segment;
  enqueue(segment, [this, self = shared_from_this(), order = std::move(order)](strand& s) {
    const auto file = s.open_file();
    result<void> how = error{errc::not_found, "its file is closed"};
    if (file) how = file->append(order.at.bytes, order.batches.view());
    if (!how)
      back([id = order.segment, why = how.error()](segment_disk& d) { d.then_.write_failed(id, why); });
    else if (order.number.value != 0)  // policy `seal` acknowledges what is written
      back([number = order.number](segment_disk& d) { d.then_.written(number); });
  });
}

void segment_disk::carry_out(sync_file order) {
  enqueue(order.segment, [this, self = shared_from_this(), order](strand& s) {
    const auto file = s.open_file();
    if (!file) return;  // what was to be synced could not be written, which was said
    file->sync();
    back([number = order.number](segment_disk& d) { d.then_.synced(number); });
  });
}

void segment_disk::keep(keep_promise order) {
  enqueue(order.segment, [this, self = shared_from_this(), order](strand&) {
    result<void> kept = ok();
    {
      const std::lock_guard lock(promises_mutex_);
      kept = promises_.keep(order.segment, order.epoch);
    }
    back([order, kept](segment_disk& d) {
      if (kept) return d.then_.promised(order.number);
      // Without room for the promise nobody may be told that it was made.
      d.context_->parts.log.warning("log", "a promise for segment " + to_string(order.segment) +
                                               " can't be recorded yet: " + kept.error().message());
      auto timer = std::make_shared<asio::steady_timer>(d.context_->io, promise_retry);
      timer->async_wait([timer, again = d.shared_from_this(), order](const boost::system::error_code& failed) {
        if (failed || again->context_->stopping) return;
        again->keep(order);
        again->flush();
      });
    });
  });
}

void segment_disk::carry_out(keep_promise order) { keep(order); }

void segment_disk::carry_out(inspect_file order) {
  enqueue(order.segment, [this, self = shared_from_this(), order](strand& s) {
    // Behind what this start has written is room only: 64 MiB of zeros to be read would keep a take-over waiting.
    const auto file = s.open_file();
    const auto looked = context_->parts.segments.inspect(order.segment, order.floor, file ? file->file_bytes() : ~0ull);
    result<replication::inspection> found = replication::inspection{};
    if (looked) {
      found->exists = true;
      found->sealed = looked->sealed;
      found->scan = looked->scan;
    } else if (looked.error().code() != errc::not_found) {
      found = looked.error();
    }
    back([number = order.number, found](segment_disk& d) { d.then_.inspected(number, found); });
  });
}

void segment_disk::carry_out(seal_file order) {
  enqueue(order.segment, [this, self = shared_from_this(), order](strand& s) {
    const auto file = s.open_file();
    s.set_file(nullptr);
    auto made = file ? file->seal(order.length.records, order.length.bytes, order.verify)
                     : storage::seal_closed(operations(), context_->parts.segments.directory(), order.segment,
                                            order.length.records, order.length.bytes);
    result<replication::seal_outcome> how = error{errc::internal, ""};
    if (made)
      how = outcome_of(std::move(*made));
    else
      how = made.error();
    back([number = order.number, how](segment_disk& d) { d.then_.sealed(number, how); });
  });
}

void segment_disk::carry_out(read_footer order) {
  enqueue(order.segment, [this, self = shared_from_this(), order](strand&) {
    auto read = storage::read_footer(operations(), context_->parts.segments.directory(), order.segment);
    result<replication::seal_outcome> found = error{errc::internal, ""};
    if (read)
      found = outcome_of(std::move(*read));
    else
      found = read.error();
    back([number = order.number, found](segment_disk& d) { d.then_.footer_read(number, found); });
  });
}

/// Beside the strand: what is below the high-water mark was written before, and readers do not wait for appends.
void segment_disk::carry_out(read_batches order) {
  const auto s = strand_of(order.segment);
  std::function<void()> task = [this, self = shared_from_this(), order, s] {
    const auto file = s->open_file();
    auto read = file ? file->read(order.from, order.below, order.bytes_max)
                     : storage::read_batches(operations(), path_of(order.segment), order.segment, order.from,
                                             order.below, order.bytes_max);
    result<shared_bytes> found = error{errc::internal, ""};
    if (read)
      found = shared_bytes(std::move(*read));
    else
      found = read.error();
    back([number = order.number, found](segment_disk& d) { d.then_.batches_read(number, found); });
  };
  if (context_->disk.post(std::move(task))) return;
  asio::post(context_->io, [self = shared_from_this(), number = order.number] {
    self->then_.batches_read(number, error{errc::resource_exhausted, "too many reads wait for the disk"});
  });
}

/// Nobody's append waits for it.
void segment_disk::carry_out(verify_file order) {
  std::function<void()> task = [this, self = shared_from_this(), order] {
    const auto look = [&]() -> result<void> {
      TROUPE_TRY(const auto reader, context_->parts.segments.open(order.segment));
      if (reader.summary().digest != order.digest)
        return error{errc::corrupted, reader.path() + " is another copy than the one that is meant"};
      return reader.verify();
    };
    const auto how = look();
    back([number = order.number, how](segment_disk& d) { d.then_.verified(number, how); });
  };
  if (context_->checking.post(std::move(task))) return;
  asio::post(context_->io, [self = shared_from_this(), number = order.number] {
    self->then_.verified(number, error{errc::resource_exhausted, "too many copies wait to be checked"});
  });
}

void segment_disk::carry_out(release_file order) {
  const auto s = strand_of(order.segment);
  enqueue(order.segment, [this, self = shared_from_this(), order, s, last = s->ordered + 1](strand& file) {
    file.set_file(nullptr);
    if (order.forget_promise) {
      const std::lock_guard lock(promises_mutex_);
      const auto forgotten = promises_.forget(order.segment);
      if (!forgotten)
        context_->parts.log.warning("log", "a promise is kept longer than needed: " + forgotten.error().message());
    }
    back([id = order.segment, s, last](segment_disk& d) { d.drop_strand(id, s, last); });
  });
}

void segment_disk::drop_strand(segment_id id, const strand_ptr& s, std::uint64_t ordered) {
  const auto at = strands_.find(id);
  if (at != strands_.end() && at->second == s && s->ordered == ordered) strands_.erase(at);
}

void segment_disk::adopt(segment_id id, const format::segment_summary& expected,
                         std::function<void(result<void>)> then) {
  const auto s = strand_of(id);
  enqueue(id, [this, self = shared_from_this(), id, s, expected, then = std::move(then),
               last = s->ordered + 1](strand& file) {
    file.set_file(nullptr);
    const auto how = storage::adopt_closed(operations(), context_->parts.segments.directory(), id, expected);
    back([id, s, last, then, how](segment_disk& d) {
      d.drop_strand(id, s, last);
      then(how);
    });
  });
  flush();
}

}  // namespace troupe::logs
