#include <map>
#include <support/catch.hpp>
#include <troupe/sdk/testing.hpp>

// The examples as people test their own modules: the source file itself, and troupe::testing::run.
#include "../../../examples/log_analysis/log_analysis.cpp"
#include "../../../examples/reverse_dependencies/reverse_dependencies.cpp"
#include "../../../examples/word_count/word_count.cpp"

TEST_CASE("examples: word_count") {
  const auto out = troupe::testing::run(troupe_jobs::word_count, {"a b", "b\tb"});
  REQUIRE(out.ok());
  CHECK(out.map<std::string, std::uint64_t>() == std::map<std::string, std::uint64_t>{{"a", 1}, {"b", 3}});
}

TEST_CASE("examples: reverse_dependencies") {
  const auto out =
      troupe::testing::run(troupe_jobs::reverse_dependencies,
                           {"apt\tbase-passwd (>= 3.6.1) | adduser, gpgv, libc6 (>= 2.34)",
                            "zsh\tlibc6 (>= 2.34), debianutils:any,libc6", "odd", "none\t", "bash\t libc6 [amd64]"});
  REQUIRE(out.ok());
  std::map<std::string, std::vector<std::string>> got;
  for (const auto& r : out.records<needed_by>()) {
    got[r.package] = r.by;
    CHECK(r.count == r.by.size());
  }
  CHECK(got == std::map<std::string, std::vector<std::string>>{{"base-passwd", {"apt"}},
                                                               {"adduser", {"apt"}},
                                                               {"gpgv", {"apt"}},
                                                               {"libc6", {"apt", "bash", "zsh"}},
                                                               {"debianutils", {"zsh"}}});
  CHECK(out.counters == std::map<std::string, std::int64_t>{{"lines_without_a_tab", 1}});
}

TEST_CASE("examples: log_analysis") {
  const std::vector<std::string> lines{R"(h1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?x=1 HTTP/1.0" 200 2326)",
                                       R"(h2 - - [x] "GET /a HTTP/1.0" 404 -)",
                                       R"(h1 - - [x] "POST /b HTTP/1.1" 500 10 "-" "agent")", "rubbish",
                                       R"(h3 - - [x] "GET /c HTTP/1.0" many 7)"};
  const auto totals_of = [](const troupe::testing::outcome& out) {
    std::map<std::string, std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>> got;
    for (const auto& [key, t] : out.records<std::pair<std::string, totals>>())
      got[key] = {t.requests, t.bytes, t.errors};
    return got;
  };
  auto out = troupe::testing::run(troupe_jobs::log_analysis, lines);
  REQUIRE(out.ok());
  CHECK(totals_of(out) == decltype(totals_of(out)){{"/a", {2, 2326, 1}}, {"/b", {1, 10, 1}}});
  CHECK(out.counters == std::map<std::string, std::int64_t>{{"requests", 3}, {"malformed", 2}});
  CHECK(out.log == std::vector<std::string>{"malformed at offset 3: rubbish", "malformed at offset 4: " + lines[4]});
  out = troupe::testing::run(troupe_jobs::log_analysis, lines, {{"by", "host"}, {"status_min", "400"}});
  CHECK(totals_of(out) == decltype(totals_of(out)){{"h1", {1, 10, 1}}, {"h2", {1, 0, 1}}});
  out = troupe::testing::run(troupe_jobs::log_analysis, lines, {{"by", "colour"}});
  CHECK(out.message == "by=colour is none of path, host and status");
}
