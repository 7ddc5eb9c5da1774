#include "node/daemon/log_export.hpp"

#include <troupe/base/limits.hpp>
#include <troupe/transport/awaiting.hpp>

namespace troupe::node {
namespace {

constexpr std::size_t export_piece_bytes = 1 << 20;
constexpr std::uint32_t piece_records_max = 100'000;

}  // namespace

result<std::unique_ptr<data::exporter>> log_exporter::make(log_port& logs, const metadata::dataset& d,
                                                           std::vector<logs::offset_range> ranges,
                                                           format::text_format format) {
  TROUPE_TRY(auto text, format::record_text::make(d.format, d.schema, format));
  const bool as_is = d.format == data_format::lines && format == format::text_format::lines;
  return std::unique_ptr<data::exporter>(new log_exporter(logs, d.name, std::move(ranges), as_is, std::move(text)));
}

result<bytes> log_exporter::to_text(const logs::read_outcome& read) {
  bytes out;
  if (!begun_) text_.append_header(out);
  begun_ = true;
  const auto end = ranges_[at_].end;
  for (const auto& r : read.records) {
    if (r.offset >= end) break;
    if (as_is_) {
      out.append(r.record).push_back('\n');
    } else if (const auto put = text_.append(out, r.record); !put) {
      return put.error().with_context("dataset " + name_ + ", partition " + to_string(ranges_[at_].partition) +
                                      ", offset " + to_string(r.offset));
    }
  }
  return out;
}

boost::asio::awaitable<result<bytes>> log_exporter::next() {
  while (at_ < ranges_.size() && ranges_[at_].begin >= ranges_[at_].end) ++at_;
  if (at_ == ranges_.size()) {
    bytes header;  // of a dataset without a record
    if (!begun_) text_.append_header(header);
    begun_ = true;
    co_return header;
  }
  auto& range = ranges_[at_];
  logs::read_request wish;
  wish.dataset = name_;
  wish.partition = range.partition;
  wish.from = range.begin;
  wish.records_max =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(piece_records_max, range.end.value - range.begin.value));
  wish.bytes_max = export_piece_bytes;
  auto read = co_await transport::await_result<logs::read_outcome>(
      [&](auto then) { logs_.read(std::move(wish), std::move(then)); }, transport::after(limits::request_time_max));
  if (!read) co_return read.error();
  if (read->records.empty() || read->next <= range.begin)
    co_return error{errc::unavailable, "dataset " + name_ + ", partition " + to_string(range.partition) +
                                           ": nothing could be read at offset " + to_string(range.begin) +
                                           ", which is below its end"};
  auto text = to_text(*read);
  range.begin = read->next;
  co_return text;
}

}  // namespace troupe::node
