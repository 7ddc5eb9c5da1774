// How an import ends: its segments are sealed, copies that were lost on the way are made anew, and the dataset appears
// whole or not at all.
#include <actors/data/segment_copying.hpp>
#include <actors/data/stream_importer.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <troupe/base/text.hpp>
#include <troupe/telemetry/journal.hpp>

namespace troupe::data {

namespace asio = boost::asio;

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
