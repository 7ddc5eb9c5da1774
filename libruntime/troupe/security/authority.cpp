#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <troupe/security/authority.hpp>

namespace troupe::security {

namespace {

constexpr int serial_octets = 16;

bool set_serial(X509* x509) {
  std::array<unsigned char, serial_octets> raw{};
  if (RAND_bytes(raw.data(), serial_octets) != 1) return false;
  raw[0] &= 0x7f;  // positive, as RFC 5280 wants it
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(BN_bin2bn(raw.data(), serial_octets, nullptr), &BN_free);
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509)) != nullptr;
}

bool set_validity(X509* x509, const validity& valid) {
  return ASN1_TIME_set(X509_getm_notBefore(x509), static_cast<time_t>(valid.from_unix_s)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(x509), static_cast<time_t>(valid.until_unix_s)) != nullptr;
}

bool set_name(X509_NAME* name, const std::string& common_name) {
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0) == 1;
}

bool add_extension(X509* x509, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> made(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()), &X509_EXTENSION_free);
  return made && X509_add_ext(x509, made.get(), -1) == 1;
}

/// A numeric address holds nothing that the extension's small language would take for its own.
bool is_plain_address(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdefABCDEF.:") == std::string::npos;
}

}  // namespace

result<authority> authority::create(const cluster_id& cluster, const validity& valid) {
  TROUPE_TRY(auto key, private_key::generate());
  const std::shared_ptr<X509> x509(X509_new(), &X509_free);
  ERR_clear_error();
  const bool good = x509 && X509_set_version(x509.get(), X509_VERSION_3) == 1 && set_serial(x509.get()) &&
                    set_validity(x509.get(), valid) &&
                    set_name(X509_get_subject_name(x509.get()), "troupe cluster " + cluster.value.to_string()) &&
                    X509_set_issuer_name(x509.get(), X509_get_subject_name(x509.get())) == 1 &&
                    X509_set_pubkey(x509.get(), key.get()) == 1 &&
                    add_extension(x509.get(), x509.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    add_extension(x509.get(), x509.get(), NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    add_extension(x509.get(), x509.get(), NID_subject_key_identifier, "hash") &&
                    X509_sign(x509.get(), key.get(), EVP_sha256()) > 0;
  if (!good) return openssl_failed("making the cluster's certificate authority");
  return authority(certificate(x509), std::move(key));
}

result<authority> authority::open(certificate own, private_key key) {
  ERR_clear_error();
  if (X509_check_ca(own.get()) == 0)
    return error{errc::invalid_argument, "the certificate of the authority may not sign others"};
  if (X509_check_private_key(own.get(), key.get()) != 1) {
    ERR_clear_error();
    return error{errc::invalid_argument, "the authority's key is not that of its certificate"};
  }
  return authority(std::move(own), std::move(key));
}

result<certificate> authority::sign(bytes_view request_pem, const member_name& who, const validity& valid,
                                    const std::vector<std::string>& addresses) const {
  ERR_clear_error();
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(
      BIO_new_mem_buf(request_pem.data(), static_cast<int>(request_pem.size())), &BIO_free_all);
  const std::unique_ptr<X509_REQ, decltype(&X509_REQ_free)> request(
      PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr), &X509_REQ_free);
  EVP_PKEY* const public_key = request ? X509_REQ_get0_pubkey(request.get()) : nullptr;
  if (public_key == nullptr || X509_REQ_verify(request.get(), public_key) != 1)
    return error{errc::invalid_argument, "a request for a certificate makes no sense: " + take_openssl_errors()};
  if (EVP_PKEY_get_base_id(public_key) != EVP_PKEY_EC || EVP_PKEY_get_security_bits(public_key) < 128)
    return error{errc::invalid_argument, "a request for a certificate has another kind of key than P-256 or stronger"};
  auto limited = valid;
  limited.until_unix_s = std::min(limited.until_unix_s, own_.validity().until_unix_s);
  std::string names = "URI:" + who.to_uri();
  for (const auto& address : addresses) {
    if (!is_plain_address(address))
      return error{errc::invalid_argument, "not a numeric address for a certificate: \"" + address + "\""};
    names += ",IP:" + address;
  }
  const std::shared_ptr<X509> x509(X509_new(), &X509_free);
  const bool good = x509 && X509_set_version(x509.get(), X509_VERSION_3) == 1 && set_serial(x509.get()) &&
                    set_validity(x509.get(), limited) &&
                    set_name(X509_get_subject_name(x509.get()), "troupe member " + who.member.value.to_string()) &&
                    X509_set_issuer_name(x509.get(), X509_get_subject_name(own_.get())) == 1 &&
                    X509_set_pubkey(x509.get(), public_key) == 1 &&
                    add_extension(x509.get(), own_.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                    add_extension(x509.get(), own_.get(), NID_key_usage, "critical,digitalSignature") &&
                    add_extension(x509.get(), own_.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
                    add_extension(x509.get(), own_.get(), NID_subject_key_identifier, "hash") &&
                    add_extension(x509.get(), own_.get(), NID_authority_key_identifier, "keyid") &&
                    add_extension(x509.get(), own_.get(), NID_subject_alt_name, names) &&
                    X509_sign(x509.get(), key_.get(), EVP_sha256()) > 0;
  if (!good) return openssl_failed("signing a certificate");
  return certificate(x509);
}

result<std::string> make_request(const private_key& key) {
  ERR_clear_error();
  const std::unique_ptr<X509_REQ, decltype(&X509_REQ_free)> request(X509_REQ_new(), &X509_REQ_free);
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new(BIO_s_mem()), &BIO_free_all);
  const bool good = request && bio && X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                    X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
                    X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0 &&
                    PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1;
  if (!good) return openssl_failed("asking for a certificate");
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

}  // namespace troupe::security
