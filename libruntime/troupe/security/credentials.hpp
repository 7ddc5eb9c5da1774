#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <troupe/security/certificate.hpp>

struct ssl_ctx_st;

namespace troupe::security {

/// What one side of a TLS connection needs, in PEM: its certificate (and intermediate ones), its key, whom it believes.
struct material {
  std::string certificate_pem;
  std::string key_pem;
  std::string authority_pem;
};

/// Who a node is in TLS, and whom it believes: the cluster's own authority and nobody else. TLS 1.3 only; a certificate
/// that does not verify ends the connection, and there is no way to ask for less.
///
/// One per node, shared by its gate and all its diallers, from any thread. Replaced certificates count for connections
/// that begin later. A revoked member's connections are closed at once, and none of it begins.
class credentials {
 public:
  /// `invalid_argument` when the parts do not belong together: the key is another's, the certificate was not signed by
  /// the authority, or names no member. An expired one is taken: whoever sees it refuses it, and says so.
  static result<std::shared_ptr<credentials>> make(const material& from, bool on_loopback);

  /// Rotation. Must name the same member as before.
  result<void> replace(const material& from);

  /// Encrypt also between addresses of this machine.
  [[nodiscard]] bool on_loopback() const noexcept { return on_loopback_; }
  [[nodiscard]] const member_name& who() const noexcept { return who_; }
  [[nodiscard]] std::shared_ptr<ssl_ctx_st> context() const;
  [[nodiscard]] security::validity validity() const;
  [[nodiscard]] std::string authority_pem() const;

  /// Replaces the list of members that are to be refused, and closes what they have.
  void set_revoked(std::set<member_id> members);
  [[nodiscard]] bool is_revoked(const member_id& member) const;
  /// Calls `close` (on any thread) should the member be revoked while the ticket lives; at once if it is.
  [[nodiscard]] std::shared_ptr<void> watch(const member_id& member, std::function<void()> close);

 private:
  credentials(member_name who, bool on_loopback) : who_(who), on_loopback_(on_loopback) {}

  struct watched {
    std::mutex mutex;
    std::uint64_t next = 0;
    std::map<std::pair<member_id, std::uint64_t>, std::function<void()>> by_member;
  };

  const member_name who_;
  const bool on_loopback_;
  const std::shared_ptr<watched> watched_ = std::make_shared<watched>();
  mutable std::mutex mutex_;  // of everything below
  std::shared_ptr<ssl_ctx_st> context_;
  security::validity validity_;
  std::string authority_pem_;
  std::set<member_id> revoked_;
};

/// Whom a program without a certificate (the shell, a node that has none yet) believes.
class trust {
 public:
  /// What the authority signed.
  static result<std::shared_ptr<const trust>> of_authority(bytes_view authority_pem);
  /// An authority that is known by its fingerprint alone; the other side shows it along with its own certificate.
  static result<std::shared_ptr<const trust>> of_fingerprint(const std::string& sha256_hex);

  /// As a member believes, and with the member's own certificate to show.
  static std::shared_ptr<const trust> of_member(const credentials& own);

  [[nodiscard]] const std::shared_ptr<ssl_ctx_st>& context() const noexcept { return context_; }

 private:
  trust() = default;
  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace troupe::security
