#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <shell/commands/decompressor.hpp>
#include <string>
#include <vector>

namespace troupe::shell {

namespace {
constexpr std::size_t input_bytes = 256 << 10;
}

std::optional<compression> find_compression(bytes_view first) {
  if (first.starts_with("\x1f\x8b\x08")) return compression::gzip;
  if (first.starts_with("\x28\xb5\x2f\xfd")) return compression::zstd;
  return std::nullopt;
}

struct decompressor::impl {
  explicit impl(compression h) : how(h), buffer(input_bytes) {
    if (how == compression::gzip) {
      isal_inflate_init(&inflate);
      inflate.crc_flag = ISAL_GZIP;
    } else {
      zstd.reset(ZSTD_createDStream());
    }
  }

  compression how;
  std::vector<char> buffer;
  std::size_t at = 0, end = 0;  ///< of what was read and not taken
  bool source_ended = false;
  bool between = true;  ///< no member or frame is begun
  inflate_state inflate{};
  struct free_stream {
    void operator()(ZSTD_DStream* s) const { ZSTD_freeDStream(s); }
  };
  std::unique_ptr<ZSTD_DStream, free_stream> zstd;

  /// How much of `out` was filled; what it makes of the input that is there.
  result<std::size_t> step(std::span<char> out) { return how == compression::gzip ? step_gzip(out) : step_zstd(out); }

  result<std::size_t> step_gzip(std::span<char> out) {
    if (inflate.block_state == ISAL_BLOCK_FINISH) {
      isal_inflate_reset(&inflate);
      inflate.crc_flag = ISAL_GZIP;
    }
    inflate.next_in = reinterpret_cast<std::uint8_t*>(buffer.data() + at);
    inflate.avail_in = static_cast<std::uint32_t>(end - at);
    inflate.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    inflate.avail_out = static_cast<std::uint32_t>(out.size());
    const int done = isal_inflate(&inflate);
    if (done < 0) return error{errc::corrupted, "the gzip data is damaged (" + std::to_string(done) + ")"};
    at = end - inflate.avail_in;
    between = inflate.block_state == ISAL_BLOCK_FINISH;
    return out.size() - inflate.avail_out;
  }

  result<std::size_t> step_zstd(std::span<char> out) {
    ZSTD_inBuffer in{buffer.data(), end, at};
    ZSTD_outBuffer into{out.data(), out.size(), 0};
    const auto left = ZSTD_decompressStream(zstd.get(), &into, &in);
    if (ZSTD_isError(left) != 0)
      return error{errc::corrupted, std::string("the zstd data is damaged: ") + ZSTD_getErrorName(left)};
    at = in.pos;
    between = left == 0;
    return into.pos;
  }
};

decompressor::decompressor(compression how) : impl_(std::make_unique<impl>(how)) {}
decompressor::~decompressor() = default;
decompressor::decompressor(decompressor&&) noexcept = default;
decompressor& decompressor::operator=(decompressor&&) noexcept = default;

void decompressor::begin_with(bytes_view read) {
  read.copy(impl_->buffer.data(), read.size());
  impl_->end = read.size();
}

result<std::size_t> decompressor::read(std::span<char> out, const source& from) {
  auto& i = *impl_;
  if (out.empty()) return std::size_t{0};
  for (;;) {
    if (i.at == i.end && !i.source_ended) {
      TROUPE_TRY(i.end, from(i.buffer));
      i.at = 0;
      i.source_ended = i.end == 0;
    }
    // Without new input there may still be output that did not fit before.
    if (i.at == i.end && i.source_ended && i.between) return std::size_t{0};
    const auto before = i.at;
    TROUPE_TRY(const auto made, i.step(out));
    if (made != 0) return made;
    if (i.at == before && i.at == i.end && i.source_ended && !i.between)
      return error{errc::corrupted, "the compressed data ends too early"};
    if (i.at == before && i.at != i.end) return error{errc::corrupted, "the compressed data makes no sense"};
  }
}

}  // namespace troupe::shell
