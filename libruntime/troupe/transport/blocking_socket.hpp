#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>

namespace troupe::security {
class trust;
}

namespace troupe::transport {

class tls_session;

/// A TCP connection for one thread that may wait, always with a limit, encrypted or between loopback addresses. Plain
/// POSIX and OpenSSL; the HTTP client's. Errors: `unavailable`, `deadline_exceeded`, `permission_denied` when the other
/// side's certificate is not good, and `cancelled` when `cancel_fd` became readable.
class blocking_socket {
 public:
  blocking_socket();
  ~blocking_socket();
  blocking_socket(blocking_socket&& other) noexcept;
  blocking_socket& operator=(blocking_socket&& other) noexcept;

  /// Tries the addresses of `host` in order, all within `time_max`.
  static result<blocking_socket> connect(const std::string& host, std::uint16_t port,
                                         std::chrono::milliseconds time_max, int cancel_fd);
  /// Begins TLS 1.3: the other side must be a member of a cluster whose authority `trust` believes; of `cluster`,
  /// unless it is nil.
  result<void> start_tls(const security::trust& trust, const cluster_id& cluster, std::chrono::milliseconds time_max);
  /// From this machine to this machine.
  [[nodiscard]] bool is_loopback() const noexcept;

  struct readiness {
    bool readable = false;
    bool writable = false;
  };
  /// Waits until one of the two is so. With `must`, nothing in time is `deadline_exceeded`; without, it is neither.
  result<readiness> wait(bool for_read, bool for_write, std::chrono::milliseconds time_max, bool must = true);
  /// At least one byte; 0 at the end.
  result<std::size_t> read_some(std::span<char> into, std::chrono::milliseconds time_max);
  /// What the kernel takes now, perhaps nothing.
  result<std::size_t> write_available(bytes_view data);

  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  /// Between requests: the peer has closed, or has sent what nobody asked for.
  [[nodiscard]] bool ended_by_peer() const noexcept;
  void close() noexcept;

 private:
  blocking_socket(int fd, int cancel_fd);
  int fd_ = -1;
  int cancel_fd_ = -1;
  std::unique_ptr<tls_session> tls_;
};

}  // namespace troupe::transport
