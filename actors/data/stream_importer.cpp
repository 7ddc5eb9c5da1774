#include <actors/data/line_batcher.hpp>
#include <actors/data/record_batcher.hpp>
#include <actors/data/segment_copying.hpp>
#include <actors/data/stream_importer.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <troupe/base/text.hpp>
#include <troupe/telemetry/journal.hpp>

namespace troupe::data {

namespace asio = boost::asio;

stream_importer::stream_importer(context_ptr c, import_options options)
    : context_(std::move(c)), options_(std::move(options)), wake_(context_->io, transport::steady_time::max()) {}

/// Makes the batcher that the options ask for.
result<void> stream_importer::check_options() {
  TROUPE_TRY_VOID(check_name("dataset", options_.dataset));
  if (options_.format == data_format::bytes)
    return error{errc::unsupported, "lines, CSV and JSON can be imported; records of bytes come from jobs"};
  if ((options_.format == data_format::records) != (options_.text.kind != format::text_kind::lines))
    return error{errc::invalid_argument, "records are read from CSV or JSON, and lines as they are"};
  if (options_.partitions > limits::partitions_max)
    return error{errc::invalid_argument, "a dataset has at most " + std::to_string(limits::partitions_max) +
                                             " partitions, not " + std::to_string(options_.partitions)};
  if (options_.format == data_format::records) {
    TROUPE_TRY(batcher_, record_batcher::make(options_.text, options_.schema));
  } else {
    batcher_ = std::make_unique<line_batcher>();
  }
  return ok();
}

void stream_importer::plan_partitions() {
  if (options_.size_bytes) {
    const auto size = *options_.size_bytes;
    const auto wanted = (size + limits::segment_bytes - 1) / limits::segment_bytes;
    partitions_ = options_.partitions != 0
                      ? options_.partitions
                      : static_cast<std::uint32_t>(std::clamp<std::uint64_t>(wanted, 1, partitions_default_max));
    partition_bytes_ = std::max<std::uint64_t>(1, (size + partitions_ - 1) / partitions_);
  }
  segments_.resize(partitions_);
  batcher_->set_boundary(boundary());
}

std::optional<std::uint64_t> stream_importer::boundary() const {
  if (partition_bytes_ == 0 || partition_ + 1 >= partitions_) return std::nullopt;
  return (partition_ + 1) * partition_bytes_;
}

asio::awaitable<result<void>> stream_importer::begin() {
  auto checked = check_options();
  if (!checked) co_return checked.error();
  members_ = context_->alive_members();
  copies_ =
      options_.copies != 0 ? options_.copies : static_cast<std::uint32_t>(std::min<std::size_t>(2, members_.size()));
  if (copies_ > members_.size()) co_return too_few_members();
  metadata::begin_import command;
  command.name = options_.dataset;
  command.format = options_.format;
  command.schema = options_.schema;
  command.copies = copies_;
  command.replace = options_.replace;
  command.importer = context_->self();
  command.segment_ids = ids_at_once;
  auto begun = co_await context_->propose(std::move(command), context_->options.request_time_max);
  if (!begun) co_return begun.error();
  begun_ = true;
  dataset_ = begun->dataset;
  next_segment_ = begun->first_segment;
  ids_left_ = ids_at_once;
  plan_partitions();
  co_return ok();
}

/// Nodes that are away may come back: that passes. More copies than there are nodes do not.
error stream_importer::too_few_members() const {
  std::string away;
  std::size_t all = 0;
  context_->parts.metadata.read([&](const metadata::state& s) {
    for (const auto& [id, m] : s.members()) {
      if (m.state == metadata::member_state::left) continue;
      ++all;
      if (!s.is_live(id)) away += (away.empty() ? "" : ", ") + m.name;
    }
    return 0;
  });
  const auto alive = std::to_string(members_.size()) + (members_.size() == 1 ? " is" : " are") + " alive";
  return error{
      copies_ <= all ? errc::unavailable : errc::failed_precondition,
      std::to_string(copies_) + " copies need as many alive nodes, and " + alive +
          (away.empty() ? "" : " (away: " + away + ")") +
          (copies_ <= all ? "; start what is away, or ask for fewer copies" : "; add a node or ask for fewer copies")};
}

void stream_importer::wake() { wake_.cancel(); }

asio::awaitable<void> stream_importer::changed() {
  boost::system::error_code woken;
  co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

void stream_importer::fail(error why) {
  if (!failed_) failed_ = std::move(why);
  wake();
}

asio::awaitable<result<void>> stream_importer::write(bytes_view data) {
  if (failed_) co_return *failed_;
  bytes_taken_ += data.size();
  context_->count.bytes_imported.add(data.size());
  for (;;) {
    auto batch = batcher_->take(data);
    if (!batch) {
      co_await abort(batch.error());
      co_return *failed_;
    }
    if (!*batch) co_return ok();
    auto placed = co_await place(std::move(**batch));
    if (!placed) {
      co_await abort(placed.error());
      co_return *failed_;
    }
  }
}

asio::awaitable<result<void>> stream_importer::end_of_source() {
  if (failed_) co_return *failed_;
  batcher_->end_of_source();
  co_return ok();
}

asio::awaitable<result<segment_id>> stream_importer::next_id() {
  if (ids_left_ == 0) {
    metadata::allocate_segments command;
    command.dataset = dataset_;
    command.count = ids_at_once;
    auto more = co_await context_->propose(std::move(command), context_->options.request_time_max);
    if (!more) co_return more.error();
    next_segment_ = more->first_segment;
    ids_left_ = ids_at_once;
  }
  --ids_left_;
  const auto id = next_segment_;
  next_segment_ = id.next();
  co_return id;
}

asio::awaitable<result<void>> stream_importer::open_next() {
  auto id = co_await next_id();
  if (!id) co_return id.error();
  output_spec spec;
  spec.segment = *id;
  spec.dataset = dataset_;
  spec.partition = partition_index{partition_};
  spec.format = options_.format;
  spec.copies_min = 1;  // a copy that falls out is made again after the seal, from one that is whole
  if (options_.size_bytes) {
    const auto taken = bytes_taken_.load();
    const auto left = *options_.size_bytes > taken ? *options_.size_bytes - taken : 0;
    // Headers of batches come on top, about 0.03 %.
    spec.expected_bytes =
        std::min<std::uint64_t>(limits::segment_bytes + limits::segment_bytes / 256, left + limits::batch_bytes);
    if (partition_bytes_ != 0)
      spec.expected_bytes =
          std::min(spec.expected_bytes, partition_bytes_ + partition_bytes_ / 256 + limits::batch_bytes);
  }
  // Members that died since are left out; the rotation goes on over the others.
  members_ = context_->alive_members();
  const auto has_room = [&](const context::place& p) { return !full_.contains(p.id); };
  if (static_cast<std::size_t>(std::count_if(members_.begin(), members_.end(), has_room)) >= copies_)
    std::erase_if(members_, [&](const context::place& p) { return !has_room(p); });
  const auto count = std::min<std::size_t>(copies_, members_.size());
  for (std::size_t i = 0; i < count; ++i) spec.replicas.push_back(members_[(segments_begun_ + i) % members_.size()].id);
  ++segments_begun_;
  open_segment next;
  next.partition = partition_;
  next.place = segments_[partition_].size();
  next.replicas = spec.replicas;
  next.writer = segment_output::handle(std::make_shared<segment_output>(context_, std::move(spec)));
  segments_[partition_].emplace_back().id = *id;
  open_ = std::move(next);
  co_return ok();
}

asio::awaitable<result<void>> stream_importer::place(batcher::batch b) {
  if (open_ && open_->bytes >= limits::segment_bytes) {
    auto rolled = co_await roll();
    if (!rolled) co_return rolled.error();
    if (partition_bytes_ == 0) {
      // Of unknown size: every segment a partition, as far as there may be partitions.
      if (partitions_ < limits::partitions_max) {
        partition_ = partitions_++;
        segments_.resize(partitions_);
      }
    }
  }
  const bool first = !open_;
  while (!failed_ && in_flight_ != 0 && in_flight_ + b.payload.size() > bytes_in_flight_max) co_await changed();
  if (failed_) co_return *failed_;
  const auto end = b.end;
  const auto size = b.payload.size();
  bytes_stored_ += size;
  records_ += b.records;
  auto payload = std::make_shared<bytes>(std::move(b.payload));
  if (first) {
    auto placed = co_await place_first(payload, b.records);
    if (!placed) co_return placed.error();
    if (failed_) co_return *failed_;  // given up meanwhile: nothing is open any more
    batcher_->recycle(std::move(*payload));
  } else {
    in_flight_ += size;
    open_->writer->append(*payload, b.records, [self = shared_from_this(), payload, size](result<void> written) {
      self->in_flight_ -= size;
      if (!written)
        self->fail(written.error());
      else
        self->batcher_->recycle(std::move(*payload));
      self->wake();
    });
  }
  open_->bytes += size;
  if (const auto border = boundary(); border && end >= *border) {
    auto rolled = co_await roll();
    if (!rolled) co_return rolled.error();
    // A long record may reach over several borders: the partitions between are empty.
    while (boundary() && end >= *boundary()) ++partition_;
    batcher_->set_boundary(boundary());
  }
  co_return ok();
}

/// Opens a segment with its first batch. Room for all of it is reserved before that, so this batch tells whether the
/// disks are full: where all are, the segment goes to other members.
asio::awaitable<result<void>> stream_importer::place_first(std::shared_ptr<bytes> payload, std::uint64_t records) {
  for (;;) {
    auto opened = co_await open_next();
    if (!opened) co_return opened.error();
    auto writer = open_->writer;
    auto pending = transport::await_result<void>(
        [writer, payload, records](std::function<void(result<void>)> then) {
          writer->append(*payload, records,
                         [payload, then = std::move(then)](result<void> written) { then(std::move(written)); });
        },
        transport::after(10 * context_->options.request_time_max));
    auto written = co_await std::move(pending);
    if (written || failed_ || written.error().code() != errc::resource_exhausted) co_return written;
    full_.insert(open_->replicas.begin(), open_->replicas.end());
    const auto alive = context_->alive_members();
    const auto others =
        std::count_if(alive.begin(), alive.end(), [&](const context::place& p) { return !full_.contains(p.id); });
    if (static_cast<std::size_t>(others) < copies_) co_return written;
    segments_[open_->partition].pop_back();
    open_.reset();
  }
}

asio::awaitable<result<void>> stream_importer::roll() {
  if (!open_) co_return ok();
  while (!failed_ && sealing_ >= sealing_max) co_await changed();
  if (failed_) co_return *failed_;
  ++sealing_;
  auto full = std::move(*open_);
  open_.reset();
  asio::co_spawn(
      context_->io,
      [self = shared_from_this(), full = std::move(full)]() mutable -> asio::awaitable<void> {
        co_await self->seal(std::move(full));
      },
      asio::detached);
  co_return ok();
}

asio::awaitable<void> stream_importer::seal(open_segment s) {
  auto writer = s.writer;
  // The writer keeps its own deadlines for every step; this one is for a defect.
  auto sealed_pending = transport::await_result<sealed_output>(
      [writer](std::function<void(result<sealed_output>)> then) { writer->seal(std::move(then)); },
      transport::after(10 * context_->options.request_time_max));
  auto sealed = co_await std::move(sealed_pending);
  if (!sealed) {
    fail(sealed.error());
  } else {
    auto restored = co_await restore_copies(*sealed, partition_index{s.partition});
    if (!restored) fail(restored.error());
    segments_[s.partition][s.place] = std::move(sealed->segment);
    ++segments_sealed_;
  }
  --sealing_;
  wake();
}

asio::awaitable<result<void>> stream_importer::restore_copies(sealed_output& sealed, partition_index partition) {
  auto& segment = sealed.segment;
  std::vector<replica_failure> lost = std::move(sealed.lost);
  while (segment.holders.size() < copies_) {
    const auto alive = context_->alive_members();
    const auto unfit = [&](member_id id) {
      return std::find(segment.holders.begin(), segment.holders.end(), id) != segment.holders.end() ||
             std::any_of(lost.begin(), lost.end(), [&](const auto& f) { return f.member == id; });
    };
    const auto target = std::find_if(alive.begin(), alive.end(), [&](const auto& p) { return !unfit(p.id); });
    if (target == alive.end()) {
      std::string text = "segment " + to_string(segment.id) + " has " + std::to_string(segment.holders.size()) +
                         " of " + std::to_string(copies_) + " copies and no other member can take one:";
      auto code = errc::unavailable;
      for (const auto& f : lost) {
        text += " " + context_->name_of(f.member) + " failed (" + f.why.message() + ");";
        if (f.why.code() == errc::resource_exhausted) code = errc::resource_exhausted;
      }
      co_return error{code, text + " import again, with fewer copies if it has to be now"};
    }
    block_protocol::pull_segment pull;
    pull.what.segment = segment.id;
    pull.what.dataset = dataset_;
    pull.what.partition = partition;
    pull.what.format = options_.format;
    pull.what.created_at_unix_ms = unix_ms_now();
    pull.what.expected_bytes = segment.file_bytes;
    pull.summary.payload_bytes = segment.bytes;
    pull.summary.file_bytes = segment.file_bytes;
    pull.summary.records = segment.records;
    pull.summary.digest = segment.digest;
    pull.from = segment.holders.front();
    const auto who = target->id;
    auto pulled = co_await ask_to_pull(context_, who, std::move(pull));
    if (pulled)
      segment.holders.push_back(who);
    else
      lost.push_back({who, pulled.error()});
  }
  co_return ok();
}

std::vector<metadata::partition> stream_importer::result_partitions() {
  std::vector<metadata::partition> out;
  if (partition_bytes_ == 0 && options_.partitions != 0) {
    // The size was unknown, the number of partitions is not: runs of segments, in order.
    std::vector<metadata::segment> all;
    for (auto& p : segments_)
      for (auto& s : p) all.push_back(std::move(s));
    out.resize(options_.partitions);
    for (std::size_t i = 0; i < all.size(); ++i) out[i * out.size() / all.size()].segments.push_back(std::move(all[i]));
    return out;
  }
  for (auto& p : segments_) out.emplace_back().segments = std::move(p);
  return out;
}

asio::awaitable<result<import_result>> stream_importer::finish() {
  if (failed_) co_return *failed_;
  auto last = batcher_->finish();
  if (!last) {
    fail(last.error());
  } else if (*last) {
    auto placed = co_await place(std::move(**last));
    if (!placed) fail(placed.error());
  }
  if (!failed_) {
    auto rolled = co_await roll();
    if (!rolled) fail(rolled.error());
  }
  while (!failed_ && sealing_ != 0) co_await changed();
  if (failed_) {
    co_await abort(*failed_);
    co_return *failed_;
  }
  metadata::commit_import command;
  command.dataset = dataset_;
  command.partitions = result_partitions();
  import_result out;
  out.dataset = dataset_;
  out.bytes = bytes_stored_;
  out.records = records_;
  out.partitions = static_cast<std::uint32_t>(command.partitions.size());
  out.segments = segments_sealed_;
  auto committed = co_await context_->propose(std::move(command), context_->options.request_time_max);
  if (!committed) {
    co_await abort(committed.error());
    co_return *failed_;
  }
  ended_ = true;
  failed_ = error{errc::failed_precondition, "this import has ended"};
  context_->parts.journal.append(
      "dataset_imported", context_->name_of(context_->self()),
      "dataset " + options_.dataset + " was imported: " + std::to_string(out.records) + " records, " +
          format_bytes(out.bytes),
      {{"dataset", options_.dataset}, {"records", std::to_string(out.records)}, {"bytes", std::to_string(out.bytes)}});
  co_return out;
}

asio::awaitable<void> stream_importer::abort(error why) {
  fail(std::move(why));
  if (ended_ || !begun_) co_return;
  ended_ = true;
  open_.reset();
  while (sealing_ != 0) co_await changed();
  metadata::abort_import command;
  command.dataset = dataset_;
  // Files that were sealed already go when every member hears of this.
  auto aborted = co_await context_->propose(std::move(command), context_->options.request_time_max);
  (void)aborted;  // without a leader nobody sees the dataset either; it ends with this member's incarnation
}

void stream_importer::abandon() {
  if (ended_ || !begun_) return;
  asio::co_spawn(
      context_->io,
      [self = shared_from_this()]() -> asio::awaitable<void> {
        co_await self->abort(error{errc::cancelled, "the import was given up"});
      },
      asio::detached);
}

import_progress stream_importer::progress() const { return {bytes_taken_, records_, segments_sealed_}; }

namespace {

class import_handle final : public importer {
 public:
  import_handle(std::shared_ptr<stream_importer> behind, context_ptr c)
      : behind_(std::move(behind)), context_(std::move(c)) {}
  ~import_handle() override {
    if (context_->stopping) return;
    asio::post(context_->io, [b = behind_] { b->abandon(); });
  }
  asio::awaitable<result<void>> write(bytes_view data) override {
    if (context_->stopping) co_return stopping();
    co_return co_await asio::co_spawn(context_->io, behind_->write(data), asio::use_awaitable);
  }
  asio::awaitable<result<void>> end_of_source() override {
    if (context_->stopping) co_return stopping();
    co_return co_await asio::co_spawn(context_->io, behind_->end_of_source(), asio::use_awaitable);
  }
  asio::awaitable<result<import_result>> finish() override {
    if (context_->stopping) co_return stopping();
    co_return co_await asio::co_spawn(context_->io, behind_->finish(), asio::use_awaitable);
  }
  asio::awaitable<void> abort() override {
    if (context_->stopping) co_return;
    co_await asio::co_spawn(context_->io, behind_->abort(error{errc::cancelled, "the import was aborted"}),
                            asio::use_awaitable);
  }
  [[nodiscard]] bytes take_rejected() override { return behind_->take_rejected(); }
  [[nodiscard]] import_progress progress() const override { return behind_->progress(); }

 private:
  static error stopping() { return error{errc::cancelled, "this node is stopping"}; }
  std::shared_ptr<stream_importer> behind_;
  context_ptr context_;
};

}  // namespace

std::unique_ptr<importer> stream_importer::handle(std::shared_ptr<stream_importer> behind) {
  auto c = behind->context_;
  return std::make_unique<import_handle>(std::move(behind), std::move(c));
}

}  // namespace troupe::data
