#include <actors/data/dataset_reader.hpp>
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <troupe/format/record.hpp>

namespace troupe::data {

namespace asio = boost::asio;

namespace {
constexpr std::size_t run_bytes = 1 << 20;
constexpr std::size_t run_bytes_max = limits::record_bytes_max + 2 * limits::chunk_bytes_max;
constexpr std::uint64_t head_records_max = 10'000;
constexpr std::size_t head_bytes_max = 64 << 20;
}  // namespace

asio::awaitable<result<std::optional<record_run>>> dataset_reader::next(std::size_t bytes_hint) {
  while (partition_ < dataset_.partitions.size()) {
    const auto& segments = dataset_.partitions[partition_].segments;
    if (segment_ == segments.size()) {
      ++partition_;
      segment_ = 0;
      segment_first_ = 0;
      continue;
    }
    const auto& segment = segments[segment_];
    if (position_ >= segment.file_bytes) {
      segment_first_ += segment.records;
      ++segment_;
      position_ = 0;
      reader_.reset();
      continue;
    }
    if (!reader_) reader_.emplace(context_, dataset_.id, segment);
    const auto wanted = bytes_hint == 0 ? run_bytes : std::min(bytes_hint, run_bytes);
    memory_sink sink(run_bytes_max);
    auto read = co_await reader_->read(position_, segment.file_bytes, 1, wanted, sink);
    if (!read) {
      const auto& e = read.error();
      co_return error{e.code(), "partition " + std::to_string(partition_) + " (its records before this segment: " +
                                    std::to_string(segment_first_) + "): " + e.message()};
    }
    if (!sink.first) continue;
    record_run run;
    run.payload = std::move(sink.data);
    run.records = sink.records;
    run.partition = partition_index{static_cast<std::uint32_t>(partition_)};
    run.first = record_offset{segment_first_ + sink.first->value};
    co_return std::optional<record_run>(std::move(run));
  }
  co_return std::optional<record_run>{};
}

namespace {

class source_handle final : public record_source {
 public:
  source_handle(context_ptr c, std::shared_ptr<dataset_reader> reader)
      : context_(std::move(c)), reader_(std::move(reader)) {}
  [[nodiscard]] const metadata::dataset& dataset() const override { return reader_->dataset(); }
  asio::awaitable<result<std::optional<record_run>>> next(std::size_t bytes_hint) override {
    if (context_->stopping) co_return error{errc::cancelled, "this node is stopping"};
    // The reader lives in the coroutine as well: the handle may go first.
    auto pending = asio::co_spawn(
        context_->io,
        [reader = reader_, bytes_hint]() -> asio::awaitable<result<std::optional<record_run>>> {
          co_return co_await reader->next(bytes_hint);
        },
        asio::use_awaitable);
    co_return co_await std::move(pending);
  }

 private:
  context_ptr context_;
  std::shared_ptr<dataset_reader> reader_;
};

}  // namespace

std::unique_ptr<record_source> dataset_reader::handle(context_ptr c, metadata::dataset d) {
  auto reader = std::make_shared<dataset_reader>(c, std::move(d));
  return std::make_unique<source_handle>(std::move(c), std::move(reader));
}

result<std::unique_ptr<exporter>> text_exporter::make(context_ptr c, metadata::dataset d, text_format format) {
  auto text = format::record_text::make(d.format, d.schema, format);
  if (!text) return text.error().with_context("export of dataset " + d.name);
  const bool as_is = d.format == data_format::lines && format == text_format::lines;
  auto shared = std::make_shared<const format::record_text>(std::move(*text));
  auto reader = std::make_shared<dataset_reader>(c, std::move(d));
  return std::unique_ptr<exporter>(new text_exporter(std::move(c), std::move(reader), as_is, std::move(shared)));
}

asio::awaitable<result<bytes>> text_exporter::next() {
  if (context_->stopping) co_return error{errc::cancelled, "this node is stopping"};
  co_return co_await asio::co_spawn(context_->io, produce(), asio::use_awaitable);
}

asio::awaitable<result<bytes>> text_exporter::produce() {
  bytes out;
  if (!begun_) text_->append_header(out);
  begun_ = true;
  auto run = co_await reader_->next(0);
  if (!run) co_return run.error();
  if (!*run) co_return std::move(out);
  if (as_is_) co_return std::move((*run)->payload);
  // Converting may take milliseconds: not on the I/O thread.
  auto payload = std::make_shared<bytes>(std::move((*run)->payload));
  auto text = text_;
  auto converted_pending = context_->disk.run([payload, text, out = std::move(out)]() mutable -> result<bytes> {
    out.reserve(payload->size() * 2);
    TROUPE_TRY_VOID(text->append_payload(out, *payload));
    return std::move(out);
  });
  auto converted = co_await std::move(converted_pending);
  if (!converted) {
    co_return converted.error().with_context("dataset " + reader_->dataset().name + ", partition " +
                                             to_string((*run)->partition) + ", records from " +
                                             to_string((*run)->first) + " on");
  }
  co_return std::move(*converted);
}

asio::awaitable<result<std::vector<shown_record>>> read_head(context_ptr c, metadata::dataset d, std::uint64_t limit) {
  std::vector<shown_record> shown;
  limit = std::min(limit, head_records_max);
  auto text = format::record_text::make(d.format, d.schema, text_format::json);
  if (!text) co_return text.error();
  const auto format = d.format;
  dataset_reader reader(std::move(c), std::move(d));
  std::size_t bytes_shown = 0;
  while (shown.size() < limit && bytes_shown < head_bytes_max) {
    auto run = co_await reader.next(limits::batch_bytes);
    if (!run) co_return run.error();
    if (!*run) break;
    format::record_reader records(format, (*run)->payload);
    bytes_view record;
    for (auto offset = (*run)->first.value; shown.size() < limit && bytes_shown < head_bytes_max; ++offset) {
      auto more = records.next(record);
      if (!more) co_return more.error();
      if (!*more) break;
      shown_record one;
      one.partition = (*run)->partition.value;
      one.offset = offset;
      auto done = text->append_value(one.json, record);
      if (!done) co_return done.error();
      bytes_shown += one.json.size();
      shown.push_back(std::move(one));
    }
  }
  co_return std::move(shown);
}

}  // namespace troupe::data
