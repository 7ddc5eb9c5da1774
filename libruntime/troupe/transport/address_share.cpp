#include <algorithm>
#include <troupe/transport/address_share.hpp>

namespace troupe::transport {

namespace ip = boost::asio::ip;

ip::address share_key(const ip::address& of) {
  if (of.is_v4()) return of;
  const auto v6 = of.to_v6();
  if (v6.is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, v6);
  auto octets = v6.to_bytes();
  std::fill(octets.begin() + octets.size() / 2, octets.end(), static_cast<unsigned char>(0));
  return ip::address_v6(octets);
}

bool has_share(const ip::address& of) { return !of.is_loopback() && !share_key(of).is_loopback(); }

result<void> address_shares::take(const ip::address& from) {
  if (taken_ >= most_) return error{errc::resource_exhausted, "too many connections; try again later"};
  if (has_share(from)) {
    const auto key = share_key(from);
    const auto at = by_address_.find(key);
    if (at != by_address_.end() && at->second >= per_address_)
      return error{errc::resource_exhausted, "too many connections from " + from.to_string() + " (at most " +
                                                 std::to_string(per_address_) +
                                                 "): close some, or use one for many requests"};
    ++by_address_[key];
  }
  ++taken_;
  return ok();
}

void address_shares::give(const ip::address& from) {
  --taken_;
  if (!has_share(from)) return;
  const auto at = by_address_.find(share_key(from));
  if (--at->second == 0) by_address_.erase(at);
}

}  // namespace troupe::transport
