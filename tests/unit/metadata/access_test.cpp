#include "cluster.hpp"

using namespace troupe;
using namespace troupe::metadata;
using namespace troupe::metadata::testing;

namespace {

constexpr std::int64_t minute_ms = 60'000;
const std::string hash_a(64, 'a'), hash_b(64, 'b');

token join_token(char name, std::uint32_t uses = 1) {
  token t;
  t.id = std::string(16, name);
  t.hash = hash_a;
  t.expires_at_unix_ms = 10 * minute_ms;
  t.uses_max = uses;
  return t;
}

std::string id_of(char name) { return std::string(16, name); }

}  // namespace

TEST_CASE("a join token lets in as many new members as it says, each of them as often as it asks", "[metadata]") {
  cluster c;
  c.must(create_token{join_token('1', 2)});
  const auto one = identity_of<member_id>(1), two = identity_of<member_id>(2), three = identity_of<member_id>(3);
  c.must(use_join_token{id_of('1'), hash_a, one});
  c.must(use_join_token{id_of('1'), hash_a, one});
  c.must(use_join_token{id_of('1'), hash_a, two});
  CHECK(c.state.access().tokens.at(id_of('1')).uses == 2);
  CHECK(c.refused(use_join_token{id_of('1'), hash_a, three}).code() == errc::permission_denied);
  c.must(use_join_token{id_of('1'), hash_a, two});
}

TEST_CASE("a join token is worth nothing with another secret, after its time, once revoked, or as another kind",
          "[metadata]") {
  cluster c;
  const auto member = identity_of<member_id>(1);
  c.must(create_token{join_token('1', 5)});
  CHECK(c.refused(use_join_token{id_of('1'), hash_b, member}).code() == errc::permission_denied);
  CHECK(c.refused(use_join_token{id_of('2'), hash_a, member}).code() == errc::permission_denied);
  CHECK(c.refused(use_join_token{id_of('1'), hash_a, {}}).code() == errc::invalid_argument);
  c.must(create_token{join_token('2', 5)});
  c.must(revoke_token{id_of('2')});
  CHECK(c.refused(use_join_token{id_of('2'), hash_a, member}).message().find("revoked") != std::string::npos);
  c.must(put_user{"ann", role::admin});
  auto access = join_token('3');
  access.kind = token_kind::access;
  access.user = "ann";
  c.must(create_token{access});
  CHECK(c.refused(use_join_token{id_of('3'), hash_a, member}).code() == errc::permission_denied);
  c.now = 10 * minute_ms;
  CHECK(c.refused(use_join_token{id_of('1'), hash_a, member}).message().find("expired") != std::string::npos);
}

TEST_CASE("a join token is worth nothing any more to the member that it let in, once that is there", "[metadata]") {
  cluster c;
  c.must(create_token{join_token('1', 5)});
  const auto one = identity_of<member_id>(1);
  c.must(use_join_token{id_of('1'), hash_a, one});
  c.must(use_join_token{id_of('1'), hash_a, one});
  c.join(1);
  CHECK(c.refused(use_join_token{id_of('1'), hash_a, one}).code() == errc::permission_denied);
}

TEST_CASE("a join token does not take the place of a member that is there, or of one that was put out", "[metadata]") {
  cluster c;
  const auto there = c.join(1);
  c.must(create_token{join_token('1', 5)});
  CHECK(c.refused(use_join_token{id_of('1'), hash_a, there}).code() == errc::permission_denied);
  c.must(revoke_member{there, "its disk was stolen"});
  CHECK(c.refused(use_join_token{id_of('1'), hash_a, there}).code() == errc::permission_denied);
  CHECK(c.refused(register_member{make_member(1, 7)}).code() == errc::failed_precondition);
  CHECK(c.state.distrusted() == std::set<member_id>{there});
  CHECK(c.refused(revoke_member{identity_of<member_id>(9), ""}).code() == errc::not_found);
}

TEST_CASE("tokens and users that make no sense are refused", "[metadata]") {
  cluster c;
  auto t = join_token('1');
  t.id = "short";
  CHECK(c.refused(create_token{t}).code() == errc::invalid_argument);
  t = join_token('1');
  t.hash = "the secret itself";
  CHECK(c.refused(create_token{t}).code() == errc::invalid_argument);
  t = join_token('1', 0);
  CHECK(c.refused(create_token{t}).code() == errc::invalid_argument);
  t = join_token('1');
  t.expires_at_unix_ms = c.now;
  CHECK(c.refused(create_token{t}).code() == errc::invalid_argument);
  t.expires_at_unix_ms = c.now + join_token_lifetime_ms_max + 1;
  CHECK(c.refused(create_token{t}).code() == errc::invalid_argument);
  t = join_token('1');
  t.kind = token_kind::access;
  t.user = "nobody";
  CHECK(c.refused(create_token{t}).code() == errc::not_found);
  c.must(create_token{join_token('1')});
  CHECK(c.refused(create_token{join_token('1')}).code() == errc::already_exists);
  CHECK(c.refused(revoke_token{"nothing"}).code() == errc::not_found);
  CHECK(c.refused(put_user{"Not A Name", role::viewer}).code() == errc::invalid_argument);
  CHECK(c.refused(put_user{"ann", static_cast<role>(9)}).code() == errc::invalid_argument);
  CHECK(c.refused(remove_user{"ann"}).code() == errc::not_found);
}

TEST_CASE("a user's tokens end with the user", "[metadata]") {
  cluster c;
  c.must(put_user{"ann", role::viewer});
  c.must(put_user{"ann", role::submitter});
  CHECK(c.state.access().users.at("ann").role == role::submitter);
  auto t = join_token('1');
  t.kind = token_kind::access;
  t.user = "ann";
  c.must(create_token{t});
  c.must(remove_user{"ann"});
  CHECK(c.state.access().tokens.at(id_of('1')).revoked);
}

TEST_CASE("a token is forgotten a week after its end", "[metadata]") {
  cluster c;
  c.must(create_token{join_token('1')});
  c.must(use_join_token{id_of('1'), hash_a, identity_of<member_id>(1)});
  c.now = 10 * minute_ms + dead_token_kept_ms + 1;
  auto later = join_token('2');
  later.expires_at_unix_ms = c.now + minute_ms;
  c.must(create_token{later});
  CHECK_FALSE(c.state.access().tokens.contains(id_of('1')));
  CHECK(c.state.access().let_in.empty());
}

TEST_CASE("the audit log is numbered, and loses its oldest entries", "[metadata]") {
  cluster c;
  for (std::size_t i = 0; i < audit_entries_max * 5 / 4; ++i)
    c.must(note_audit{{0, 0, "ann", "10.0.0.1:5", "POST /api/v1/jobs", "201"}});
  const auto& log = c.state.access().audit;
  CHECK(log.size() <= audit_entries_max * 9 / 8);
  CHECK(log.size() >= audit_entries_max);
  CHECK(log.back().number == audit_entries_max * 5 / 4);
  CHECK(log.front().number == log.back().number - log.size() + 1);
  CHECK(log.back().at_unix_ms == c.now);
}

TEST_CASE("users, tokens, revoked members and the audit log are in the snapshot", "[metadata]") {
  cluster c;
  const auto member = c.join(1);
  c.must(put_user{"ann", role::operator_});
  c.must(create_token{join_token('1', 3)});
  c.must(use_join_token{id_of('1'), hash_a, identity_of<member_id>(5)});
  c.must(revoke_member{member, "stolen"});
  c.must(note_audit{{0, 0, "ann", "10.0.0.1:5", "DELETE /x", "204"}});
  c.must(note_certificate{member, {7 * minute_ms, true}});
  const auto back = state::restore(c.state.snapshot());
  REQUIRE_OK(back);
  CHECK(back->access() == c.state.access());
  CHECK(back->snapshot() == c.state.snapshot());
}

TEST_CASE("what a member says of its certificate stays until it says another thing or is removed", "[metadata]") {
  cluster c;
  const auto one = c.join(1), two = c.join(2);
  CHECK(c.refused(note_certificate{identity_of<member_id>(9), {1, true}}).code() == errc::not_found);
  c.must(note_certificate{one, {5 * minute_ms, false}});
  c.must(note_certificate{two, {6 * minute_ms, true}});
  c.must(note_certificate{one, {8 * minute_ms, true}});
  CHECK(c.state.access().certificates.at(one) == certificate_note{8 * minute_ms, true});
  c.must(set_member_state{two, incarnation{1}, member_state::dead, "gone"});
  c.must(remove_member{two});
  CHECK_FALSE(c.state.access().certificates.contains(two));
  CHECK(c.state.distrusted().contains(two));
}

namespace {

token link_of(const std::string& user, char name, std::int64_t until) {
  token t;
  t.id = id_of(name);
  t.hash = hash_a;
  t.kind = token_kind::link;
  t.user = user;
  t.expires_at_unix_ms = until;
  return t;
}

token session_called(char name, std::int64_t until) {
  token t;
  t.id = id_of(name);
  t.hash = hash_b;
  t.user = "somebody else";  // it is the link that says whose it is
  t.kind = token_kind::access;
  t.expires_at_unix_ms = until;
  return t;
}

}  // namespace

TEST_CASE("a link becomes a session of its user once, within its time, with its secret", "[metadata]") {
  cluster c;
  c.must(put_user{"ann", role::viewer});
  c.must(create_token{link_of("ann", '1', c.now + minute_ms)});
  CHECK(c.refused(redeem_link{id_of('1'), hash_b, session_called('a', c.now + minute_ms)}).code() ==
        errc::permission_denied);
  CHECK(c.refused(redeem_link{id_of('2'), hash_a, session_called('a', c.now + minute_ms)}).code() ==
        errc::permission_denied);
  c.must(redeem_link{id_of('1'), hash_a, session_called('a', c.now + 60 * minute_ms)});
  const auto& made = c.state.access().tokens.at(id_of('a'));
  CHECK(made.kind == token_kind::session);
  CHECK(made.user == "ann");
  CHECK(made.hash == hash_b);
  CHECK(c.refused(redeem_link{id_of('1'), hash_a, session_called('b', c.now + minute_ms)}).code() ==
        errc::permission_denied);
  CHECK(c.state.access().tokens.size() == 1);

  c.must(create_token{link_of("ann", '2', c.now + minute_ms)});
  c.must(revoke_token{id_of('2')});
  CHECK(c.refused(redeem_link{id_of('2'), hash_a, session_called('b', c.now + minute_ms)}).code() ==
        errc::permission_denied);
  c.must(create_token{link_of("ann", '3', c.now + minute_ms)});
  c.now += minute_ms;
  CHECK(c.refused(redeem_link{id_of('3'), hash_a, session_called('b', c.now + minute_ms)}).code() ==
        errc::permission_denied);
  // An access token is no link, and no session is made but of a link.
  auto access = link_of("ann", '4', c.now + minute_ms);
  access.kind = token_kind::access;
  c.must(create_token{access});
  CHECK(c.refused(redeem_link{id_of('4'), hash_a, session_called('b', c.now + minute_ms)}).code() ==
        errc::permission_denied);
  auto session = link_of("ann", '5', c.now + minute_ms);
  session.kind = token_kind::session;
  CHECK(c.refused(create_token{session}).code() == errc::invalid_argument);
}

TEST_CASE("links and sessions of a user are few, live shortly, and end with the user", "[metadata]") {
  cluster c;
  c.must(put_user{"ann", role::viewer});
  c.must(put_user{"bob", role::viewer});
  CHECK(c.refused(create_token{link_of("ann", '1', c.now + link_lifetime_ms_max + 1)}).code() ==
        errc::invalid_argument);
  CHECK(c.refused(create_token{link_of("eve", '1', c.now + minute_ms)}).code() == errc::not_found);
  c.must(create_token{link_of("bob", 'f', c.now + 9 * minute_ms)});
  const auto numbered = [](char kind, std::size_t n) {
    auto text = std::string(16, kind);
    text[14] = static_cast<char>('0' + n / 10);
    text[15] = static_cast<char>('0' + n % 10);
    return text;
  };
  for (std::size_t i = 0; i < sessions_per_user_max + 5; ++i) {
    auto link = link_of("ann", '1', c.now + minute_ms);
    link.id = numbered('c', i);
    c.must(create_token{link});
    auto session = session_called('a', c.now + 60 * minute_ms);
    session.id = numbered('a', i);
    c.must(redeem_link{link.id, hash_a, session});
    ++c.now;
  }
  const auto count = [&](const std::string& user, token_kind kind) {
    std::size_t found = 0;
    for (const auto& [id, t] : c.state.access().tokens) found += t.user == user && t.kind == kind && !t.revoked;
    return found;
  };
  CHECK(count("ann", token_kind::session) == sessions_per_user_max);
  CHECK_FALSE(c.state.access().tokens.contains(numbered('a', 4)));
  CHECK(c.state.access().tokens.contains(numbered('a', 5)));
  for (std::size_t i = 0; i < links_per_user_max + 3; ++i) {
    auto link = link_of("ann", '1', c.now + minute_ms);
    link.id = numbered('d', i);
    c.must(create_token{link});
    ++c.now;
  }
  CHECK(count("ann", token_kind::link) == links_per_user_max);
  CHECK(count("bob", token_kind::link) == 1);
  c.must(remove_user{"ann"});
  CHECK(count("ann", token_kind::session) == 0);
  CHECK(count("ann", token_kind::link) == 0);
  // What is over is forgotten with the next token that is made.
  c.now += 61 * minute_ms;
  c.must(create_token{link_of("bob", 'e', c.now + minute_ms)});
  CHECK(c.state.access().tokens.size() == 1);
}
