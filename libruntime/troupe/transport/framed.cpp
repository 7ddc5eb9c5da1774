#include <algorithm>
#include <deque>
#include <troupe/base/checksum.hpp>
#include <troupe/base/invariant.hpp>
#include <troupe/transport/framed.hpp>

namespace troupe::transport {

namespace {
constexpr std::size_t frame_buffer_bytes = 64 * 1024;
/// From here on a copy costs more than a system call.
constexpr std::size_t direct_bytes_min = 16 * 1024;
constexpr std::size_t writers_max = 1'000;
constexpr std::size_t checked_header_bytes = 8;

void encode_header(char* raw, std::size_t length, std::uint16_t type, std::uint16_t flags,
                   std::span<const bytes_view> pieces) {
  store_le(raw, static_cast<std::uint32_t>(length));
  store_le(raw + 4, type);
  store_le(raw + 6, flags);
  std::uint32_t crc = crc32c({raw, checked_header_bytes});
  for (const auto& piece : pieces) crc = crc32c(piece, crc);
  store_le(raw + 8, crc);
}
}  // namespace

struct framed::state {
  state(connection s, std::size_t most)
      : stream(std::move(s)), payload_bytes_max(most), buffer(std::make_unique<char[]>(frame_buffer_bytes)) {}

  connection stream;
  const std::size_t payload_bytes_max;

  // Reading. buffer[begin, end) is read ahead.
  std::unique_ptr<char[]> buffer;
  std::size_t begin = 0;
  std::size_t end = 0;
  frame_header header;
  std::size_t payload_left = 0;
  std::uint32_t crc = 0;

  bytes rest;  ///< of a frame that went out in part
  // Writing. Turns go from one writer to the next in order; a writer is in the queue as long as its turn has not come.
  bool writing = false;
  std::deque<std::shared_ptr<asio::steady_timer>> queue;

  [[nodiscard]] std::size_t buffered() const { return end - begin; }

  error fail(error why) {
    stream.close();
    return why;
  }

  /// Reads ahead until `least` bytes are there. What has come stays when it fails.
  awaitable<result<void>> fill(std::size_t least, steady_time deadline) {
    if (begin == end) begin = end = 0;
    if (begin + least > frame_buffer_bytes) {
      std::copy(buffer.get() + begin, buffer.get() + end, buffer.get());
      end -= begin;
      begin = 0;
    }
    while (buffered() < least) {
      const auto some = co_await stream.read_some(std::span(buffer.get() + end, frame_buffer_bytes - end), deadline);
      if (!some) co_return some.error();
      if (*some == 0)
        co_return error{errc::unavailable, buffered() == 0 && payload_left == 0
                                               ? "the other side closed the connection"
                                               : "the other side closed the connection within a frame"};
      end += *some;
    }
    co_return ok();
  }

  result<void> check() {
    if (crc == header.crc) return ok();
    return fail({errc::corrupted, "a frame of type " + std::to_string(header.type) + " with " +
                                      std::to_string(header.length) + " bytes has a wrong checksum"});
  }

  /// Gives the turn to the next writer when its holder is done, however that ends.
  struct turn {
    state& of;
    ~turn() {
      if (of.queue.empty()) {
        of.writing = false;
        return;
      }
      of.queue.front()->expires_at(steady_time::min());
      of.queue.pop_front();
    }
  };
};

framed::framed(connection stream, std::size_t payload_bytes_max)
    : state_(std::make_shared<state>(std::move(stream), payload_bytes_max)) {}

framed::~framed() { close(); }

framed& framed::operator=(framed&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::move(other.state_);
  }
  return *this;
}

awaitable<result<frame_header>> framed::read_header(steady_time deadline) {
  const auto s = state_;
  TROUPE_INVARIANT(s->payload_left == 0, "read_header while " + std::to_string(s->payload_left) + " bytes wait");
  if (const auto filled = co_await s->fill(frame_header::wire_bytes, deadline); !filled) {
    // Nothing is lost when time is up: what has come of the header stays in the buffer.
    if (filled.error().code() == errc::deadline_exceeded) co_return filled.error();
    co_return s->fail(filled.error());
  }
  const char* raw = s->buffer.get() + s->begin;
  s->header.length = load_le<std::uint32_t>(raw);
  s->header.type = load_le<std::uint16_t>(raw + 4);
  s->header.flags = load_le<std::uint16_t>(raw + 6);
  s->header.crc = load_le<std::uint32_t>(raw + 8);
  s->crc = crc32c({raw, checked_header_bytes});
  s->begin += frame_header::wire_bytes;
  if (s->header.length > s->payload_bytes_max)
    co_return s->fail({errc::corrupted, "a frame claims " + std::to_string(s->header.length) + " bytes; at most " +
                                            std::to_string(s->payload_bytes_max) + " are allowed"});
  s->payload_left = s->header.length;
  if (s->payload_left == 0)
    if (const auto good = s->check(); !good) co_return good.error();
  co_return s->header;
}

awaitable<result<void>> framed::read_payload(std::span<char> into, steady_time deadline) {
  const auto s = state_;
  TROUPE_INVARIANT(into.size() <= s->payload_left, "read_payload beyond the end of the frame");
  if (into.empty()) co_return ok();
  const auto whole = into;
  while (!into.empty()) {
    const auto there = std::min(into.size(), s->buffered());
    std::copy_n(s->buffer.get() + s->begin, there, into.data());
    s->begin += there;
    into = into.subspan(there);
    if (into.empty()) break;
    // Small rests come through the buffer, with what follows them.
    auto more = ok();
    if (into.size() >= direct_bytes_min) {
      more = co_await s->stream.read_exactly(into, deadline);
      into = {};
    } else {
      more = co_await s->fill(into.size(), deadline);
    }
    if (!more) co_return s->fail(more.error());
  }
  s->crc = crc32c({whole.data(), whole.size()}, s->crc);
  s->payload_left -= whole.size();
  if (s->payload_left == 0) co_return s->check();
  co_return ok();
}

awaitable<result<frame>> framed::read(steady_time deadline) {
  const auto header = co_await read_header(deadline);
  if (!header) co_return header.error();
  frame out{header->type, header->flags, {}};
  // The memory grows with what comes, not with what is claimed.
  while (out.payload.size() < header->length) {
    const auto had = out.payload.size();
    const auto step = std::min<std::size_t>(header->length - had, std::max<std::size_t>(had, frame_buffer_bytes));
    out.payload.resize(had + step);
    const std::span<char> rest(out.payload.data() + had, step);
    if (const auto got = co_await read_payload(rest, deadline); !got) co_return got.error();
  }
  co_return out;
}

awaitable<result<void>> framed::write(std::uint16_t type, std::uint16_t flags, std::span<const bytes_view> pieces,
                                      steady_time deadline) {
  const auto s = state_;
  std::size_t length = 0;
  for (const auto& piece : pieces) length += piece.size();
  if (length > s->payload_bytes_max)
    co_return error{errc::invalid_argument, "a frame of " + std::to_string(length) + " bytes; at most " +
                                                std::to_string(s->payload_bytes_max) + " are allowed"};
  if (s->writing) {
    if (s->queue.size() >= writers_max)
      co_return error{errc::resource_exhausted, "too many writers wait for one connection"};
    const auto timer = std::make_shared<asio::steady_timer>(s->stream.executor(), deadline);
    s->queue.push_back(timer);
    co_await detail::wait_on(*timer);
    if (const auto at = std::find(s->queue.begin(), s->queue.end(), timer); at != s->queue.end()) {
      s->queue.erase(at);
      co_return error{errc::deadline_exceeded, "the deadline passed while other frames were being sent"};
    }
  }
  s->writing = true;
  const state::turn turn{*s};

  const bytes before = std::exchange(s->rest, {});
  char raw[frame_header::wire_bytes];
  encode_header(raw, length, type, flags, pieces);
  std::vector<bytes_view> all;
  all.reserve(pieces.size() + 2);
  if (!before.empty()) all.emplace_back(before);
  all.emplace_back(raw, sizeof raw);
  for (const auto& piece : pieces) all.push_back(piece);
  if (const auto sent = co_await s->stream.write(std::span<const bytes_view>(all), deadline); !sent)
    co_return s->fail(sent.error());
  co_return ok();
}

awaitable<result<void>> framed::write(std::uint16_t type, std::uint16_t flags, bytes_view payload,
                                      steady_time deadline) {
  const std::array<bytes_view, 1> pieces{payload};
  co_return co_await write(type, flags, std::span<const bytes_view>(pieces), deadline);
}

bool framed::write_now(std::uint16_t type, std::uint16_t flags, std::span<const bytes_view> pieces) {
  constexpr std::size_t pieces_max = 4;
  auto& s = *state_;
  std::size_t length = 0;
  for (const auto& piece : pieces) length += piece.size();
  if (s.writing || !s.rest.empty() || length > s.payload_bytes_max || pieces.size() > pieces_max) return false;
  char raw[frame_header::wire_bytes];
  encode_header(raw, length, type, flags, pieces);
  bytes_view all[pieces_max + 1] = {{raw, sizeof raw}};
  std::copy(pieces.begin(), pieces.end(), all + 1);
  auto sent = s.stream.write_now(std::span<const bytes_view>(all, pieces.size() + 1));
  if (sent == 0) return false;
  for (const auto piece : std::span<const bytes_view>(all, pieces.size() + 1)) {
    const auto gone = std::min(sent, piece.size());
    sent -= gone;
    s.rest.append(piece.substr(gone));
  }
  return true;
}

bool framed::has_rest() const noexcept { return !state_->rest.empty(); }

awaitable<result<void>> framed::flush(steady_time deadline) {
  const auto s = state_;
  if (s->writing || s->rest.empty()) co_return ok();  // whoever writes sends the rest before its own
  s->writing = true;
  const state::turn turn{*s};
  const bytes rest = std::exchange(s->rest, {});
  if (const auto sent = co_await s->stream.write(bytes_view(rest), deadline); !sent) co_return s->fail(sent.error());
  co_return ok();
}

void framed::close() noexcept {
  if (state_) state_->stream.close();
}
bool framed::is_open() const noexcept { return state_ && state_->stream.is_open(); }
const transport::peer& framed::peer() const noexcept { return state_->stream.peer(); }
const tcp::endpoint& framed::remote() const noexcept { return state_->stream.remote(); }
asio::any_io_executor framed::executor() const { return state_->stream.executor(); }
std::function<void()> framed::closer() const { return state_->stream.closer(); }

}  // namespace troupe::transport
