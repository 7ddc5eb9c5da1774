#include <actors/data/segment_output.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/redirect_error.hpp>
#include <troupe/telemetry/journal.hpp>

namespace troupe::data {

namespace asio = boost::asio;

segment_output::segment_output(context_ptr c, output_spec spec) : context_(std::move(c)), spec_(std::move(spec)) {
  header_.segment = spec_.segment;
  header_.dataset = spec_.dataset;
  header_.partition = spec_.partition;
  header_.format = spec_.format;
  header_.created_at_unix_ms = unix_ms_now();
  header_.expected_bytes = spec_.expected_bytes;
  header_.schema = context_->parts.metadata.read([&](const metadata::state& s) {
    const auto* d = s.find_dataset(spec_.dataset);
    return d != nullptr ? format::schema_id_of(d->schema) : format::schema_id{};
  });
  for (const auto member : spec_.replicas) replicas_.push_back(std::make_shared<replica>(*context_, member));
  if (replicas_.size() < std::max<std::size_t>(1, spec_.copies_min))
    failed_ = error{errc::failed_precondition, "segment " + to_string(spec_.segment) + " needs " +
                                                   std::to_string(spec_.copies_min) + " replicas and was given " +
                                                   std::to_string(replicas_.size())};
}

void segment_output::start() {
  started_ = true;
  for (auto& r : replicas_)
    asio::co_spawn(
        context_->io, [self = shared_from_this(), r]() -> asio::awaitable<void> { co_await self->run(r); },
        asio::detached);
}

void segment_output::append(bytes_view payload, std::uint64_t records, replicated_writer::done then) {
  if (context_->stopping && !failed_) give_up(error{errc::cancelled, "this node is stopping"});
  if (failed_) return then(*failed_);
  if (sealing_) return then(error{errc::failed_precondition, "an append after seal"});
  if (records == 0 || records > std::numeric_limits<std::uint32_t>::max() ||
      payload.size() > format::batch_payload_bytes_max)
    return then(error{errc::invalid_argument, "a batch of " + std::to_string(records) + " records and " +
                                                  std::to_string(payload.size()) + " bytes can't be written"});
  if (batches_.size() >= replicated_writer::appends_outstanding_max)
    return then(error{errc::resource_exhausted, "too many appends at once to segment " + to_string(spec_.segment)});
  batch b;
  b.payload = payload;
  b.records = static_cast<std::uint32_t>(records);
  b.time = last_time_ = std::max(last_time_, unix_ms_now());  // never goes back
  b.then = std::move(then);
  b.claims = usable();
  batches_.push_back(std::move(b));
  ++appended_;
  if (!started_) start();
  wake_all();
}

void segment_output::seal(std::function<void(result<sealed_output>)> then) {
  if (sealing_) return then(error{errc::failed_precondition, "seal was called before"});
  sealing_ = true;
  seal_then_ = std::move(then);
  for (auto& r : replicas_) r->running = r->running && started_;
  wake_all();
  finish();
}

void segment_output::abort(error why) {
  if (!failed_) give_up(std::move(why));
  finish();
}

std::size_t segment_output::usable() const {
  return static_cast<std::size_t>(
      std::count_if(replicas_.begin(), replicas_.end(), [](const auto& r) { return !r->failure; }));
}

error segment_output::too_few() const {
  std::string text = "segment " + to_string(spec_.segment) + " of " + context_->describe(spec_.dataset) + " needs " +
                     std::to_string(std::max(1U, spec_.copies_min)) + (spec_.copies_min > 1 ? " copies" : " copy") +
                     " and has " + std::to_string(usable()) + " left:";
  // One reason decides what a caller may do: a full disk is not a dead peer.
  auto code = errc::unavailable;
  for (const auto& r : replicas_) {
    if (!r->failure) continue;
    text += " " + r->name + " failed (" + r->failure->message() + ");";
    if (r->failure->code() != errc::unavailable && r->failure->code() != errc::deadline_exceeded)
      code = r->failure->code();
  }
  text.pop_back();
  return error{code, std::move(text)};
}

void segment_output::wake_all() {
  for (auto& r : replicas_) r->wake.cancel();
}

void segment_output::give_up(error why) {
  failed_ = std::move(why);
  for (auto& r : replicas_)
    if (r->closer) r->closer();
  wake_all();
}

asio::awaitable<void> segment_output::wait(replica& r) {
  // A node that stops is noticed within this time, by writers that have nothing to do as well.
  r.wake.expires_after(std::chrono::milliseconds(250));
  boost::system::error_code woken;
  co_await r.wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  if (context_->stopping && !failed_) give_up(error{errc::cancelled, "this node is stopping"});
}

asio::awaitable<void> segment_output::run(std::shared_ptr<replica> r) {
  result<void> outcome;
  if (context_->is_self(r->member))
    outcome = co_await run_here(*r);
  else
    outcome = co_await run_there(*r);
  r->closer = nullptr;
  ended(*r, std::move(outcome));
}

asio::awaitable<result<void>> segment_output::run_here(replica& r) {
  auto hosted = co_await hosted_segment::open(context_, header_);
  if (!hosted) co_return hosted.error();
  for (;;) {
    if (failed_) co_return *failed_;
    if (r.taken < appended_) {
      const auto& next = at(r.taken);
      auto appended = co_await (*hosted)->append(next.payload, next.records, next.time);
      if (!appended) co_return appended.error();
      taken(r);
    } else if (sealing_) {
      break;
    } else {
      co_await wait(r);
    }
  }
  auto sealed = co_await (*hosted)->seal();
  if (!sealed) co_return sealed.error();
  r.summary = *sealed;
  co_return ok();
}

asio::awaitable<result<peer_pool::lease>> segment_output::open_there(replica& r) {
  using block_protocol::frame_type;
  for (bool fresh = false;; fresh = true) {
    auto lease =
        co_await context_->peers.get(r.member, peer_pool::purpose::writer, context_->request_deadline(), fresh);
    if (!lease) co_return lease.error();
    r.closer = lease->stream().closer();
    const auto request = codec::encode(header_);
    auto sent = co_await lease->stream().write(static_cast<std::uint16_t>(frame_type::open_segment), 0, request,
                                               context_->stall_deadline());
    result<transport::frame> came(error{});
    if (sent)
      came = co_await lease->stream().read(context_->request_deadline());
    else
      came = sent.error();
    if (!came) {
      r.closer = nullptr;
      if (lease->reused() && !fresh && !failed_) continue;
      co_return came.error();
    }
    if (came->type == static_cast<std::uint16_t>(frame_type::failure)) {
      std::move(*lease).give_back();
      co_return decode_failure(came->payload, r.name);
    }
    if (came->type != static_cast<std::uint16_t>(frame_type::opened))
      co_return error{errc::corrupted, "frame of type " + std::to_string(came->type) + " where «opened» should be"};
    co_return std::move(lease);
  }
}

asio::awaitable<result<void>> segment_output::read_confirmation(replica& r, transport::framed& stream) {
  using block_protocol::frame_type;
  auto came = co_await stream.read(context_->stall_deadline());
  if (!came) co_return came.error();
  if (came->type == static_cast<std::uint16_t>(frame_type::failure)) co_return decode_failure(came->payload, r.name);
  if (came->type != static_cast<std::uint16_t>(frame_type::appended))
    co_return error{errc::corrupted, "frame of type " + std::to_string(came->type) + " where «appended» should be"};
  co_return ok();
}

asio::awaitable<result<void>> segment_output::run_there(replica& r) {
  using block_protocol::frame_type;
  auto lease = co_await open_there(r);
  if (!lease) co_return lease.error();
  auto& stream = lease->stream();
  for (;;) {
    if (failed_) co_return *failed_;
    if (r.sent < appended_ && r.sent - r.taken < window) {
      const auto& next = at(r.sent);
      block_protocol::append_head head;
      head.size = next.payload.size();
      head.records = next.records;
      head.append_time_unix_ms = next.time;
      auto sent = co_await write_pieces(stream, frame_type::append, codec::encode(head), next.payload,
                                        context_->stall_deadline());
      if (!sent) {
        // A replica that gives up says why before it closes.
        auto why = co_await read_confirmation(r, stream);
        if (!why && why.error().code() == errc::resource_exhausted) co_return why.error();
        co_return sent.error();
      }
      context_->count.bytes_sent.add(head.size);
      ++r.sent;
    } else if (r.taken < r.sent) {
      auto confirmed = co_await read_confirmation(r, stream);
      if (!confirmed) co_return confirmed.error();
      taken(r);
    } else if (sealing_) {
      break;
    } else {
      co_await wait(r);
    }
  }
  auto sent =
      co_await stream.write(static_cast<std::uint16_t>(frame_type::seal), 0, bytes_view(), context_->stall_deadline());
  if (!sent) co_return sent.error();
  auto came = co_await stream.read(context_->request_deadline());
  if (!came) co_return came.error();
  if (came->type == static_cast<std::uint16_t>(frame_type::failure)) {
    std::move(*lease).give_back();
    co_return decode_failure(came->payload, r.name);
  }
  if (came->type != static_cast<std::uint16_t>(frame_type::sealed))
    co_return error{errc::corrupted, "frame of type " + std::to_string(came->type) + " where «sealed» should be"};
  auto summary = codec::decode<format::segment_summary>(came->payload, "segment summary");
  if (!summary) co_return summary.error();
  r.summary = *summary;
  std::move(*lease).give_back();
  co_return ok();
}

void segment_output::taken(replica& r) {
  release(at(r.taken));
  ++r.taken;
  r.sent = std::max(r.sent, r.taken);
  drop_unclaimed();
}

void segment_output::release(batch& b) { --b.claims; }

void segment_output::drop_unclaimed() {
  while (!batches_.empty() && batches_.front().claims == 0) {
    auto then = std::move(batches_.front().then);
    batches_.pop_front();
    ++first_;
    if (failed_)
      then(*failed_);
    else
      then(ok());
  }
}

void segment_output::ended(replica& r, result<void> outcome) {
  r.running = false;
  if (!outcome) {
    const auto why = outcome.error();
    // Its connection was closed here because it is known to be dead.
    const bool dropped = why.code() == errc::cancelled && !failed_;
    r.failure = dropped ? error{errc::unavailable, r.name + " is gone: " + why.message()} : why;
    if (!failed_) {
      context_->count.replicas_lost.add();
      context_->parts.journal.append("replica_lost", r.name,
                                     r.name + " fell out while segment " + to_string(spec_.segment) + " of " +
                                         context_->describe(spec_.dataset) + " was written: " + r.failure->message(),
                                     {{"segment", to_string(spec_.segment)}, {"reason", r.failure->message()}});
      if (usable() < std::max(1U, spec_.copies_min)) give_up(too_few());
    }
    // What it has not taken, it will not touch any more.
    const auto begin = r.taken;
    for (auto i = begin; i < appended_; ++i) release(at(i));
    drop_unclaimed();
  }
  finish();
}

void segment_output::finish() {
  if (!seal_then_) return;
  if (started_ && std::any_of(replicas_.begin(), replicas_.end(), [](const auto& r) { return r->running; })) return;
  auto then = std::exchange(seal_then_, nullptr);
  if (failed_) return then(*failed_);
  sealed_output out;
  out.segment.id = spec_.segment;
  if (appended_ == 0) return then(std::move(out));
  // This node's own copy says what is right: it was made from the caller's memory. Without one, the first.
  const replica* model = nullptr;
  for (const auto& r : replicas_)
    if (r->summary && (model == nullptr || context_->is_self(r->member))) model = r.get();
  for (const auto& r : replicas_) {
    if (!r->failure && *r->summary != *model->summary)
      r->failure = error{errc::corrupted, "its copy has the digest " + r->summary->digest.to_string() + ", that of " +
                                              model->name + " has " + model->summary->digest.to_string()};
    if (r->failure)
      out.lost.push_back({r->member, *r->failure});
    else
      out.segment.holders.push_back(r->member);
  }
  if (usable() < std::max(1U, spec_.copies_min)) {
    failed_ = too_few();
    // The copy here is garbage now; those elsewhere are found by their own collectors.
    if (context_->is_self(model->member)) {
      auto& store = context_->parts.segments;
      context_->disk.post([&store, id = spec_.segment] { (void)store.remove(id); });
    }
    return then(*failed_);
  }
  out.segment.bytes = model->summary->payload_bytes;
  out.segment.file_bytes = model->summary->file_bytes;
  out.segment.records = model->summary->records;
  out.segment.digest = model->summary->digest;
  then(std::move(out));
}

namespace {

class output_handle final : public replicated_writer {
 public:
  output_handle(std::shared_ptr<segment_output> output, context_ptr c)
      : output_(std::move(output)), context_(std::move(c)) {}
  ~output_handle() override { abort(); }

  void append(bytes_view payload, std::uint64_t records, done then) override {
    asio::dispatch(context_->io, [o = output_, payload, records, then = std::move(then)]() mutable {
      o->append(payload, records, std::move(then));
    });
  }
  void seal(std::function<void(result<sealed_output>)> then) override {
    sealed_ = true;
    asio::dispatch(context_->io, [o = output_, then = std::move(then)]() mutable { o->seal(std::move(then)); });
  }
  void abort() override {
    // Sealing goes on without its handle: the callback is still owed.
    if (sealed_.exchange(true)) return;
    asio::post(context_->io, [o = output_] { o->abort(error{errc::cancelled, "the segment was given up"}); });
  }

 private:
  std::shared_ptr<segment_output> output_;
  context_ptr context_;
  std::atomic<bool> sealed_{false};
};

}  // namespace

std::shared_ptr<replicated_writer> segment_output::handle(std::shared_ptr<segment_output> output) {
  auto c = output->context_;
  return std::make_shared<output_handle>(std::move(output), std::move(c));
}

}  // namespace troupe::data
