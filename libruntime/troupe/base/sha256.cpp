#include <openssl/evp.h>

#include <troupe/base/invariant.hpp>
#include <troupe/base/sha256.hpp>
#include <troupe/base/text.hpp>

namespace troupe {

std::string sha256_hex(bytes_view data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const int done = EVP_Digest(data.data(), data.size(), digest, &size, EVP_sha256(), nullptr);
  TROUPE_INVARIANT(done == 1 && size == 32, "libcrypto has no SHA-256");
  return to_hex({reinterpret_cast<const char*>(digest), size});
}

}  // namespace troupe
