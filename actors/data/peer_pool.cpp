#include <actors/data/peer_pool.hpp>
#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace troupe::data {

namespace asio = boost::asio;

peer_pool::lease::lease(lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      member_(other.member_),
      what_(other.what_),
      stream_(std::move(other.stream_)),
      in_use_(other.in_use_),
      registered_(std::exchange(other.registered_, false)),
      reused_(other.reused_) {}

peer_pool::lease::~lease() {
  if (pool_ == nullptr) return;
  if (registered_) pool_->in_use_.erase(in_use_);
  pool_->release(member_, what_);
}

void peer_pool::lease::give_back() && {
  if (stream_ && stream_->is_open() && !pool_->closed_) {
    auto& idle_streams = pool_->peers_[member_].idle_streams;
    if (idle_streams.size() < requests_per_peer_max)
      idle_streams.push_back({std::move(stream_), std::chrono::steady_clock::now()});
  }
  stream_.reset();
}

void peer_pool::release(member_id member, purpose what) {
  auto& state = peers_[member];
  --state.running[static_cast<int>(what)];
  if (what == purpose::request && !state.waiting.empty()) {
    state.waiting.front()->cancel();
    state.waiting.pop_front();
  }
}

asio::awaitable<result<peer_pool::lease>> peer_pool::get(member_id member, purpose what,
                                                         transport::steady_time deadline, bool fresh) {
  if (closed_) co_return error{errc::cancelled, "this node is stopping"};
  const auto limit = what == purpose::request ? requests_per_peer_max : writers_per_peer_max;
  const auto kind = static_cast<int>(what);
  while (peers_[member].running[kind] >= limit) {
    auto& state = peers_[member];
    if (what == purpose::writer || state.waiting.size() >= waiting_max)
      co_return error{errc::resource_exhausted, "too many requests to one member at once; try again later"};
    auto timer = std::make_shared<asio::steady_timer>(co_await asio::this_coro::executor, deadline);
    peers_[member].waiting.push_back(timer);
    boost::system::error_code woken;
    co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (closed_) co_return error{errc::cancelled, "this node is stopping"};
    if (!woken) {
      auto& queue = peers_[member].waiting;
      queue.erase(std::remove(queue.begin(), queue.end(), timer), queue.end());
      co_return error{errc::deadline_exceeded, "the request waited too long for its turn"};
    }
  }
  ++peers_[member].running[kind];
  lease out(*this, member, what);

  auto& idle_streams = peers_[member].idle_streams;
  if (fresh) idle_streams.clear();  // one that failed says that the others are no better
  const auto now = std::chrono::steady_clock::now();
  while (!idle_streams.empty() && !out.stream_) {
    if (now - idle_streams.back().since < idle_time_max && idle_streams.back().stream->is_open())
      out.stream_ = std::move(idle_streams.back().stream);
    idle_streams.pop_back();
  }
  out.reused_ = out.stream_ != nullptr;
  if (!out.stream_) {
    auto found = environment_.find(member);
    if (!found) co_return found.error();
    auto request = environment_.request();
    auto endpoint = transport::parse_endpoint(found->address);
    if (!endpoint) co_return endpoint.error().with_context("address of " + found->name);
    request.to = *endpoint;
    request.protocol = transport::protocol::block;
    request.expected = member;
    request.deadline = std::min(deadline, transport::after(limits::handshake_time_max));
    auto dialled = co_await transport::dial(std::move(request));
    if (!dialled) co_return dialled.error().with_context(found->name);
    if (closed_) co_return error{errc::cancelled, "this node is stopping"};
    out.stream_ = std::make_unique<transport::framed>(std::move(*dialled));
  }
  out.in_use_ = in_use_.emplace(in_use_.end(), member, out.stream_->closer());
  out.registered_ = true;
  co_return std::move(out);
}

void peer_pool::drop(member_id member) {
  const auto found = peers_.find(member);
  if (found != peers_.end()) found->second.idle_streams.clear();
  for (const auto& [who, closer] : in_use_)
    if (who == member) closer();
}

void peer_pool::close() {
  closed_ = true;
  for (auto& [member, state] : peers_) {
    state.idle_streams.clear();
    for (auto& timer : state.waiting) timer->cancel();
    state.waiting.clear();
  }
  for (const auto& [member, closer] : in_use_) closer();
}

}  // namespace troupe::data
