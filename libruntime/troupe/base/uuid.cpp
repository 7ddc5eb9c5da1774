#include <troupe/base/random.hpp>
#include <troupe/base/uuid.hpp>

namespace troupe {
namespace {

constexpr char digits[] = "0123456789abcdef";

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool dash_before(std::size_t octet) { return octet == 4 || octet == 6 || octet == 8 || octet == 10; }

}  // namespace

uuid uuid::random() {
  uuid id;
  fill_random(id.octets.data(), id.octets.size());
  id.octets[6] = static_cast<std::uint8_t>((id.octets[6] & 0x0f) | 0x40);
  id.octets[8] = static_cast<std::uint8_t>((id.octets[8] & 0x3f) | 0x80);
  return id;
}

result<uuid> uuid::parse(std::string_view text) {
  const error wrong{errc::invalid_argument, "not a UUID: \"" + std::string(text.substr(0, 64)) + "\""};
  if (text.size() != 36) return wrong;
  uuid id;
  std::size_t at = 0;
  for (std::size_t octet = 0; octet < 16; ++octet) {
    if (dash_before(octet) && text[at++] != '-') return wrong;
    const int high = digit_value(text[at]), low = digit_value(text[at + 1]);
    if (high < 0 || low < 0) return wrong;
    id.octets[octet] = static_cast<std::uint8_t>(high * 16 + low);
    at += 2;
  }
  return id;
}

std::string uuid::to_string() const {
  std::string text;
  text.reserve(36);
  for (std::size_t octet = 0; octet < 16; ++octet) {
    if (dash_before(octet)) text += '-';
    text += digits[octets[octet] >> 4];
    text += digits[octets[octet] & 15];
  }
  return text;
}

}  // namespace troupe
