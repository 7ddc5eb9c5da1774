#include <support/pki.hpp>

using namespace troupe;
using namespace troupe::security;
using test::days;

TEST_CASE("credentials whose parts do not belong together are refused with a sentence") {
  const test::pki p, other;
  const auto member = member_id::random();
  const auto good = p.material_for(member);
  const auto made = credentials::make(good, false);
  REQUIRE_OK(made);
  CHECK((*made)->who() == member_name{p.cluster, member});
  CHECK_FALSE((*made)->on_loopback());

  const auto says = [](const material& m, std::string_view part) {
    const auto refused = credentials::make(m, false);
    REQUIRE_FALSE(refused);
    CAPTURE(refused.error().message());
    CHECK(refused.error().code() == errc::invalid_argument);
    CHECK(refused.error().message().find(part) != std::string::npos);
    // A key's text never stands in an error.
    CHECK(refused.error().message().find("PRIVATE") == std::string::npos);
  };
  says({good.certificate_pem, p.material_for(member).key_pem, good.authority_pem}, "not that of its certificate");
  says({good.certificate_pem, good.key_pem, other.authority.own().pem()}, "not signed by the cluster's authority");
  says({p.authority.own().pem(), p.authority.key().pem(), good.authority_pem}, "names no member");
  says({"", good.key_pem, good.authority_pem}, "no certificate in PEM form");
  says({good.certificate_pem, "nonsense", good.authority_pem}, "no private key in PEM form");
}

TEST_CASE("an expired certificate is taken: that its owner starts lets it be renewed") {
  const test::pki p;
  const auto made = credentials::make(p.material_for(member_id::random(), days(90, -1)), false);
  REQUIRE_OK(made);
  CHECK((*made)->validity().until_unix_s == days(90, -1).until_unix_s);
}

TEST_CASE("rotation keeps the member") {
  const test::pki p;
  const auto member = member_id::random();
  const auto mine = p.credentials_for(member, days(1, 5));
  const auto before = mine->context();
  REQUIRE_OK(mine->replace(p.material_for(member, days(1, 300))));
  CHECK(mine->context() != before);
  CHECK(mine->validity().until_unix_s == days(1, 300).until_unix_s);
  CHECK_FALSE(mine->replace(p.material_for(member_id::random())));
  CHECK(mine->validity().until_unix_s == days(1, 300).until_unix_s);
}

TEST_CASE("a revoked member's connections are closed, others' stay, and tickets end the watch") {
  const test::pki p;
  const auto mine = p.credentials_for(member_id::random());
  const auto bad = member_id::random(), good = member_id::random();
  int bad_closed = 0, good_closed = 0, gone_closed = 0;
  const auto first = mine->watch(bad, [&] { ++bad_closed; });
  const auto second = mine->watch(good, [&] { ++good_closed; });
  auto third = mine->watch(bad, [&] { ++gone_closed; });
  third.reset();
  mine->set_revoked({bad});
  CHECK(bad_closed == 1);
  CHECK(good_closed == 0);
  CHECK(gone_closed == 0);
  CHECK(mine->is_revoked(bad));
  CHECK_FALSE(mine->is_revoked(good));
  const auto late = mine->watch(bad, [&] { ++bad_closed; });
  CHECK(bad_closed == 2);
}

TEST_CASE("a fingerprint has its form") {
  CHECK_FALSE(trust::of_fingerprint("abc"));
  CHECK_FALSE(trust::of_fingerprint(std::string(64, 'x')));
  REQUIRE_OK(trust::of_fingerprint(std::string(64, 'a')));
  CHECK_FALSE(trust::of_authority("nonsense"));
}
