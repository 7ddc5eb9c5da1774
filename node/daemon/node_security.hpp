#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/security/authority.hpp>
#include <troupe/security/credentials.hpp>

namespace troupe::node {

struct configuration;

/// What a node keeps of certificates, in DIR/security (mode 0700), or where the configuration says:
///
///   node.crt, node.key    who it is; ca.crt whom it believes
///   ca.key, ca.seal       of a node that may sign: the authority's key, encrypted, and what it is encrypted with
///   (unless
///                         --authority-seal-file names another place, which is safer: a stolen disk then signs nothing)
///
/// Any thread.
class node_security {
 public:
  node_security(const configuration& c, std::string data_directory);

  /// What is there. Nothing at all is no error: a new node, or one of loopback that was made without.
  result<void> load();
  /// The member that a certificate of the configuration names: it is who a new node is.
  [[nodiscard]] const std::optional<security::member_name>& named() const noexcept { return named_; }

  /// Makes the authority of a new cluster, and this member's certificate.
  result<void> found(const security::member_name& who, const std::string& address);
  /// A key of this node's own and what asks for its certificate. The key is kept when the answer is.
  struct asking {
    security::private_key key;
    std::string request;
  };
  static result<asking> ask();
  result<void> keep(const asking& asked, const std::string& certificate_pem, const std::string& authority_pem);

  /// Null until there is a certificate.
  [[nodiscard]] std::shared_ptr<security::credentials> credentials() const;
  [[nodiscard]] bool can_sign() const;
  /// The certificate is one of the configuration's files: somebody else's authority signs here.
  [[nodiscard]] bool is_given() const noexcept { return given_; }
  /// For another voter, over TLS. `unavailable` where it is not. The text is a secret.
  [[nodiscard]] result<std::string> authority_key() const;
  /// Seals and keeps the key that another voter gave. `invalid_argument` when it is not that of the authority.
  result<void> keep_authority_key(const std::string& key_pem);
  /// This node votes no more, and others sign: the fewer have the key, the better.
  result<void> forget_authority_key();
  /// A certificate for a member, signed here. `unavailable` where the authority's key is not.
  result<std::string> sign(const std::string& request_pem, const security::member_name& who,
                           const std::vector<std::string>& addresses) const;
  [[nodiscard]] std::string authority_pem() const;
  /// Two thirds of the certificate's time are over, and it is not one of the configuration's files.
  [[nodiscard]] bool wants_renewal() const;
  /// Reads the configuration's files again, if they have changed since. True when they had.
  result<bool> look_for_new_files();
  [[nodiscard]] std::int64_t seconds_left() const;
  /// True once in ten seconds: what strangers do is told no more often.
  bool may_tell_refusal();

 private:
  result<security::material> read_material() const;
  result<void> use(const security::material& m);
  result<void> load_authority();
  result<void> store(const security::authority& made);
  [[nodiscard]] std::string seal_path() const;
  [[nodiscard]] std::string changed_mark() const;

  const std::string folder_;
  std::string certificate_file_, key_file_, authority_file_, seal_file_;
  bool given_ = false;  ///< by the configuration: not ours to renew
  bool on_loopback_ = false;
  std::optional<security::member_name> named_;
  mutable std::mutex mutex_;  // of everything below
  std::shared_ptr<security::credentials> credentials_;
  std::optional<security::authority> authority_;
  std::string mark_;
  std::optional<std::chrono::steady_clock::time_point> refusal_told_;
};

}  // namespace troupe::node
