#pragma once
#include <algorithm>
#include <array>
#include <span>
#include <troupe/base/bytes.hpp>

namespace troupe::transport {

/// Cuts what is to be written into what TLS should get at once: small pieces (a frame's header and the beginning of its
/// payload) are gathered into one record of 16 KiB, long ones go as they are. A record of a dozen bytes would cost as
/// much as a full one.
///
///   record_gatherer records(pieces);
///   for (auto next = records.next(); !next.empty(); next = records.next()) records.consume(write(next));
class record_gatherer {
 public:
  static constexpr std::size_t record_bytes = 16 * 1024;
  explicit record_gatherer(std::span<const bytes_view> pieces) : pieces_(pieces) { skip_empty(); }

  /// The same bytes again until they have been consumed; empty at the end.
  bytes_view next() {
    if (begin_ < end_) return {staged_.data() + begin_, end_ - begin_};
    if (pieces_.empty()) return {};
    const auto first = pieces_.front().substr(at_);
    if (first.size() >= record_bytes || pieces_.size() == 1) return first;
    begin_ = end_ = 0;
    while (end_ < record_bytes && !pieces_.empty()) {
      const auto some = pieces_.front().substr(at_, record_bytes - end_);
      std::copy(some.begin(), some.end(), staged_.begin() + static_cast<std::ptrdiff_t>(end_));
      end_ += some.size();
      advance(some.size());
    }
    return {staged_.data(), end_};
  }
  void consume(std::size_t size) {
    if (begin_ < end_)
      begin_ += size;
    else
      advance(size);
  }

 private:
  void advance(std::size_t size) {
    at_ += size;
    skip_empty();
  }
  void skip_empty() {
    while (!pieces_.empty() && at_ == pieces_.front().size()) {
      pieces_ = pieces_.subspan(1);
      at_ = 0;
    }
  }

  std::span<const bytes_view> pieces_;
  std::size_t at_ = 0;                     ///< in the first of them
  std::array<char, record_bytes> staged_;  // not cleared: only [begin_, end_) is ever read
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace troupe::transport
