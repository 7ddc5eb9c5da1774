#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <mutex>
#include <troupe/base/invariant.hpp>
#include <troupe/security/certificate.hpp>
#include <troupe/transport/connection.hpp>
#include <troupe/transport/pump.hpp>
#include <troupe/transport/record_gatherer.hpp>

namespace troupe::transport {

namespace {

using boost::system::error_code;

/// A second descriptor of a socket whose first one somebody else has: for cutting it off. The socket closes when both
/// are closed.
struct second_descriptor {
  explicit second_descriptor(int of) : fd(::fcntl(of, F_DUPFD_CLOEXEC, 0)) {}
  ~second_descriptor() {
    if (fd >= 0) ::close(fd);
  }
  second_descriptor(const second_descriptor&) = delete;
  second_descriptor& operator=(const second_descriptor&) = delete;
  void cut() const { ::shutdown(fd, SHUT_RDWR); }
  const int fd;
};

/// One direction's operation and its deadline. The timer is only touched when it isn't already running for an earlier
/// time: a stream of quick operations with far deadlines costs no timer work at all.
struct direction {
  explicit direction(const asio::any_io_executor& on) : timer(on) {}
  asio::steady_timer timer;
  asio::cancellation_signal cancel;
  steady_time deadline;
  steady_time armed_until;
  bool armed = false;
  bool running = false;
  bool timed_out = false;
};

error to_error(const error_code& failure, bool timed_out, const char* what) {
  if (timed_out && failure == asio::error::operation_aborted)
    return {errc::deadline_exceeded, std::string("the deadline passed while ") + what};
  if (failure == asio::error::operation_aborted || failure == asio::error::bad_descriptor)
    return {errc::cancelled, "the connection was closed here"};
  if (failure == asio::error::connection_reset || failure == asio::error::broken_pipe || failure == asio::error::eof)
    return {errc::unavailable, "the other side closed the connection"};
  return {errc::unavailable, failure.message()};
}

error closed_here() { return {errc::cancelled, "the connection was closed here"}; }

}  // namespace

struct connection::state : std::enable_shared_from_this<connection::state> {
  explicit state(tcp::socket s)
      : socket(std::move(s)), reading(socket.get_executor()), writing(socket.get_executor()) {}

  /// Where a connection is now, for those who may want to close it: it moves from state to state.
  struct whereabouts {
    std::mutex mutex;
    std::weak_ptr<state> here;
    std::weak_ptr<second_descriptor> released;  ///< once release_fd has given the first away
    bool close_asked = false;

    void ask_to_close() {
      std::shared_ptr<state> at;
      std::shared_ptr<second_descriptor> elsewhere;
      {
        const std::lock_guard lock(mutex);
        close_asked = true;
        at = here.lock();
        elsewhere = released.lock();
      }
      if (elsewhere) return elsewhere->cut();
      if (at) asio::post(at->socket.get_executor(), [at] { at->close(); });
    }
  };
  std::shared_ptr<whereabouts> known_as;

  tcp::socket socket;
  direction reading;
  direction writing;
  tcp::endpoint remote;
  tcp::endpoint local;
  transport::peer who;
  /// Asio waits for the next readiness after an end of file, which never comes: what ended the reading is kept and said
  /// again.
  error_code read_end;
  std::vector<std::shared_ptr<void>> tickets;
  std::unique_ptr<tls_session> tls;
  std::optional<security::member_name> certified;

  void arm(direction& d) {
    d.armed = true;
    d.armed_until = d.deadline;
    d.timer.expires_at(d.deadline);
    d.timer.async_wait([weak = weak_from_this(), &d](const error_code& failure) {
      const auto self = weak.lock();
      if (failure || !self) return;
      d.armed = false;
      if (!d.running) return;
      if (std::chrono::steady_clock::now() < d.deadline) return self->arm(d);
      d.timed_out = true;
      d.cancel.emit(asio::cancellation_type::terminal);
    });
  }

  void begin(direction& d, steady_time deadline) {
    TROUPE_INVARIANT(!d.running, "a second operation in the same direction of a connection");
    d.running = true;
    d.timed_out = false;
    d.deadline = deadline;
    if (!d.armed || d.armed_until > deadline) arm(d);
  }

  /// Waits until the socket is ready for what TLS asks for, or the operation's deadline has passed.
  awaitable<error_code> ready(direction& d, tls_session::progress what) {
    error_code failure;
    const auto kind = what == tls_session::progress::wants_read ? tcp::socket::wait_read : tcp::socket::wait_write;
    // A deadline that came between two waits has found nothing to cancel.
    if (d.timed_out) co_return asio::error::operation_aborted;
    co_await socket.async_wait(
        kind, asio::bind_cancellation_slot(d.cancel.slot(), asio::redirect_error(asio::use_awaitable, failure)));
    co_return failure;
  }
  awaitable<result<std::size_t>> read_tls(std::span<char> into);
  awaitable<result<void>> write_tls(std::span<const bytes_view> pieces);

  void close() noexcept {
    error_code ignored;
    if (tls && socket.is_open()) tls->end();
    socket.close(ignored);
    reading.timer.cancel();
    writing.timer.cancel();
  }
};

namespace {
/// However the operation ends, also when its coroutine is destroyed: it runs no more.
struct running_guard {
  direction& d;
  ~running_guard() { d.running = false; }
};
}  // namespace

connection::connection(tcp::socket socket) : state_(std::make_shared<state>(std::move(socket))) {
  error_code ignored;
  state_->socket.set_option(tcp::no_delay(true), ignored);
  state_->socket.non_blocking(true, ignored);
  state_->remote = state_->socket.remote_endpoint(ignored);
  state_->local = state_->socket.local_endpoint(ignored);
}

connection::~connection() { close(); }

connection& connection::operator=(connection&& other) noexcept {
  if (this != &other) {
    close();
    state_ = std::move(other.state_);
  }
  return *this;
}

awaitable<result<unsigned char>> connection::peek(steady_time deadline) {
  const auto s = state_;
  if (!s || !s->socket.is_open()) co_return closed_here();
  s->begin(s->reading, deadline);
  const running_guard guard{s->reading};
  for (;;) {
    unsigned char first = 0;
    const auto got = ::recv(s->socket.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got == 1) co_return first;
    if (got == 0) co_return error{errc::unavailable, "the other side closed the connection"};
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
      co_return to_error(error_code(errno, boost::system::system_category()), false, "");
    const auto failure = co_await s->ready(s->reading, tls_session::progress::wants_read);
    if (failure) co_return to_error(failure, s->reading.timed_out, "waiting for the other side");
  }
}

awaitable<result<void>> connection::start_tls(std::shared_ptr<ssl_ctx_st> context, tls_side side,
                                              steady_time deadline) {
  const auto s = state_;
  if (!s || !s->socket.is_open()) co_return closed_here();
  TROUPE_INVARIANT(!s->tls && !s->writing.running, "TLS within TLS, or during an operation");
  TROUPE_CO_TRY(s->tls, tls_session::make(context, side, s->socket.native_handle()));
  s->begin(s->reading, deadline);
  const running_guard guard{s->reading};
  for (;;) {
    const auto step = s->tls->shake();
    if (!step) co_return step.error();
    if (step->what == tls_session::progress::done) break;
    const auto failure = co_await s->ready(s->reading, step->what);
    if (failure) co_return to_error(failure, s->reading.timed_out, "waiting for the other side's part of TLS");
    if (!s->socket.is_open()) co_return closed_here();
  }
  TROUPE_CO_TRY(s->certified, s->tls->certified());
  co_return ok();
}

bool connection::is_encrypted() const noexcept { return state_ && state_->tls; }
std::optional<security::member_name> connection::certified() const { return state_ ? state_->certified : std::nullopt; }

awaitable<result<std::size_t>> connection::state::read_tls(std::span<char> into) {
  for (;;) {
    const auto step = tls->read(into);
    if (!step) co_return step.error();
    if (step->what == tls_session::progress::done) co_return step->size;
    const auto failure = co_await ready(reading, step->what);
    if (failure) co_return to_error(failure, reading.timed_out, "waiting for the other side");
    if (!socket.is_open()) co_return closed_here();
  }
}

awaitable<result<void>> connection::state::write_tls(std::span<const bytes_view> pieces) {
  record_gatherer records(pieces);
  for (auto next = records.next(); !next.empty(); next = records.next()) {
    const auto step = tls->write(next);
    if (!step) co_return step.error();
    if (step->what == tls_session::progress::done) {
      records.consume(step->size);
      continue;
    }
    const auto failure = co_await ready(writing, step->what);
    if (failure) co_return to_error(failure, writing.timed_out, "the other side did not take what we sent");
    if (!socket.is_open()) co_return closed_here();
  }
  co_return ok();
}

awaitable<result<std::size_t>> connection::read_some(std::span<char> into, steady_time deadline) {
  const auto s = state_;
  if (!s || !s->socket.is_open()) co_return closed_here();
  if (into.empty() || s->read_end == asio::error::eof) co_return std::size_t{0};
  if (s->read_end) co_return to_error(s->read_end, false, "");
  s->begin(s->reading, deadline);
  const running_guard guard{s->reading};
  if (s->tls) {
    auto outcome = co_await s->read_tls(into);
    if (outcome && *outcome == 0) s->read_end = asio::error::eof;
    co_return outcome;
  }
  error_code failure;
  const auto size = co_await s->socket.async_read_some(
      asio::buffer(into.data(), into.size()),
      asio::bind_cancellation_slot(s->reading.cancel.slot(), asio::redirect_error(asio::use_awaitable, failure)));
  if (failure && failure != asio::error::operation_aborted) s->read_end = failure;
  if (failure == asio::error::eof) co_return std::size_t{0};
  if (failure) co_return to_error(failure, s->reading.timed_out, "waiting for the other side");
  co_return size;
}

awaitable<result<void>> connection::read_exactly(std::span<char> into, steady_time deadline) {
  while (!into.empty()) {
    const auto some = co_await read_some(into, deadline);
    if (!some) co_return some.error();
    if (*some == 0) co_return error{errc::unavailable, "the other side closed the connection"};
    into = into.subspan(*some);
  }
  co_return ok();
}

awaitable<result<void>> connection::write(std::span<const bytes_view> pieces, steady_time deadline) {
  const auto s = state_;
  if (!s || !s->socket.is_open()) co_return closed_here();
  if (s->tls) {
    s->begin(s->writing, deadline);
    const running_guard guard{s->writing};
    co_return co_await s->write_tls(pieces);
  }
  std::vector<asio::const_buffer> buffers;
  buffers.reserve(pieces.size());
  for (const auto& piece : pieces)
    if (!piece.empty()) buffers.emplace_back(piece.data(), piece.size());
  s->begin(s->writing, deadline);
  const running_guard guard{s->writing};
  error_code failure;
  co_await asio::async_write(
      s->socket, std::span<const asio::const_buffer>(buffers),
      asio::bind_cancellation_slot(s->writing.cancel.slot(), asio::redirect_error(asio::use_awaitable, failure)));
  if (failure) co_return to_error(failure, s->writing.timed_out, "the other side did not take what we sent");
  co_return ok();
}

std::size_t connection::write_now(std::span<const bytes_view> pieces) noexcept {
  constexpr std::size_t pieces_max = 8;
  if (!is_open() || state_->tls || state_->writing.running || pieces.size() > pieces_max) return 0;
  iovec parts[pieces_max];
  msghdr message{};
  message.msg_iov = parts;
  for (const auto& piece : pieces)
    if (!piece.empty()) parts[message.msg_iovlen++] = {const_cast<char*>(piece.data()), piece.size()};
  const auto sent = ::sendmsg(state_->socket.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

awaitable<result<void>> connection::write(bytes_view data, steady_time deadline) {
  const std::array<bytes_view, 1> pieces{data};
  co_return co_await write(std::span<const bytes_view>(pieces), deadline);
}

void connection::shutdown_send() noexcept {
  if (!state_) return;
  error_code ignored;
  if (state_->tls && state_->socket.is_open()) state_->tls->end();
  state_->socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void connection::close() noexcept {
  if (state_) state_->close();
}

std::function<void()> connection::closer() const {
  if (!state_->known_as) {
    state_->known_as = std::make_shared<state::whereabouts>();
    state_->known_as->here = state_;
  }
  return [known_as = state_->known_as] { known_as->ask_to_close(); };
}

bool connection::is_open() const noexcept { return state_ && state_->socket.is_open(); }

bool connection::ended_by_peer() const noexcept {
  if (!is_open()) return true;
  if (state_->tls && !state_->reading.running) return state_->tls->ended_by_peer();
  char one = 0;
  const auto got = ::recv(state_->socket.native_handle(), &one, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

asio::any_io_executor connection::executor() const { return state_->socket.get_executor(); }

const tcp::endpoint& connection::remote() const noexcept { return state_->remote; }
const tcp::endpoint& connection::local() const noexcept { return state_->local; }
const transport::peer& connection::peer() const noexcept { return state_->who; }
void connection::set_peer(const transport::peer& who) { state_->who = who; }

void connection::keep(std::shared_ptr<void> ticket) { state_->tickets.push_back(std::move(ticket)); }
void connection::forget() noexcept { state_->tickets.clear(); }

/// The descriptor, which nobody closes now.
result<int> connection::detach() {
  if (!is_open()) return closed_here();
  TROUPE_INVARIANT(!state_->reading.running && !state_->writing.running, "a connection is taken during an operation");
  error_code failure;
  const int fd = state_->socket.release(failure);
  if (failure) return to_error(failure, false, "");
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fd;
}

result<connection::released> connection::release_fd() {
  if (!is_open()) return closed_here();
  released out{-1, state_->who, std::move(state_->tickets)};
  if (state_->tls) {
    state_->tickets.clear();
    TROUPE_TRY(out.fd, start_pump(std::move(*this)));
  } else {
    TROUPE_TRY(out.fd, detach());
    if (const auto known_as = state_->known_as) {
      const auto second = std::make_shared<second_descriptor>(out.fd);
      out.tickets.push_back(second);
      const std::lock_guard lock(known_as->mutex);
      known_as->released = second;
      if (known_as->close_asked) second->cut();
    }
    state_.reset();
  }
  return out;
}

result<connection> connection::move_to(const asio::any_io_executor& executor) {
  const auto from = state_;
  TROUPE_TRY(const int fd, detach());
  state_.reset();
  error_code failure;
  tcp::socket socket(executor);
  socket.assign(from->remote.protocol(), fd, failure);
  if (failure) {
    ::close(fd);
    return to_error(failure, false, "");
  }
  connection moved(std::move(socket));
  moved.state_->who = from->who;
  moved.state_->tickets = std::move(from->tickets);
  moved.state_->tls = std::move(from->tls);
  moved.state_->certified = from->certified;
  if (const auto known_as = from->known_as) {
    moved.state_->known_as = known_as;
    const std::lock_guard lock(known_as->mutex);
    known_as->here = moved.state_;
    if (known_as->close_asked) return closed_here();  // while it was between the two
  }
  return moved;
}

result<std::pair<connection, connection>> connected_pair(const asio::any_io_executor& first,
                                                         const asio::any_io_executor& second) {
  error_code failure;
  tcp::acceptor acceptor(first);
  const tcp::endpoint any(asio::ip::address_v4::loopback(), 0);
  tcp::socket dialled(first);
  tcp::socket accepted(second);
  acceptor.open(any.protocol(), failure);
  if (!failure) acceptor.bind(any, failure);
  if (!failure) acceptor.listen(1, failure);
  if (!failure) dialled.connect(acceptor.local_endpoint(), failure);
  if (!failure) acceptor.accept(accepted, failure);
  if (!failure) return std::pair(connection(std::move(dialled)), connection(std::move(accepted)));
  return error{errc::io_error, "a loopback pair: " + failure.message()};
}

}  // namespace troupe::transport
