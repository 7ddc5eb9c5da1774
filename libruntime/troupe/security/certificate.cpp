#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>
#include <optional>
#include <troupe/base/invariant.hpp>
#include <troupe/base/text.hpp>
#include <troupe/security/certificate.hpp>

namespace troupe::security {

namespace {

constexpr std::string_view scheme = "troupe://";

using bio_ptr = std::unique_ptr<BIO, decltype(&BIO_free_all)>;

bio_ptr reading(bytes_view text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free_all};
}

bio_ptr writing() {
  bio_ptr made(BIO_new(BIO_s_mem()), &BIO_free_all);
  TROUPE_INVARIANT(made, "OpenSSL has no memory");
  return made;
}

std::string text_of(const bio_ptr& bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::int64_t to_unix_s(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return static_cast<std::int64_t>(::timegm(&parts));
}

/// PEM's way to ask for a pass phrase: from `pass`, never from a terminal.
int give_pass(char* into, int size, int, void* pass) {
  const auto& text = *static_cast<const std::string_view*>(pass);
  if (text.size() > static_cast<std::size_t>(size)) return -1;
  std::copy(text.begin(), text.end(), into);
  return static_cast<int>(text.size());
}

}  // namespace

std::string take_openssl_errors() {
  std::string words;
  while (const auto code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    if (reason == nullptr || words.find(reason) != std::string::npos) continue;
    words += (words.empty() ? "" : ", ") + std::string(reason);
  }
  return words.empty() ? "OpenSSL gives no reason" : words;
}

error openssl_failed(const std::string& what) { return {errc::internal, what + ": " + take_openssl_errors()}; }

std::string member_name::to_uri() const {
  return std::string(scheme) + cluster.value.to_string() + "/" + member.value.to_string();
}

result<member_name> member_name::parse(std::string_view uri) {
  constexpr std::size_t uuid_chars = 36;
  const error wrong{errc::invalid_argument, "not troupe://CLUSTER/MEMBER: \"" + std::string(uri.substr(0, 128)) + "\""};
  if (!uri.starts_with(scheme) || uri.size() != scheme.size() + 2 * uuid_chars + 1 ||
      uri[scheme.size() + uuid_chars] != '/')
    return wrong;
  const auto cluster = uuid::parse(uri.substr(scheme.size(), uuid_chars));
  const auto member = uuid::parse(uri.substr(scheme.size() + uuid_chars + 1));
  if (!cluster || !member || cluster->is_nil() || member->is_nil()) return wrong;
  return member_name{cluster_id{*cluster}, member_id{*member}};
}

result<std::vector<certificate>> certificate::parse_all(bytes_view pem, std::string_view what) {
  ERR_clear_error();
  const auto bio = reading(pem);
  std::vector<certificate> out;
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr))
    out.emplace_back(std::shared_ptr<x509_st>(one, &X509_free));
  const auto why = take_openssl_errors();  // the end of the text is an error, too
  if (out.empty()) return error{errc::invalid_argument, std::string(what) + " is no certificate in PEM form: " + why};
  return out;
}

result<certificate> certificate::parse(bytes_view pem, std::string_view what) {
  TROUPE_TRY(const auto all, parse_all(pem, what));
  return all.front();
}

std::string certificate::pem() const {
  const auto bio = writing();
  TROUPE_INVARIANT(PEM_write_bio_X509(bio.get(), x509_.get()) == 1, "a certificate cannot be written to memory");
  return text_of(bio);
}

std::string certificate::fingerprint() const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  TROUPE_INVARIANT(X509_digest(x509_.get(), EVP_sha256(), digest.data(), &size) == 1, "SHA-256 of a certificate");
  return to_hex({reinterpret_cast<const char*>(digest.data()), size});
}

validity certificate::validity() const {
  return {to_unix_s(X509_get0_notBefore(x509_.get())), to_unix_s(X509_get0_notAfter(x509_.get()))};
}

result<member_name> certificate::member() const {
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509_.get(), NID_subject_alt_name, nullptr, nullptr)),
      &GENERAL_NAMES_free);
  std::optional<member_name> found;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const auto* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const std::string_view uri(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier)),
                               static_cast<std::size_t>(ASN1_STRING_length(name->d.uniformResourceIdentifier)));
    if (!uri.starts_with(scheme)) continue;
    if (found) return error{errc::invalid_argument, "a certificate names several members of troupe"};
    TROUPE_TRY(found, member_name::parse(uri));
  }
  if (found) return *found;
  return error{errc::invalid_argument,
               "a certificate names no member of troupe (it has no URI troupe://CLUSTER/MEMBER "
               "among its subject alternative names)"};
}

result<private_key> private_key::generate() {
  ERR_clear_error();
  EVP_PKEY* key = EVP_EC_gen("P-256");
  if (key == nullptr) return error{errc::internal, "making a key: " + take_openssl_errors()};
  return private_key(std::shared_ptr<evp_pkey_st>(key, &EVP_PKEY_free));
}

result<private_key> private_key::parse(bytes_view pem, std::string_view what, std::string_view pass) {
  ERR_clear_error();
  const auto bio = reading(pem);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio.get(), nullptr, &give_pass, &pass);
  if (key == nullptr) {
    const auto why = take_openssl_errors();
    if (pem.find("ENCRYPTED") != bytes_view::npos)
      return error{errc::permission_denied, std::string(what) + " is sealed with another key file than the one given"};
    return error{errc::invalid_argument, std::string(what) + " is no private key in PEM form: " + why};
  }
  return private_key(std::shared_ptr<evp_pkey_st>(key, &EVP_PKEY_free));
}

std::string private_key::pem() const {
  const auto bio = writing();
  TROUPE_INVARIANT(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
                   "a key cannot be written to memory");
  return text_of(bio);
}

std::string private_key::sealed_pem(std::string_view pass) const {
  const auto bio = writing();
  TROUPE_INVARIANT(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), EVP_aes_256_cbc(), pass.data(),
                                                 static_cast<int>(pass.size()), nullptr, nullptr) == 1,
                   "a key cannot be written to memory");
  return text_of(bio);
}

}  // namespace troupe::security
