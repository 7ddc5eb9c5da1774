#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>

struct ssl_ctx_st;
struct ssl_st;

namespace troupe::security {
struct member_name;
class certificate;
}  // namespace troupe::security

namespace troupe::transport {

enum class tls_side : std::uint8_t { dialler, acceptor };

/// TLS 1.3 over a connected, non-blocking socket that somebody else owns and waits for: `connection` with Asio, the
/// HTTP client with poll. Never waits: it says what it waits for. One thread at a time. After an error it is of no use.
class tls_session {
 public:
  /// `descriptor` may move to another owner, but stays the same number and open while this is used.
  static result<std::unique_ptr<tls_session>> make(const std::shared_ptr<ssl_ctx_st>& context, tls_side side,
                                                   int descriptor);
  ~tls_session();
  tls_session(const tls_session&) = delete;
  tls_session& operator=(const tls_session&) = delete;

  enum class progress : std::uint8_t { done, wants_read, wants_write };
  struct step {
    progress what = progress::done;
    std::size_t size = 0;  ///< moved; of a read 0 with `done`: the other side ended its side in order
  };

  /// The handshake, as far as it goes now. `permission_denied` when a certificate is refused by either side.
  result<step> shake();
  /// As much as is there, at most into.size().
  result<step> read(std::span<char> into);
  /// Some of it. After `wants_…`, the next call must bring the same bytes (and may bring more behind them).
  result<step> write(bytes_view data);
  /// Tells the other side that nothing more comes, as far as the socket takes it now.
  void end() noexcept;
  /// The other side has ended, or broken off, and nothing that it sent waits to be read. Not while a read waits.
  [[nodiscard]] bool ended_by_peer() noexcept;

  /// Some of what was read of the socket has not been given out: waiting for the socket may wait for ever.
  [[nodiscard]] bool has_pending() const noexcept;

  /// Whom the other side's certificate names, which was found good; nothing when it showed none. After the handshake.
  [[nodiscard]] result<std::optional<security::member_name>> certified() const;

 private:
  tls_session() = default;
  result<step> after(int returned, const char* doing);

  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_{nullptr, nullptr};
  int descriptor_ = -1;
  bool failed_ = false;
  bool shaken_ = false;
};

}  // namespace troupe::transport
