#pragma once
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <span>
#include <troupe/base/limits.hpp>
#include <troupe/transport/connection.hpp>

namespace troupe::transport {

/// A frame's 12 bytes on the wire, little-endian; doc/formats/wire.md:
///
///   0        4      6       8         12
///   │ length │ type │ flags │ crc32c │ payload (length bytes)
///
/// The checksum covers the first 8 bytes and the payload.
struct frame_header {
  static constexpr std::size_t wire_bytes = 12;
  std::uint32_t length = 0;  ///< of the payload, at most limits::frame_bytes_max
  std::uint16_t type = 0;    ///< the protocol's own
  std::uint16_t flags = 0;
  std::uint32_t crc = 0;
};

struct frame {
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  bytes payload;
};

/// Frames over a connection. Calls come on the connection's executor. One read at a time; writes wait for their turn,
/// in order. After any error but a `deadline_exceeded` of a read that stood between two frames, the stream is closed
/// and further calls fail.
///
/// Reads are buffered (64 KiB), so small frames cost a fraction of a system call each; what of a payload is not in the
/// buffer yet goes straight from the kernel to where the caller wants it:
///
///   auto header = co_await stream.read_header(deadline);          // length, type: now known
///   co_await stream.read_payload(own_header_bytes, deadline);     // in as many pieces as the caller likes
///   co_await stream.read_payload(chunk_in_a_slab, deadline);      // the last piece: checksum compared, `corrupted` if
///   it is wrong
class framed {
 public:
  /// `payload_bytes_max` bounds what a peer may claim, and so what is ever allocated for it.
  explicit framed(connection stream, std::size_t payload_bytes_max = limits::frame_bytes_max);
  framed(framed&&) noexcept = default;
  framed& operator=(framed&&) noexcept;
  ~framed();

  /// The next frame, in memory of its own. `unavailable` when the peer has closed.
  awaitable<result<frame>> read(steady_time deadline);
  /// Only its header; read_payload has to follow until `length` bytes were taken (none when it is 0).
  awaitable<result<frame_header>> read_header(steady_time deadline);
  /// The next into.size() bytes of the payload, at most what is left of it.
  awaitable<result<void>> read_payload(std::span<char> into, steady_time deadline);

  /// One frame whose payload is the pieces in order; they are not copied and must stay as they are until it returns.
  awaitable<result<void>> write(std::uint16_t type, std::uint16_t flags, std::span<const bytes_view> pieces,
                                steady_time deadline);
  awaitable<result<void>> write(std::uint16_t type, std::uint16_t flags, bytes_view payload, steady_time deadline);

  /// Tries to send a frame without waiting; true: it is the stream's now, whole. What the kernel did not take of it is
  /// copied and goes before anything else, which flush() or the next write sees to: `has_rest` tells. False: nothing
  /// was sent (no room, encrypted, or other frames are being sent), and write() is the way.
  [[nodiscard]] bool write_now(std::uint16_t type, std::uint16_t flags, std::span<const bytes_view> pieces);
  [[nodiscard]] bool has_rest() const noexcept;
  awaitable<result<void>> flush(steady_time deadline);

  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept;
  [[nodiscard]] const transport::peer& peer() const noexcept;
  [[nodiscard]] const tcp::endpoint& remote() const noexcept;
  [[nodiscard]] asio::any_io_executor executor() const;
  /// As connection::closer.
  [[nodiscard]] std::function<void()> closer() const;

 private:
  struct state;
  std::shared_ptr<state> state_;  ///< shared with operations underway, which end with `cancelled` when this goes
};

}  // namespace troupe::transport
