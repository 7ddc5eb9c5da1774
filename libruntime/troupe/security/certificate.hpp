#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <vector>

// OpenSSL's own types: its headers stay out of ours.
struct x509_st;
struct evp_pkey_st;

namespace troupe::security {

/// Whom a certificate is for. It stands there as a subject alternative name: URI:troupe://CLUSTER/MEMBER.
struct member_name {
  cluster_id cluster;
  member_id member;

  [[nodiscard]] std::string to_uri() const;
  static result<member_name> parse(std::string_view uri);
  friend bool operator==(const member_name&, const member_name&) = default;
};

/// Seconds since 1970, as certificates have them.
struct validity {
  std::int64_t from_unix_s = 0;
  std::int64_t until_unix_s = 0;
};

/// An X.509 certificate; a shared handle of one that is never changed.
class certificate {
 public:
  explicit certificate(std::shared_ptr<x509_st> x509) : x509_(std::move(x509)) {}
  /// The first of a PEM text. `what` names the text in errors.
  static result<certificate> parse(bytes_view pem, std::string_view what);
  /// All of a PEM text, at least one.
  static result<std::vector<certificate>> parse_all(bytes_view pem, std::string_view what);

  [[nodiscard]] std::string pem() const;
  /// SHA-256 of its DER form, 64 hex digits.
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] security::validity validity() const;
  /// `invalid_argument` when it names no member, or several.
  [[nodiscard]] result<member_name> member() const;
  [[nodiscard]] x509_st* get() const noexcept { return x509_.get(); }

 private:
  std::shared_ptr<x509_st> x509_;
};

/// An elliptic key (P-256) of a member or an authority. Its text is a secret: it stays out of logs and errors.
class private_key {
 public:
  explicit private_key(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  static result<private_key> generate();
  /// `pass`: what an encrypted key (PKCS #8) was sealed with; `permission_denied` when it is another.
  static result<private_key> parse(bytes_view pem, std::string_view what, std::string_view pass = {});

  [[nodiscard]] std::string pem() const;
  /// PKCS #8, encrypted with AES-256 under `pass`: `openssl pkey -passin` reads it.
  [[nodiscard]] std::string sealed_pem(std::string_view pass) const;
  [[nodiscard]] evp_pkey_st* get() const noexcept { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

/// What OpenSSL's error queue of this thread says, which is empty afterwards.
std::string take_openssl_errors();
/// An error of OpenSSL's: `what`, and what the queue says.
error openssl_failed(const std::string& what);

}  // namespace troupe::security
