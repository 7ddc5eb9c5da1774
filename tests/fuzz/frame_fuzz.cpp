/// Frames on a connection behind the handshake. Input: a byte that says how it is read (bit 0: in pieces; bit 1: with
/// checksums that were made to fit), then the stream.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <string>
#include <support/fuzz.hpp>
#include <troupe/base/checksum.hpp>
#include <troupe/transport/framed.hpp>

namespace troupe::fuzz {
namespace {

using namespace transport;

constexpr std::size_t payload_bytes_max = 1 << 20;
constexpr std::size_t crc_at = 8;

std::uint32_t crc_of(bytes_view frame) {
  return crc32c(frame.substr(frame_header::wire_bytes), crc32c(frame.substr(0, crc_at)));
}

/// What a plain walk over the bytes finds: the yardstick.
std::vector<bytes> payloads_of(bytes_view stream) {
  std::vector<bytes> found;
  while (stream.size() >= frame_header::wire_bytes) {
    const std::size_t length = load_le<std::uint32_t>(stream.data());
    if (length > payload_bytes_max || length > stream.size() - frame_header::wire_bytes) break;
    const auto frame = stream.substr(0, frame_header::wire_bytes + length);
    if (crc_of(frame) != load_le<std::uint32_t>(frame.data() + crc_at)) break;
    found.emplace_back(frame.substr(frame_header::wire_bytes));
    stream.remove_prefix(frame.size());
  }
  return found;
}

void mend(bytes& stream) {
  for (std::size_t at = 0; stream.size() - at >= frame_header::wire_bytes;) {
    const std::size_t length = load_le<std::uint32_t>(stream.data() + at);
    if (length > stream.size() - at - frame_header::wire_bytes) break;
    const auto frame = bytes_view(stream).substr(at, frame_header::wire_bytes + length);
    const auto crc = crc_of(frame);
    store_le(stream.data() + at + crc_at, crc);
    at += frame.size();
  }
}

awaitable<void> read_whole(framed& stream, std::vector<bytes>& out) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (;;) {
    auto got = co_await stream.read(deadline);
    if (!got) co_return;
    out.push_back(std::move(got->payload));
  }
}

awaitable<void> read_in_pieces(framed& stream, std::vector<bytes>& out) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  std::array<char, 37> piece;
  for (;;) {
    const auto header = co_await stream.read_header(deadline);
    if (!header) co_return;
    bytes payload;
    while (payload.size() < header->length) {
      const std::span<char> some(piece.data(), std::min<std::size_t>(piece.size(), header->length - payload.size()));
      const auto got = co_await stream.read_payload(some, deadline);
      if (!got) co_return;
      payload.append(some.data(), some.size());
    }
    out.push_back(std::move(payload));
  }
}

/// The stream, all of it and then its end, through a socket.
std::vector<bytes> frames_of(bytes_view stream, bool in_pieces) {
  int ends[2];
  TROUPE_INVARIANT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "no sockets");
  const int room = static_cast<int>(stream.size() * 2 + 4096);
  ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  for (auto rest = stream; !rest.empty();) {
    const auto sent = ::send(ends[0], rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    TROUPE_INVARIANT(sent > 0, "the socket does not take the whole input");
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  ::close(ends[0]);
  asio::io_context io(1);
  std::vector<bytes> found;
  {
    tcp::socket socket(io);
    socket.assign(tcp::v4(), ends[1]);  // Asio only reads and writes it
    framed frames(connection(std::move(socket)), payload_bytes_max);
    asio::co_spawn(io, in_pieces ? read_in_pieces(frames, found) : read_whole(frames, found), asio::detached);
    io.run();
    TROUPE_INVARIANT(!frames.is_open(), "a stream that ended in disorder stays open");
  }
  return found;
}

}  // namespace

void one_input(bytes_view input) {
  if (input.empty()) return;
  bytes stream(input.substr(1));
  if ((input[0] & 2) != 0) mend(stream);
  const auto found = frames_of(stream, (input[0] & 1) != 0);
  TROUPE_INVARIANT(found == payloads_of(stream), std::to_string(found.size()) + " frames, or other ones");
}

std::vector<bytes> seeds() {
  std::vector<bytes> made;
  bytes stream;
  for (const std::size_t size : {0, 1, 20, 300, 3'000}) {
    append_le(stream, static_cast<std::uint32_t>(size));
    append_le(stream, static_cast<std::uint16_t>(size % 7));
    append_le(stream, std::uint16_t{0});
    append_le(stream, std::uint32_t{0});
    stream.append(size, 'f');
    mend(stream);
    for (char how = 0; how < 4; ++how) made.push_back(how + stream);
  }
  bytes claim;
  append_le(claim, static_cast<std::uint32_t>(payload_bytes_max));
  made.push_back('\2' + claim + bytes(100, 'x'));
  return made;
}

/// The read buffer has 64 KiB; memory for a payload grows with what comes, at most one step of 64 KiB ahead of it.
std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes, 512 << 10, 16); }

}  // namespace troupe::fuzz
