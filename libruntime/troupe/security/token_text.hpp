#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <troupe/base/result.hpp>

/// Tokens as people, programs and browsers carry them. Only the id is no secret; the cluster keeps the SHA-256 of the
/// rest.
///
///   troupe-access-ID.SECRET               for the API: Authorization: Bearer …
///   troupe-join-ID.SECRET.FINGERPRINT     lets a node in; the fingerprint is that of the cluster's authority, so that
///                                         a new node knows whom it talks to before it has any certificate
///   troupe-link-ID.SECRET                 the code in a link for a browser
///   troupe-session-ID.SECRET              what the browser gets for it: the value of a cookie
///
/// ID is 16 hex digits, SECRET and FINGERPRINT 64.
namespace troupe::security {

struct token_text {
  enum class kind : std::uint8_t { join, access, link, session };

  kind of = kind::access;
  std::string id;
  std::string secret;
  std::string fingerprint;  ///< of join tokens only

  /// A new one of any kind but join.
  static token_text make(kind of);
  static token_text make_join(std::string authority_fingerprint);
  /// `invalid_argument`, without the text in it, when it is none, or cut off.
  static result<token_text> parse(std::string_view text);
  /// … or of another kind.
  static result<token_text> parse(std::string_view text, kind wanted);
  [[nodiscard]] std::string text() const;
  /// What the cluster keeps of the secret.
  [[nodiscard]] std::string hash() const;
};

}  // namespace troupe::security
