#pragma once
#include <string>
#include <string_view>
#include <troupe/base/result.hpp>

/// Tokens as people and programs carry them. Only the id is no secret; the cluster keeps the SHA-256 of the rest.
///
///   troupe-access-ID.SECRET               for the API: Authorization: Bearer …
///   troupe-join-ID.SECRET.FINGERPRINT     lets a node in; the fingerprint is that of the cluster's authority, so that
///   a
///                                         new node knows whom it talks to before it has any certificate
///
/// ID is 16 hex digits, SECRET and FINGERPRINT 64.
namespace troupe::security {

struct token_text {
  bool join = false;
  std::string id;
  std::string secret;
  std::string fingerprint;  ///< of join tokens only

  static token_text make_access();
  static token_text make_join(std::string authority_fingerprint);
  /// `invalid_argument`, without the text in it, when it is neither.
  static result<token_text> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  /// What the cluster keeps of the secret.
  [[nodiscard]] std::string hash() const;
};

}  // namespace troupe::security
