#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <map>
#include <troupe/base/random.hpp>
#include <troupe/security/credentials.hpp>
#include <troupe/transport/gate.hpp>
#include <troupe/transport/handshake_io.hpp>
#include <troupe/transport/listening.hpp>
#include <troupe/transport/newcomers.hpp>
#include <troupe/transport/refusals.hpp>
#include <troupe/transport/secure.hpp>

namespace troupe::transport {

namespace {

using boost::system::error_code;

constexpr std::size_t recognise_bytes = 4;
/// Accepted in one go before others on the thread get their turn.
constexpr int accepts_per_turn = 16;
constexpr unsigned char tls_handshake_record = 22;  ///< the first byte of every TLS connection (RFC 8446, 5.1)
constexpr auto out_of_descriptors_pause = std::chrono::milliseconds(100);

bool begins_http(bytes_view first) {
  constexpr std::array<bytes_view, 9> methods{"GET ", "POST", "PUT ", "DELE", "HEAD", "OPTI", "PATC", "TRAC", "CONN"};
  return std::find(methods.begin(), methods.end(), first) != methods.end();
}

/// For a browser or a program that took the address for a plain one: the only plain text that is answered.
constexpr bytes_view plain_http_refusal =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nConnection: close\r\n\r\n"
    "{\"title\":\"Bad Request\",\"status\":400,\"detail\":\"this node takes encrypted connections only: use https\"}\n";

bool is_out_of_descriptors(int why) { return why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM; }

}  // namespace

struct gate::state : std::enable_shared_from_this<gate::state> {
  state(asio::io_context& c, gate_options o, identity i, telemetry::logger& l, telemetry::metrics& m)
      : context(c),
        options(std::move(o)),
        strand(asio::make_strand(c)),
        acceptor(strand),
        flush_timer(strand),
        log(l),
        accepted(m.get_counter("troupe_gate_accepted_total", "Connections accepted by the gate")),
        refused(m.get_counter("troupe_gate_refused_total", "Connections that the gate closed")),
        newcomers(std::make_shared<transport::newcomers>(options.unauthenticated_per_address_max)),
        members(std::make_shared<member_registry>()),
        self(std::move(i)),
        rude(options.log_interval) {}

  asio::io_context& context;
  const gate_options options;
  asio::strand<asio::io_context::executor_type> strand;
  tcp::acceptor acceptor;
  asio::steady_timer flush_timer;
  telemetry::logger& log;
  telemetry::counter& accepted;
  telemetry::counter& refused;
  const std::shared_ptr<transport::newcomers> newcomers;
  const std::shared_ptr<member_registry> members;

  mutable std::mutex mutex;  // of everything below
  identity self;
  struct served {
    handler f;
    bool one_per_member = false;
  };
  std::map<protocol, served> handlers;
  http_handler http;
  std::function<std::optional<refusal_code>(const peer&)> admission;
  refusals rude;
  bool stopped = false;
  tcp::endpoint local;

  awaitable<void> accept_all();
  int accept_some();
  void admit(tcp::socket socket);
  /// `kept` holds this state alive: the coroutine may begin when the gate has gone.
  awaitable<void> receive(std::shared_ptr<state> kept, connection stream, std::shared_ptr<void> ticket);
  /// Begins TLS where the other side does. Says what it has against it, closing included.
  awaitable<result<void>> secure(connection& stream, const identity& me, steady_time deadline);
  awaitable<result<void>> shake_hands(connection& stream, const identity& me, steady_time deadline);
  awaitable<result<void>> say_no(connection& stream, const handshake::acceptor::answer& no, steady_time deadline);
  std::optional<refusal_code> look_at(connection& stream, const identity& me, const peer& who);
  void refuse(std::string_view reason, const tcp::endpoint& remote, std::string_view sentence);
  void flush_refusals();
};

void gate::state::refuse(std::string_view reason, const tcp::endpoint& remote, std::string_view sentence) {
  refused.add();
  std::optional<std::string> line;
  bool schedule = false;
  {
    const std::lock_guard lock(mutex);
    const bool was_due = rude.due().has_value();
    line = rude.note(reason, to_string(remote) + ": " + std::string(sentence), std::chrono::steady_clock::now());
    schedule = !was_due && rude.due().has_value();
  }
  if (line) log.warning("gate", *line);
  if (schedule) asio::post(strand, [self = shared_from_this()] { self->flush_refusals(); });
}

/// What is held back is printed when its time has come, even if nobody is rude any more.
void gate::state::flush_refusals() {
  std::optional<std::string> line;
  std::optional<refusals::time_point> due;
  {
    const std::lock_guard lock(mutex);
    line = rude.flush(std::chrono::steady_clock::now());
    due = rude.due();
    if (stopped) due.reset();
  }
  if (line) log.warning("gate", *line);
  if (!due) return;
  flush_timer.expires_at(*due);
  flush_timer.async_wait([weak = weak_from_this()](const error_code& failure) {
    if (const auto still = weak.lock(); still && !failure) still->flush_refusals();
  });
}

awaitable<void> gate::state::accept_all() {
  for (;;) {
    error_code failure;
    co_await acceptor.async_wait(tcp::acceptor::wait_read, asio::redirect_error(asio::use_awaitable, failure));
    if (failure || !acceptor.is_open()) co_return;
    const int why = accept_some();
    if (!is_out_of_descriptors(why)) continue;
    // The backlog stays readable: without a pause this would spin. Those that say nothing give their descriptors back.
    // The cause is said before them: of what comes together, only the first is printed at once.
    refuse("no descriptors left", local, "out of descriptors or memory (raise `ulimit -n`): new connections wait");
    newcomers->evict(newcomers->size() / 2 + 1);
    co_await sleep_until(after(out_of_descriptors_pause));
  }
}

/// Takes a few connections off the backlog. The errno that ended it.
int gate::state::accept_some() {
  for (int i = 0; i < accepts_per_turn; ++i) {
    // Asio's own accept leaves a moment in which a forked child would inherit the descriptor, and keep a dead peer's
    // connection open.
    const int fd = ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
      return errno;
    }
    accepted.add();
    error_code failure;
    tcp::socket socket(asio::make_strand(context));
    socket.assign(local.protocol(), fd, failure);
    if (failure) {
      ::close(fd);
      continue;
    }
    admit(std::move(socket));
  }
  return 0;
}

void gate::state::admit(tcp::socket socket) {
  connection stream(std::move(socket));
  if (newcomers->size() >= options.unauthenticated_max) newcomers->evict(1);
  auto ticket = newcomers->add(stream.remote().address(), stream.closer());
  const auto executor = stream.executor();
  asio::co_spawn(executor, receive(shared_from_this(), std::move(stream), std::move(ticket)), asio::detached);
}

awaitable<void> gate::state::receive([[maybe_unused]] std::shared_ptr<state> kept, connection stream,
                                     std::shared_ptr<void> ticket) {
  const auto remote = stream.remote();
  const auto deadline = after(options.handshake_time_max);
  identity me;
  {
    const std::lock_guard lock(mutex);
    me = self;
  }
  char first[recognise_bytes];
  auto begun = co_await secure(stream, me, deadline);
  if (begun) begun = co_await stream.read_exactly(first, deadline);
  if (!begun) {
    switch (begun.error().code()) {
      case errc::deadline_exceeded:
        refuse("said nothing in time", remote, "it said nothing in time");
        break;
      case errc::cancelled:
        refuse("made room for newer ones", remote, "it was silent while many others came");
        break;
      case errc::unavailable:
        refuse("went away", remote, "it closed the connection before it said what it wants");
        break;
      default:
        refuse("not a good TLS", remote, begun.error().message());
        break;
    }
    co_return;
  }
  const bytes_view opening(first, sizeof first);
  try {
    if (begins_http(opening) && is_plain_where_it_must_not_be(stream, me)) {
      refuse("not encrypted", remote, "it speaks plain HTTP where only TLS is spoken");
      (void)co_await stream.write(plain_http_refusal, deadline);
      stream.shutdown_send();
      co_return;
    }
    if (begins_http(opening)) {
      http_handler f;
      {
        const std::lock_guard lock(mutex);
        f = http;
      }
      stream.keep(std::move(ticket));
      if (f)
        f(std::move(stream), bytes(opening));
      else
        refuse("no such protocol", remote, "it asked for HTTP, which this node does not serve");
      co_return;
    }
    if (opening != handshake::magic.substr(0, recognise_bytes)) {
      refuse("not a protocol of ours", remote, "what it sends is not a protocol of ours");
      co_return;
    }
    const auto shaken = co_await shake_hands(stream, me, deadline);
    if (!shaken) co_return;
    ticket.reset();
    handler f;
    {
      const std::lock_guard lock(mutex);
      if (const auto at = handlers.find(stream.peer().protocol); at != handlers.end() && !stopped) f = at->second.f;
    }
    if (f) f(std::move(stream));
  } catch (const std::exception& e) {
    log.error("gate", std::string("a handler of connections threw: ") + e.what());
  }
}

awaitable<result<void>> gate::state::secure(connection& stream, const identity& me, steady_time deadline) {
  const auto first = co_await stream.peek(deadline);
  if (!first) co_return first.error();
  if (*first != tls_handshake_record) co_return ok();
  if (!me.credentials)
    co_return error{errc::permission_denied, "it speaks TLS, for which this node has no certificate"};
  const auto shaken = co_await stream.start_tls(me.credentials->context(), tls_side::acceptor, deadline);
  co_return shaken;
}

/// Sends the refusal, which is the end of the connection. Gives the error that it is.
awaitable<result<void>> gate::state::say_no(connection& stream, const handshake::acceptor::answer& no,
                                            steady_time deadline) {
  const auto sentence = describe(*no.refused, true);
  refuse(sentence, stream.remote(), sentence);
  (void)co_await stream.write(bytes_view(no.reply), deadline);
  stream.shutdown_send();
  co_return error{to_errc(*no.refused), sentence};
}

awaitable<result<void>> gate::state::shake_hands(connection& stream, const identity& me, steady_time deadline) {
  const auto remote = stream.remote();
  char rest[handshake::magic_bytes - recognise_bytes];
  if (const auto got = co_await stream.read_exactly(rest, deadline); !got) {
    refuse("broke off its handshake", remote, "its handshake broke off: " + got.error().message());
    co_return got.error();
  }
  if (bytes_view(rest, sizeof rest) != handshake::magic.substr(recognise_bytes)) {
    refuse("not a protocol of ours", remote, "what it sends is not a protocol of ours");
    co_return error{errc::corrupted, "not a handshake"};
  }
  handshake::nonce fresh;
  fill_random(fresh.data(), fresh.size());
  handshake::acceptor side(me, fresh);
  handshake::acceptor::answer answer;
  if (is_plain_where_it_must_not_be(stream, me)) {
    answer = side.refuse(refusal_code::not_encrypted);
    co_return co_await say_no(stream, answer, deadline);
  }
  while (!side.proven()) {
    handshake::incoming in;
    if (const auto got = co_await handshake::receive(stream, in, deadline); got) {
      answer = side.receive(in.prefix.type, in.view());
    } else if (got.error().code() == errc::corrupted) {
      answer = side.refuse(refusal_code::malformed);
    } else {
      refuse("broke off its handshake", remote, "its handshake broke off: " + got.error().message());
      co_return got.error();
    }
    if (!answer.refused && side.proven()) {
      if (const auto code = look_at(stream, me, side.other())) answer = side.refuse(*code);
    }
    if (answer.refused) co_return co_await say_no(stream, answer, deadline);
    if (!answer.reply.empty()) TROUPE_CO_TRY_VOID(co_await stream.write(bytes_view(answer.reply), deadline));
  }
  stream.set_peer(side.other());
  close_when_revoked(stream, me);
  const bytes welcome = side.welcome_peer();
  if (const auto sent = co_await stream.write(bytes_view(welcome), deadline); !sent) {
    stream.forget();
    co_return sent.error();
  }
  co_return ok();
}

/// What the gate itself has against a peer that is who it says. Registers it when it may have only one connection.
std::optional<refusal_code> gate::state::look_at(connection& stream, const identity& me, const peer& who) {
  if (const auto code = look_at_certificate(stream, me, who)) return code;
  std::function<std::optional<refusal_code>(const peer&)> ask;
  bool single = false;
  {
    const std::lock_guard lock(mutex);
    const auto at = handlers.find(who.protocol);
    if (at == handlers.end()) return refusal_code::protocol;
    single = at->second.one_per_member;
    ask = admission;
  }
  if (ask)
    if (const auto code = ask(who)) return code;
  if (!single) return std::nullopt;
  auto registered = members->add(who, stream.closer());
  if (!registered.ticket) return registered.refused;
  stream.keep(std::move(registered.ticket));
  return std::nullopt;
}

gate::gate(asio::io_context& context, gate_options options, identity self, telemetry::logger& log,
           telemetry::metrics& metrics)
    : state_(std::make_shared<state>(context, std::move(options), std::move(self), log, metrics)) {
  metrics.set_gauge_source("troupe_gate_unauthenticated", "Connections that have not shown who they are",
                           [weak = std::weak_ptr(state_->newcomers)] {
                             const auto still = weak.lock();
                             return still ? static_cast<double>(still->size()) : 0.0;
                           });
}

gate::~gate() { stop(); }

void gate::on(protocol p, handler f, bool one_per_member) {
  const std::lock_guard lock(state_->mutex);
  state_->handlers[p] = {std::move(f), one_per_member};
}

void gate::on_http(http_handler f) {
  const std::lock_guard lock(state_->mutex);
  state_->http = std::move(f);
}

void gate::set_identity(identity self) {
  const std::lock_guard lock(state_->mutex);
  state_->self = std::move(self);
}

void gate::set_admission(std::function<std::optional<refusal_code>(const peer&)> f) {
  const std::lock_guard lock(state_->mutex);
  state_->admission = std::move(f);
}

result<void> gate::start() {
  const auto& to = state_->options.listen;
  if (to.address().is_unspecified())
    return error{errc::invalid_argument,
                 "listen on " + to_string(to) + ": give the one address that the other nodes reach this one at"};
  {
    const std::lock_guard lock(state_->mutex);
    if (!to.address().is_loopback() && !state_->self.credentials)
      return error{errc::invalid_argument, "listen on " + to_string(to) +
                                               ": beyond loopback (127.x.x.x, [::1]) a node needs a certificate, and "
                                               "has none; doc/operating/security.md says how it gets one"};
  }
  TROUPE_TRY_VOID(listen_on(state_->acceptor, to, state_->options.backlog));
  {
    const std::lock_guard lock(state_->mutex);
    error_code failure;
    state_->local = state_->acceptor.local_endpoint(failure);
  }
  asio::co_spawn(
      state_->strand, [s = state_]() -> awaitable<void> { co_await s->accept_all(); }, asio::detached);
  return ok();
}

void gate::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    if (std::exchange(state_->stopped, true)) return;
    state_->handlers.clear();
    state_->http = nullptr;
    state_->admission = nullptr;
  }
  state_->newcomers->evict(state_->newcomers->size());
  asio::post(state_->strand, [s = state_] {
    error_code ignored;
    s->acceptor.close(ignored);
    s->flush_timer.cancel();
    s->newcomers->evict(s->newcomers->size());
  });
}

tcp::endpoint gate::local() const {
  const std::lock_guard lock(state_->mutex);
  return state_->local;
}

std::size_t gate::unauthenticated() const { return state_->newcomers->size(); }

}  // namespace troupe::transport
