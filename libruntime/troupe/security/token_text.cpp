#include <array>
#include <troupe/base/random.hpp>
#include <troupe/base/sha256.hpp>
#include <troupe/security/token_text.hpp>

namespace troupe::security {

namespace {

/// In the order of token_text::kind.
constexpr std::array<std::string_view, 4> prefixes{"troupe-join-", "troupe-access-", "troupe-link-", "troupe-session-"};
constexpr std::size_t id_octets = 8;
constexpr std::size_t secret_octets = 32;

bool is_hex(std::string_view text, std::size_t size) {
  return text.size() == size && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// What stands before the next dot; the rest stays.
std::string_view take_part(std::string_view& text) {
  const auto dot = text.find('.');
  const auto part = text.substr(0, dot);
  text = dot == std::string_view::npos ? std::string_view() : text.substr(dot + 1);
  return part;
}

}  // namespace

token_text token_text::make(kind of) { return {of, random_hex(id_octets), random_hex(secret_octets), {}}; }

token_text token_text::make_join(std::string authority_fingerprint) {
  return {kind::join, random_hex(id_octets), random_hex(secret_octets), std::move(authority_fingerprint)};
}

result<token_text> token_text::parse(std::string_view text) {
  token_text out;
  std::size_t at = 0;
  while (at < prefixes.size() && !text.starts_with(prefixes[at])) ++at;
  if (at == prefixes.size()) return error{errc::invalid_argument, "this is no token of troupe"};
  out.of = static_cast<kind>(at);
  text.remove_prefix(prefixes[at].size());
  out.id = take_part(text);
  out.secret = take_part(text);
  out.fingerprint = take_part(text);
  const bool good = is_hex(out.id, 2 * id_octets) && is_hex(out.secret, 2 * secret_octets) && text.empty() &&
                    (out.of == kind::join ? is_hex(out.fingerprint, 2 * secret_octets) : out.fingerprint.empty());
  if (!good) return error{errc::invalid_argument, "a token of troupe is cut off or changed"};
  return out;
}

result<token_text> token_text::parse(std::string_view text, kind wanted) {
  TROUPE_TRY(auto out, parse(text));
  if (out.of != wanted) return error{errc::invalid_argument, "this token of troupe is for something else"};
  return out;
}

std::string token_text::text() const {
  return std::string(prefixes[static_cast<std::size_t>(of)]) + id + "." + secret +
         (of == kind::join ? "." + fingerprint : "");
}

std::string token_text::hash() const { return sha256_hex(secret); }

}  // namespace troupe::security
