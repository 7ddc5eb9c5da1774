#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <troupe/base/text.hpp>
#include <troupe/security/credentials.hpp>

namespace troupe::security {

namespace {

/// Decrypted four records at a time from one read of the socket.
constexpr std::size_t read_ahead_bytes = 68 * 1024;

/// TLS 1.3, no resumption (a session that was begun before a revocation must not be gone on with), no 0-RTT.
result<std::shared_ptr<SSL_CTX>> bare_context() {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_method()), &SSL_CTX_free);
  const bool good = context && SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_max_proto_version(context.get(), TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_ciphersuites(context.get(),
                                             "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                             "TLS_CHACHA20_POLY1305_SHA256") == 1 &&
                    SSL_CTX_set1_groups_list(context.get(), "X25519:P-256") == 1 &&
                    SSL_CTX_set_num_tickets(context.get(), 0) == 1;
  if (!good) return openssl_failed("setting TLS up");
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_default_read_buffer_len(context.get(), read_ahead_bytes);
  // An acceptor asks for a certificate and lets come who has none (the gate and the HTTP server see to what they may
  // do); one that does not verify ends the handshake. A dialler insists on one.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  return context;
}

result<void> believe(SSL_CTX* context, const std::vector<certificate>& authorities) {
  for (const auto& one : authorities)
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), one.get()) != 1)
      return openssl_failed("taking the certificate of the authority");
  return ok();
}

/// Whether the certificate comes from the authority. Its time is not looked at.
result<void> check_signed(SSL_CTX* context, const std::vector<certificate>& chain) {
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> look(X509_STORE_CTX_new(),
                                                                             &X509_STORE_CTX_free);
  const std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> others(sk_X509_new_null(),
                                                                          [](STACK_OF(X509) * s) { sk_X509_free(s); });
  for (std::size_t i = 1; i < chain.size(); ++i) sk_X509_push(others.get(), chain[i].get());
  if (!look || X509_STORE_CTX_init(look.get(), SSL_CTX_get_cert_store(context), chain[0].get(), others.get()) != 1)
    return openssl_failed("checking the certificate");
  X509_STORE_CTX_set_flags(look.get(), X509_V_FLAG_NO_CHECK_TIME);
  if (X509_verify_cert(look.get()) == 1) return ok();
  const std::string why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(look.get()));
  ERR_clear_error();
  return error{errc::invalid_argument, "the node's certificate was not signed by the cluster's authority: " + why};
}

struct made {
  std::shared_ptr<SSL_CTX> context;
  member_name who;
  security::validity validity;
};

result<made> context_of(const material& from) {
  TROUPE_TRY(const auto chain, certificate::parse_all(from.certificate_pem, "the node's certificate"));
  TROUPE_TRY(const auto key, private_key::parse(from.key_pem, "the node's key"));
  TROUPE_TRY(const auto authorities, certificate::parse_all(from.authority_pem, "the authority's certificate"));
  TROUPE_TRY(const auto who, chain.front().member());
  TROUPE_TRY(auto context, bare_context());
  TROUPE_TRY_VOID(believe(context.get(), authorities));
  TROUPE_TRY_VOID(check_signed(context.get(), chain));
  if (SSL_CTX_use_certificate(context.get(), chain.front().get()) != 1)
    return openssl_failed("taking the node's certificate");
  if (SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1 || SSL_CTX_check_private_key(context.get()) != 1) {
    ERR_clear_error();
    return error{errc::invalid_argument, "the node's key is not that of its certificate"};
  }
  // The authority goes along, for those that know its fingerprint only.
  for (const auto* more : {&chain, &authorities})
    for (std::size_t i = more == &chain ? 1 : 0; i < more->size(); ++i)
      if (SSL_CTX_add1_chain_cert(context.get(), (*more)[i].get()) != 1)
        return openssl_failed("taking a chain of certificates");
  return made{std::move(context), who, chain.front().validity()};
}

/// Believes what hangs from the one certificate of that fingerprint that the other side showed.
int verify_pinned(X509_STORE_CTX* look, void* wanted) {
  const auto& fingerprint = *static_cast<const std::string*>(wanted);
  STACK_OF(X509)* const shown = X509_STORE_CTX_get0_untrusted(look);
  for (int i = 0; i < sk_X509_num(shown); ++i) {
    X509* const one = sk_X509_value(shown, i);
    X509_up_ref(one);
    if (!equal_constant_time(certificate(std::shared_ptr<X509>(one, &X509_free)).fingerprint(), fingerprint)) continue;
    STACK_OF(X509)* const trusted = sk_X509_new_null();
    sk_X509_push(trusted, one);
    X509_STORE_CTX_set0_trusted_stack(look, trusted);
    const int good = X509_verify_cert(look);
    sk_X509_free(trusted);
    return good;
  }
  X509_STORE_CTX_set_error(look, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
  return 0;
}

}  // namespace

result<std::shared_ptr<credentials>> credentials::make(const material& from, bool on_loopback) {
  TROUPE_TRY(auto fresh, context_of(from));
  std::shared_ptr<credentials> out(new credentials(fresh.who, on_loopback));
  out->context_ = std::move(fresh.context);
  out->validity_ = fresh.validity;
  out->authority_pem_ = from.authority_pem;
  return out;
}

result<void> credentials::replace(const material& from) {
  TROUPE_TRY(auto fresh, context_of(from));
  if (fresh.who != who_)
    return error{errc::invalid_argument,
                 "the new certificate is for " + fresh.who.to_uri() + ", this node is " + who_.to_uri()};
  const std::lock_guard lock(mutex_);
  context_ = std::move(fresh.context);
  validity_ = fresh.validity;
  authority_pem_ = from.authority_pem;
  return ok();
}

std::shared_ptr<ssl_ctx_st> credentials::context() const {
  const std::lock_guard lock(mutex_);
  return context_;
}

security::validity credentials::validity() const {
  const std::lock_guard lock(mutex_);
  return validity_;
}

std::string credentials::authority_pem() const {
  const std::lock_guard lock(mutex_);
  return authority_pem_;
}

void credentials::set_revoked(std::set<member_id> members) {
  {
    const std::lock_guard lock(mutex_);
    revoked_ = members;
  }
  std::vector<std::function<void()>> ends;
  {
    const std::lock_guard lock(watched_->mutex);
    for (const auto& [key, close] : watched_->by_member)
      if (members.contains(key.first)) ends.push_back(close);
  }
  for (const auto& close : ends) close();
}

bool credentials::is_revoked(const member_id& member) const {
  const std::lock_guard lock(mutex_);
  return revoked_.contains(member);
}

std::shared_ptr<void> credentials::watch(const member_id& member, std::function<void()> close) {
  std::pair<member_id, std::uint64_t> key(member, 0);
  {
    const std::lock_guard lock(watched_->mutex);
    key.second = watched_->next++;
    watched_->by_member.emplace(key, close);
  }
  if (is_revoked(member)) close();
  return {nullptr, [list = watched_, key](void*) {
            const std::lock_guard lock(list->mutex);
            list->by_member.erase(key);
          }};
}

result<std::shared_ptr<const trust>> trust::of_authority(bytes_view authority_pem) {
  TROUPE_TRY(const auto authorities, certificate::parse_all(authority_pem, "the authority's certificate"));
  const std::shared_ptr<trust> out(new trust());
  TROUPE_TRY(out->context_, bare_context());
  TROUPE_TRY_VOID(believe(out->context_.get(), authorities));
  return std::shared_ptr<const trust>(out);
}

result<std::shared_ptr<const trust>> trust::of_fingerprint(const std::string& sha256_hex) {
  if (sha256_hex.size() != 64 || !from_hex(sha256_hex))
    return error{errc::invalid_argument, "the fingerprint of an authority has 64 hex digits"};
  const std::shared_ptr<trust> out(new trust());
  TROUPE_TRY(out->context_, bare_context());
  // Connections hold the context, not this object: the text goes with the context.
  auto* const text = new std::string(sha256_hex);
  SSL_CTX_set_cert_verify_callback(out->context_.get(), &verify_pinned, text);
  out->context_ = std::shared_ptr<SSL_CTX>(out->context_.get(), [whole = out->context_, text](SSL_CTX*) mutable {
    whole.reset();
    delete text;
  });
  return std::shared_ptr<const trust>(out);
}

std::shared_ptr<const trust> trust::of_member(const credentials& own) {
  const std::shared_ptr<trust> out(new trust());
  out->context_ = own.context();
  return out;
}

}  // namespace troupe::security
