#include <actors/cluster/peer_link.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

namespace troupe::actors {
namespace asio = boost::asio;
using wire::frame_type;

namespace {
/// Of messages of consensus: what its pipeline may have under way, twice.
constexpr std::size_t raft_bytes_max = 16 << 20;
constexpr std::size_t frames_max = 65'536;  ///< a node has no more requests under way than that
}  // namespace

peer_link::peer_link(transport::framed stream, asio::io_context& io, std::chrono::milliseconds write_time_max)
    : io_(io),
      stream_(std::move(stream)),
      peer_(stream_.peer()),
      remote_(transport::to_string(stream_.remote())),
      write_time_max_(write_time_max),
      changed_(io) {}

void peer_link::start() {
  asio::co_spawn(
      io_, [self = shared_from_this()] { return self->write(); }, asio::detached);
}

void peer_link::push(frame_type type, bytes payload) {
  if (closed_ || dismissed_) return;
  if (type == frame_type::raft && outbox_bytes_ + payload.size() > raft_bytes_max) return;
  if (outbox_.size() >= frames_max) return close();
  outbox_bytes_ += payload.size();
  outbox_.push_back({type, std::move(payload), false});
  changed_.notify();
}

void peer_link::dismiss(bytes fenced) {
  if (closed_ || dismissed_) return;
  dismissed_ = true;
  outbox_bytes_ += fenced.size();
  outbox_.push_back({frame_type::fenced, std::move(fenced), true});
  changed_.notify();
}

void peer_link::close() {
  if (closed_) return;
  closed_ = true;
  stream_.close();
  changed_.notify();
}

asio::awaitable<result<transport::frame>> peer_link::read(transport::steady_time deadline) {
  co_return co_await stream_.read(deadline);
}

asio::awaitable<void> peer_link::write() {
  while (!closed_) {
    while (!outbox_.empty()) {
      const auto next = std::move(outbox_.front());
      outbox_.pop_front();
      outbox_bytes_ -= next.payload.size();
      const auto sent = co_await stream_.write(static_cast<std::uint16_t>(next.type), 0, next.payload,
                                               transport::after(write_time_max_));
      if (!sent || closed_) co_return close();
      if (next.last) co_return;  // the reader closes once the peer has
    }
    co_await changed_.wait();
  }
}

}  // namespace troupe::actors
