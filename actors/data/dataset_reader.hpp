#pragma once
#include <actors/data/block_client.hpp>
#include <actors/data/record_source.hpp>

namespace troupe::data {

/// What is behind a record_source: walks over the segments of a dataset as it was when it was opened. On the I/O
/// thread.
class dataset_reader : public std::enable_shared_from_this<dataset_reader> {
 public:
  dataset_reader(context_ptr c, metadata::dataset d) : context_(std::move(c)), dataset_(std::move(d)) {}
  [[nodiscard]] const metadata::dataset& dataset() const noexcept { return dataset_; }
  boost::asio::awaitable<result<std::optional<record_run>>> next(std::size_t bytes_hint);

  static std::unique_ptr<record_source> handle(context_ptr c, metadata::dataset d);

 private:
  context_ptr context_;
  metadata::dataset dataset_;
  std::size_t partition_ = 0;
  std::size_t segment_ = 0;
  std::uint64_t position_ = 0;         ///< in the segment's batches
  std::uint64_t segment_first_ = 0;    ///< records of the partition before this segment
  std::optional<copy_reader> reader_;  ///< of the segment
};

/// Text of a dataset, piece by piece.
class text_exporter final : public exporter {
 public:
  static result<std::unique_ptr<exporter>> make(context_ptr c, metadata::dataset d, text_format format);
  boost::asio::awaitable<result<bytes>> next() override;

 private:
  text_exporter(context_ptr c, std::shared_ptr<dataset_reader> reader, bool as_is,
                std::shared_ptr<const format::record_text> text)
      : context_(std::move(c)), reader_(std::move(reader)), as_is_(as_is), text_(std::move(text)) {}
  boost::asio::awaitable<result<bytes>> produce();

  context_ptr context_;
  std::shared_ptr<dataset_reader> reader_;
  bool as_is_;  ///< lines as lines: nothing to convert
  std::shared_ptr<const format::record_text> text_;
  bool begun_ = false;
};

/// The first records as JSON values.
boost::asio::awaitable<result<std::vector<shown_record>>> read_head(context_ptr c, metadata::dataset d,
                                                                    std::uint64_t limit);

}  // namespace troupe::data
