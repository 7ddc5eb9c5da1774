#include <actors/data/line_batcher.hpp>
#include <algorithm>
#include <cstring>

namespace troupe::data {

std::uint64_t count_byte(bytes_view data, char byte) noexcept {
  using lanes = unsigned char __attribute__((vector_size(16)));
  const char* at = data.data();
  const char* const end = at + data.size();
  std::uint64_t total = 0;
  const lanes wanted = lanes{} + static_cast<unsigned char>(byte);
  while (end - at >= 16) {
    lanes counts{};
    // 255 steps at most: a lane must not overflow.
    for (int step = 0; step < 255 && end - at >= 16; ++step, at += 16) {
      lanes here;
      std::memcpy(&here, at, sizeof here);
      counts -= reinterpret_cast<lanes>(here == wanted);
    }
    for (int lane = 0; lane < 16; ++lane) total += counts[lane];
  }
  return total + static_cast<std::uint64_t>(std::count(at, end, byte));
}

std::size_t line_batcher::goal() const noexcept {
  if (!boundary_ || *boundary_ <= base_) return batch_bytes_;
  return static_cast<std::size_t>(std::min<std::uint64_t>(batch_bytes_, *boundary_ - base_));
}

batcher::batch line_batcher::emit(std::size_t size) {
  batch out;
  bytes rest = std::move(spare_);
  spare_ = bytes();
  rest.assign(buffer_, size);
  buffer_.resize(size);
  base_ += size;
  out.records = count_byte(buffer_, '\n');
  out.end = base_;
  out.payload = std::move(buffer_);
  buffer_ = std::move(rest);
  open_record_.reset();
  return out;
}

result<std::optional<batcher::batch>> line_batcher::take(bytes_view& data) {
  const auto move_in = [&](std::size_t size) {
    if (buffer_.capacity() < batch_bytes_ && buffer_.empty()) buffer_.reserve(batch_bytes_ + batch_bytes_ / 16);
    buffer_.append(data.substr(0, size));
    data.remove_prefix(size);
  };
  while (!data.empty()) {
    const auto wanted = goal();
    if (buffer_.size() < wanted) {
      move_in(std::min(data.size(), wanted - buffer_.size()));
      open_record_.reset();
      if (buffer_.size() < wanted) return std::optional<batch>{};
      if (buffer_.back() == '\n') return std::optional<batch>{emit(buffer_.size())};
      continue;
    }
    if (buffer_.back() == '\n') return std::optional<batch>{emit(buffer_.size())};  // a source ended just here
    if (!open_record_) {
      const auto last = buffer_.rfind('\n');
      open_record_ = last == bytes::npos ? 0 : last + 1;
    }
    // The unfinished record may grow until it is too long; what stands before it doesn't wait for ever.
    const auto begun = buffer_.size() - *open_record_;
    const bool own_batch = *open_record_ == 0;
    const auto room = own_batch ? record_bytes_max_ - std::min(begun, record_bytes_max_)
                                : 2 * batch_bytes_ - std::min(buffer_.size(), 2 * batch_bytes_);
    const auto newline = data.substr(0, room).find('\n');
    if (newline != bytes_view::npos) {
      move_in(newline + 1);
      return std::optional<batch>{emit(buffer_.size())};
    }
    if (data.size() >= room) {
      if (!own_batch) return std::optional<batch>{emit(*open_record_)};
      return error{errc::invalid_argument, "the record that begins at byte " +
                                               std::to_string(base_ + *open_record_ - newlines_added_) +
                                               " is longer than " + std::to_string(record_bytes_max_) +
                                               " bytes, the longest that is allowed; is this text with lines?"};
    }
    move_in(data.size());
  }
  return std::optional<batch>{};
}

void line_batcher::end_of_source() {
  if (buffer_.empty() || buffer_.back() == '\n') return;
  buffer_.push_back('\n');
  ++newlines_added_;
  open_record_.reset();
}

result<std::optional<batcher::batch>> line_batcher::finish() {
  end_of_source();
  if (buffer_.empty()) return std::optional<batch>{};
  return std::optional<batch>{emit(buffer_.size())};
}

void line_batcher::recycle(bytes&& used) {
  if (used.capacity() > 4 * batch_bytes_) return;  // a long record's: not worth keeping
  spare_ = std::move(used);
  spare_.clear();
}

}  // namespace troupe::data
