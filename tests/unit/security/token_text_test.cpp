#include <support/catch.hpp>
#include <troupe/security/token_text.hpp>

using namespace troupe;
using security::token_text;

TEST_CASE("tokens are read as they are written, and differ") {
  const auto access = token_text::make(token_text::kind::access);
  const auto join = token_text::make_join(std::string(64, 'a'));
  for (const auto& t :
       {access, join, token_text::make(token_text::kind::link), token_text::make(token_text::kind::session)}) {
    const auto back = token_text::parse(t.text());
    REQUIRE_OK(back);
    CHECK(back->of == t.of);
    CHECK(token_text::parse(t.text(), t.of).has_value());
    CHECK(back->id == t.id);
    CHECK(back->secret == t.secret);
    CHECK(back->fingerprint == t.fingerprint);
    CHECK(t.hash().size() == 64);
    CHECK(t.hash().find(t.secret) == std::string::npos);
  }
  CHECK(access.text() != token_text::make(token_text::kind::access).text());
  // What is for one thing is not taken for another.
  for (const auto other : {token_text::kind::join, token_text::kind::link, token_text::kind::session})
    CHECK_FALSE(token_text::parse(access.text(), other));
}

TEST_CASE("what is no token is refused, and not repeated in the error") {
  const auto good = token_text::make_join(std::string(64, 'a')).text();
  for (const auto& wrong :
       {std::string(), std::string("secret-of-mine"), good.substr(0, good.size() - 1), good + "a", good + ".a",
        "troupe-access-" + good.substr(12), std::string("troupe-access-"), std::string("troupe-join-..")}) {
    const auto parsed = token_text::parse(wrong);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code() == errc::invalid_argument);
    if (wrong.size() > 20) CHECK(parsed.error().message().find(wrong.substr(14)) == std::string::npos);
  }
}
