#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <troupe/security/certificate.hpp>
#include <troupe/transport/tls_session.hpp>

namespace troupe::transport {

namespace {

// OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE in whatever program this is.

int fd_of(BIO* bio) { return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))); }

bool is_for_later(int why) { return why == EAGAIN || why == EWOULDBLOCK || why == EINTR; }

int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const auto sent = ::send(fd_of(bio), data, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && is_for_later(errno)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int bio_read(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  const auto got = ::recv(fd_of(bio), into, static_cast<std::size_t>(size), 0);
  if (got < 0 && is_for_later(errno)) BIO_set_retry_read(bio);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(got);
}

long bio_control(BIO* bio, int what, long, void*) {
  switch (what) {
    case BIO_CTRL_FLUSH:
      return 1;
    case BIO_CTRL_EOF:
      return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
    default:
      return 0;
  }
}

BIO_METHOD* socket_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "socket");
    BIO_meth_set_write(made, &bio_write);
    BIO_meth_set_read(made, &bio_read);
    BIO_meth_set_ctrl(made, &bio_control);
    return made;
  }();
  return method;
}

/// A sentence for what commonly ends a TLS connection; the alert numbers are RFC 8446's, section 6.
error explain(SSL* ssl, bool shaken) {
  const auto verified = SSL_get_verify_result(ssl);
  const auto code = ERR_peek_last_error();
  const int reason = ERR_GET_REASON(code);
  const auto words = security::take_openssl_errors();
  if (!shaken && verified != X509_V_OK && reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
    return {errc::permission_denied,
            "its certificate is refused: " + std::string(X509_verify_cert_error_string(verified))};
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) return {errc::unavailable, "the other side closed the connection"};
  if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION ||
      reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
    return {errc::unsupported, "no TLS 1.3 is spoken there: " + words};
  if (reason > SSL_AD_REASON_OFFSET) {
    const int alert = reason - SSL_AD_REASON_OFFSET;
    const bool about_certificates = (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_CERTIFICATE_UNKNOWN) ||
                                    alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_ACCESS_DENIED ||
                                    alert == SSL_AD_CERTIFICATE_REQUIRED;
    if (about_certificates)
      return {errc::permission_denied, std::string("it refuses our certificate: ") + SSL_alert_desc_string_long(alert)};
  }
  return {shaken ? errc::unavailable : errc::corrupted, "TLS broke off: " + words};
}

}  // namespace

result<std::unique_ptr<tls_session>> tls_session::make(const std::shared_ptr<ssl_ctx_st>& context, tls_side side,
                                                       int descriptor) {
  ERR_clear_error();
  std::unique_ptr<tls_session> out(new tls_session());
  out->descriptor_ = descriptor;
  out->ssl_ = {SSL_new(context.get()), &SSL_free};  // holds the context by a count of its own
  BIO* const bio = out->ssl_ ? BIO_new(socket_method()) : nullptr;
  if (bio == nullptr) return error{errc::resource_exhausted, "TLS: " + security::take_openssl_errors()};
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor)));
  BIO_set_init(bio, 1);
  SSL_set_bio(out->ssl_.get(), bio, bio);
  if (side == tls_side::dialler)
    SSL_set_connect_state(out->ssl_.get());
  else
    SSL_set_accept_state(out->ssl_.get());
  return out;
}

tls_session::~tls_session() = default;

result<tls_session::step> tls_session::after(int returned, const char* doing) {
  const int system = errno;
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      return step{progress::wants_read, 0};
    case SSL_ERROR_WANT_WRITE:
      return step{progress::wants_write, 0};
    case SSL_ERROR_ZERO_RETURN:
      return step{progress::done, 0};
    case SSL_ERROR_SYSCALL:
      failed_ = true;
      ERR_clear_error();
      if (system == 0 || system == ECONNRESET || system == EPIPE)
        return error{errc::unavailable, "the other side closed the connection"};
      return error{errc::unavailable, std::string(doing) + ": " + std::strerror(system)};
    default:
      failed_ = true;
      return explain(ssl_.get(), shaken_);
  }
}

result<tls_session::step> tls_session::shake() {
  ERR_clear_error();  // of this thread: what another connection left must not be taken for this one's
  errno = 0;
  const int returned = SSL_do_handshake(ssl_.get());
  if (returned != 1) {
    // The other side may also end in order before there is anything to end: that is no handshake.
    TROUPE_TRY(const auto so_far, after(returned, "the TLS handshake"));
    if (so_far.what != progress::done) return so_far;
    failed_ = true;
    return error{errc::unavailable, "the other side closed the connection within the TLS handshake"};
  }
  shaken_ = true;
  return step{};
}

result<tls_session::step> tls_session::read(std::span<char> into) {
  std::size_t total = 0;
  while (total < into.size()) {
    ERR_clear_error();
    errno = 0;
    std::size_t got = 0;
    const int returned = SSL_read_ex(ssl_.get(), into.data() + total, into.size() - total, &got);
    if (returned == 1) {
      total += got;
      // What was read of the socket is decrypted; the socket is asked again only for a read that has nothing yet.
      if (SSL_has_pending(ssl_.get()) == 0) break;
      continue;
    }
    if (total > 0 && SSL_get_error(ssl_.get(), returned) == SSL_ERROR_WANT_READ) break;
    auto outcome = after(returned, "reading");
    if (total > 0) break;  // said again by the next read
    return outcome;
  }
  return step{progress::done, total};
}

result<tls_session::step> tls_session::write(bytes_view data) {
  ERR_clear_error();
  errno = 0;
  std::size_t sent = 0;
  const int returned = SSL_write_ex(ssl_.get(), data.data(), data.size(), &sent);
  if (returned == 1) return step{progress::done, sent};
  auto outcome = after(returned, "writing");
  if (outcome && outcome->what == progress::done)
    return error{errc::unavailable, "the other side closed the connection"};
  return outcome;
}

void tls_session::end() noexcept {
  if (failed_ || !shaken_) return;
  ERR_clear_error();
  (void)SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

bool tls_session::ended_by_peer() noexcept {
  if (failed_) return true;
  ERR_clear_error();
  errno = 0;
  char one = 0;
  std::size_t got = 0;
  const int returned = SSL_peek_ex(ssl_.get(), &one, 1, &got);
  const int why = returned == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), returned);
  ERR_clear_error();
  return why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
}

bool tls_session::has_pending() const noexcept { return SSL_has_pending(ssl_.get()) != 0; }

result<std::optional<security::member_name>> tls_session::certified() const {
  X509* const shown = SSL_get1_peer_certificate(ssl_.get());
  if (shown == nullptr) return std::optional<security::member_name>();
  const security::certificate other(std::shared_ptr<X509>(shown, &X509_free));
  TROUPE_TRY(const auto who, other.member());
  return std::optional<security::member_name>(who);
}

}  // namespace troupe::transport
