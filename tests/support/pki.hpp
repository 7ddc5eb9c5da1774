#pragma once
#include <ctime>
#include <support/catch.hpp>
#include <troupe/security/authority.hpp>
#include <troupe/security/credentials.hpp>

namespace test {

inline constexpr std::int64_t day_s = 24 * 60 * 60;

/// From so many days before now to so many days after.
inline troupe::security::validity days(std::int64_t before, std::int64_t after) {
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  return {now - before * day_s, now + after * day_s};
}

/// A cluster's authority, and what it hands out.
struct pki {
  explicit pki(troupe::cluster_id of = troupe::cluster_id::random())
      : cluster(of), authority(troupe::security::authority::create(cluster, days(400, 400)).value()) {}

  troupe::security::material material_for(troupe::member_id member,
                                          troupe::security::validity valid = days(1, 90)) const {
    const auto key = troupe::security::private_key::generate().value();
    const auto request = troupe::security::make_request(key).value();
    const auto signed_one = authority.sign(request, {cluster, member}, valid, {"127.0.0.1"}).value();
    return {signed_one.pem(), key.pem(), authority.own().pem()};
  }
  std::shared_ptr<troupe::security::credentials> credentials_for(troupe::member_id member,
                                                                 troupe::security::validity valid = days(1, 90)) const {
    return troupe::security::credentials::make(material_for(member, valid), true).value();
  }

  troupe::cluster_id cluster;
  troupe::security::authority authority;
};

}  // namespace test
