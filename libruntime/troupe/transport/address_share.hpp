#pragma once
#include <boost/asio/ip/address.hpp>
#include <cstddef>
#include <map>
#include <troupe/base/result.hpp>

namespace troupe::transport {

/// What counts as one address where limits are per address: an IPv4 address, also when it comes as ::ffff:a.b.c.d; of
/// IPv6 the first 64 bits, for whoever has one address has all that begin so (RFC 4291, 2.5.4).
boost::asio::ip::address share_key(const boost::asio::ip::address& of);

/// Loopback has no share: whoever is there is on this machine, and all of them have the same address.
bool has_share(const boost::asio::ip::address& of);

/// How many places are taken, and by which addresses. Of one server; the caller locks.
class address_shares {
 public:
  /// At most `most` places, and of one address that has a share at most `per_address`.
  address_shares(std::size_t most, std::size_t per_address) : most_(most), per_address_(per_address) {}

  /// `resource_exhausted` when there is no place (for this address); else it is taken until `give` is called once.
  result<void> take(const boost::asio::ip::address& from);
  void give(const boost::asio::ip::address& from);
  [[nodiscard]] std::size_t taken() const noexcept { return taken_; }

 private:
  const std::size_t most_;
  const std::size_t per_address_;
  std::size_t taken_ = 0;
  std::map<boost::asio::ip::address, std::size_t> by_address_;  ///< no zeros, so never more than `most_`
};

}  // namespace troupe::transport
