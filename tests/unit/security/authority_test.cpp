#include <support/pki.hpp>

using namespace troupe;
using namespace troupe::security;
using test::days;

TEST_CASE("an authority signs for one member, within its own time") {
  const test::pki p;
  const auto member = member_id::random();
  const auto key = private_key::generate();
  REQUIRE_OK(key);
  const auto request = make_request(*key);
  REQUIRE_OK(request);
  const auto made = p.authority.sign(*request, {p.cluster, member}, days(0, 10'000), {"10.1.2.3", "fe80::1"});
  REQUIRE_OK(made);
  const auto who = made->member();
  REQUIRE_OK(who);
  CHECK(*who == member_name{p.cluster, member});
  CHECK(made->validity().until_unix_s == p.authority.own().validity().until_unix_s);
  CHECK(made->fingerprint().size() == 64);
  CHECK(made->fingerprint() != p.authority.own().fingerprint());

  const auto again = certificate::parse(made->pem(), "it");
  REQUIRE_OK(again);
  CHECK(again->fingerprint() == made->fingerprint());
  CHECK_FALSE(p.authority.own().member());
}

TEST_CASE("an authority signs no rubbish") {
  const test::pki p;
  const member_name who{p.cluster, member_id::random()};
  CHECK(p.authority.sign("rubbish", who, days(0, 1), {}).error().code() == errc::invalid_argument);
  auto request = make_request(private_key::generate().value()).value();
  // Addresses go into a small language of OpenSSL's: nothing but an address gets there.
  CHECK_FALSE(p.authority.sign(request, who, days(0, 1), {"1.2.3.4,URI:troupe://x"}));
  CHECK_FALSE(p.authority.sign(request, who, days(0, 1), {""}));
  // A request whose signature is not of its key proves nothing.
  const auto middle = request.size() / 2;
  request[middle] = request[middle] == 'A' ? 'B' : 'A';
  CHECK_FALSE(p.authority.sign(request, who, days(0, 1), {}));
}

TEST_CASE("an authority comes back from its sealed key, with the right key file only") {
  const test::pki p;
  const auto sealed = p.authority.key().sealed_pem("the content of a key file");
  CHECK(sealed.find("ENCRYPTED") != std::string::npos);
  CHECK(private_key::parse(sealed, "ca.key", "another").error().code() == errc::permission_denied);
  CHECK(private_key::parse(sealed, "ca.key").error().code() == errc::permission_denied);
  auto key = private_key::parse(sealed, "ca.key", "the content of a key file");
  REQUIRE_OK(key);
  const auto back = authority::open(p.authority.own(), *key);
  REQUIRE_OK(back);
  CHECK_FALSE(authority::open(p.authority.own(), private_key::generate().value()));
  const auto leaf = certificate::parse(p.material_for(member_id::random()).certificate_pem, "leaf").value();
  CHECK_FALSE(authority::open(leaf, *key));
}

TEST_CASE("the name in a certificate is troupe://CLUSTER/MEMBER and nothing else") {
  const member_name who{cluster_id::random(), member_id::random()};
  CHECK(member_name::parse(who.to_uri()).value() == who);
  const auto uri = who.to_uri();
  for (const auto& wrong : {std::string(), std::string("troupe://"), uri + "/", uri.substr(0, uri.size() - 1),
                            "https" + uri.substr(6), "troupe://" + uuid{}.to_string() + "/" + uuid{}.to_string()}) {
    CAPTURE(wrong);
    CHECK_FALSE(member_name::parse(wrong));
  }
}
