#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <optional>
#include <span>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>
#include <troupe/transport/awaiting.hpp>
#include <troupe/transport/endpoint.hpp>
#include <troupe/transport/handshake.hpp>
#include <troupe/transport/tls_session.hpp>

namespace troupe::transport {

/// A connected stream of bytes, with who is at its other end: TCP, and TLS 1.3 underneath once start_tls was called,
/// which nobody above notices.
///
/// Owned by one place, moved to the next. All calls come on its executor (a strand, or a context run by one thread),
/// save `close_from_any_thread`. At most one read and one write at a time; both may run together. A deadline that
/// passes ends only that operation with `deadline_exceeded`: a read has then taken nothing, a write may have sent a
/// part, after which the stream is good for nothing but closing. Errors: `unavailable` when the peer is gone,
/// `deadline_exceeded`, `cancelled` after close().
class connection {
 public:
  /// Nothing; only to be assigned to.
  connection() = default;
  /// Takes over a connected socket: sets TCP_NODELAY, non-blocking.
  explicit connection(tcp::socket socket);
  connection(connection&&) noexcept = default;
  connection& operator=(connection&& other) noexcept;
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection();

  /// Waits for the first byte, and leaves it there to be read. Before start_tls only.
  awaitable<result<unsigned char>> peek(steady_time deadline);
  /// From here on everything is encrypted. Nothing may have been read ahead, and no operation may be underway. An error
  /// (`permission_denied`: a certificate was refused, here or there; `unsupported`: no TLS 1.3; …) leaves a stream that
  /// is good for nothing but closing. A dialler whose certificate the acceptor refuses hears of it when it first reads.
  awaitable<result<void>> start_tls(std::shared_ptr<ssl_ctx_st> context, tls_side side, steady_time deadline);
  [[nodiscard]] bool is_encrypted() const noexcept;
  /// Whom the other side's certificate names; nothing when it is not encrypted, or it showed none.
  [[nodiscard]] std::optional<security::member_name> certified() const;

  /// At least one byte, at most into.size(); 0 when the peer has ended its side in order.
  awaitable<result<std::size_t>> read_some(std::span<char> into, steady_time deadline);
  /// All of `into`; an end of file before that is `unavailable`.
  awaitable<result<void>> read_exactly(std::span<char> into, steady_time deadline);
  /// All pieces in order, gathered by the kernel, without a copy here. They must stay as they are until it returns.
  awaitable<result<void>> write(std::span<const bytes_view> pieces, steady_time deadline);
  awaitable<result<void>> write(bytes_view data, steady_time deadline);
  /// Writes what the kernel takes at once, and says how much: 0 too when the stream is encrypted or has failed, which
  /// the next write() finds out. Not while a write runs.
  [[nodiscard]] std::size_t write_now(std::span<const bytes_view> pieces) noexcept;

  /// Nothing more will be written; the peer reads an end of file.
  void shutdown_send() noexcept;
  /// Operations underway end with `cancelled`. Can be called again.
  void close() noexcept;
  /// A function that closes this connection, from any thread, wherever it has been moved by then (after release_fd as
  /// long as the tickets live); harmless once it is gone.
  [[nodiscard]] std::function<void()> closer() const;

  [[nodiscard]] bool is_open() const noexcept;
  /// The peer has closed or reset it, and nothing that it sent waits to be read. For work whose asker may go away.
  [[nodiscard]] bool ended_by_peer() const noexcept;
  [[nodiscard]] asio::any_io_executor executor() const;
  [[nodiscard]] const tcp::endpoint& remote() const noexcept;
  [[nodiscard]] const tcp::endpoint& local() const noexcept;
  /// Who it is; only after a handshake (never for HTTP, whose requests each carry the token).
  [[nodiscard]] const transport::peer& peer() const noexcept;
  void set_peer(const transport::peer& who);

  /// Things that live as long as this connection (the gate's registrations). `keep` adds one, `forget` drops all.
  void keep(std::shared_ptr<void> ticket);
  void forget() noexcept;

  /// Lets go of the descriptor (non-blocking, close-on-exec): CAF takes it. Of an encrypted one it is the end of a pump
  /// (pump.hpp), which then has the connection. `tickets` must be kept until CAF's connection is known to be gone, and
  /// no longer: while they live the gate refuses a second connection of the same member, and the socket stays open.
  /// Nothing may have been read ahead, and no operation may be underway.
  struct released {
    int fd = -1;
    transport::peer peer;
    std::vector<std::shared_ptr<void>> tickets;
  };
  [[nodiscard]] result<released> release_fd();

  /// The same connection on another executor, for rooms with threads of their own. No operation may be underway.
  [[nodiscard]] result<connection> move_to(const asio::any_io_executor& executor);

 private:
  struct state;
  std::shared_ptr<state> state_;
  [[nodiscard]] result<int> detach();
};

/// Two connected streams in one process, over loopback TCP; for tests and benches.
result<std::pair<connection, connection>> connected_pair(const asio::any_io_executor& first,
                                                         const asio::any_io_executor& second);

}  // namespace troupe::transport
