#include <actors/data/line_batcher.hpp>
#include <actors/data/record_batcher.hpp>
#include <actors/data/stream_importer.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <troupe/base/text.hpp>

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

import_progress stream_importer::progress() const { return {bytes_taken_, records_, segments_sealed_}; }

}  // namespace troupe::data
