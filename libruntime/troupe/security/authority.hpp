#pragma once
#include <string>
#include <troupe/security/certificate.hpp>
#include <vector>

namespace troupe::security {

/// A cluster's own certificate authority. Pure but for OpenSSL's random numbers: times are handed in. Its key stays on
/// the voters; what it signs is bound to one member of its cluster.
class authority {
 public:
  /// A new one, of one cluster: its certificate names the cluster and may sign nothing but leaves.
  static result<authority> create(const cluster_id& cluster, const validity& valid);
  /// The one of these; `invalid_argument` when they do not belong together.
  static result<authority> open(certificate own, private_key key);

  /// A certificate for the member, of the key that made the request (which proves to hold it by its signature; whatever
  /// else the request asks for is ignored). Good for both sides of a connection. `addresses`: numeric ones that
  /// browsers and curl will find it at. It never outlives the authority's own.
  [[nodiscard]] result<certificate> sign(bytes_view request_pem, const member_name& who, const validity& valid,
                                         const std::vector<std::string>& addresses) const;

  [[nodiscard]] const certificate& own() const noexcept { return own_; }
  [[nodiscard]] const private_key& key() const noexcept { return key_; }

 private:
  authority(certificate own, private_key key) : own_(std::move(own)), key_(std::move(key)) {}
  certificate own_;
  private_key key_;
};

/// Asks for a certificate of this key (PKCS #10, PEM). It names nobody: the authority knows whom it signs for.
result<std::string> make_request(const private_key& key);

}  // namespace troupe::security
