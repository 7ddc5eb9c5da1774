#include <troupe/storage/direct_output.hpp>

#include <algorithm>
#include <cstring>

namespace troupe::storage {
namespace {

constexpr std::size_t alignment_bytes = 4096;  ///< of addresses, positions and lengths: no device asks for more
constexpr std::size_t piece_bytes = 1 << 20;   ///< so that a device's latency does not count

}  // namespace

std::unique_ptr<direct_output> direct_output::begin(file& f) {
  if (!f.set_direct(true)) return nullptr;
  auto* const collected = static_cast<char*>(std::aligned_alloc(alignment_bytes, piece_bytes));
  if (collected == nullptr) {
    (void)f.set_direct(false);
    return nullptr;
  }
  return std::unique_ptr<direct_output>(new direct_output(collected));
}

result<void> direct_output::write(file& f, std::size_t size) {
  const bytes_view piece(collected_.get(), size);
  auto written = f.write(piece, position_);
  // A file system may take the flag and refuse the write, for an alignment of its own.
  if (!written && written.error().code() != errc::resource_exhausted && direct_ && f.set_direct(false)) {
    direct_ = false;
    written = f.write(piece, position_);
  }
  return written;
}

result<void> direct_output::append(file& f, std::span<const bytes_view> parts) {
  for (auto part : parts) {
    while (!part.empty()) {
      const auto step = std::min(part.size(), piece_bytes - size_);
      std::memcpy(collected_.get() + size_, part.data(), step);
      size_ += step;
      part.remove_prefix(step);
      if (size_ != piece_bytes) continue;
      TROUPE_TRY_VOID(write(f, piece_bytes));
      position_ += piece_bytes;
      size_ = 0;
    }
  }
  return ok();
}

result<void> direct_output::settle(file& f) {
  const auto whole = size_ / alignment_bytes * alignment_bytes;
  const auto rest = size_ - whole;
  if (size_ != 0) {
    const auto padded = rest == 0 ? whole : whole + alignment_bytes;
    std::memset(collected_.get() + size_, 0, padded - size_);
    TROUPE_TRY_VOID(write(f, padded));
  }
  TROUPE_TRY_VOID(f.truncate(position_ + size_));
  std::memmove(collected_.get(), collected_.get() + whole, rest);  // written again together with what follows
  position_ += whole;
  size_ = rest;
  return ok();
}

}  // namespace troupe::storage
