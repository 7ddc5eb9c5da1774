#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>

namespace troupe::shell {

enum class compression { gzip, zstd };

/// By the first bytes of a file; nothing for what is not compressed, or by something else.
std::optional<compression> find_compression(bytes_view first);
inline constexpr std::size_t compression_magic_bytes = 4;

/// Reads a compressed file as it was before: gzip (RFC 1952) with ISA-L, zstd (RFC 8878), also several members or
/// frames one after the other. Checksums are checked.
class decompressor {
 public:
  /// Gives compressed bytes; 0 at the end.
  using source = std::function<result<std::size_t>(std::span<char>)>;

  explicit decompressor(compression how);
  ~decompressor();
  decompressor(decompressor&&) noexcept;
  decompressor& operator=(decompressor&&) noexcept;

  /// What was read from the source before it was known to be compressed. Before the first read.
  void begin_with(bytes_view read);
  /// At most the span; 0 at the end. `corrupted` when it is damaged, or ends too early.
  result<std::size_t> read(std::span<char> out, const source& from);

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace troupe::shell
