#include <cmath>
#include <map>
#include <support/catch.hpp>
#include <troupe/sdk/testing.hpp>

// The examples as people test their own modules: the source file itself, and troupe::testing::run.
#include "../../../examples/k_means/k_means.cpp"
#include "../../../examples/log_analysis/log_analysis.cpp"
#include "../../../examples/maintainers/maintainers.cpp"
#include "../../../examples/page_rank/page_rank.cpp"
#include "../../../examples/reverse_dependencies/reverse_dependencies.cpp"
#include "../../../examples/terasort/terasort.cpp"
#include "../../../examples/top_requests/top_requests.cpp"
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

TEST_CASE("examples: page_rank, against the same in plain code") {
  const std::vector<std::string> lines{"a\tb, c (>= 1) | d", "b\tc", "c\ta", "d\tc, c", "e\ta", "none"};
  const std::map<std::string, std::vector<std::string>> links{
      {"a", {"b", "c", "d"}}, {"b", {"c"}}, {"c", {"a"}}, {"d", {"c"}}, {"e", {"a"}}};
  std::map<std::string, double> ranks{{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"e", 1}};
  for (int round = 0; round < 10; ++round) {
    std::map<std::string, double> next;
    for (const auto& [from, rank] : ranks) {
      next[from] += 0;
      for (const auto& to : links.at(from)) next[to] += rank / static_cast<double>(links.at(from).size());
    }
    for (auto& [name, rank] : next) rank = 0.15 + 0.85 * rank;
    ranks = next;
  }
  const auto out = troupe::testing::run(page_rank::troupe_jobs::page_rank, lines);
  REQUIRE(out.message == "");
  const auto got = out.records<std::pair<std::string, double>>();
  REQUIRE(got.size() == 5);
  for (const auto& [name, rank] : got) CHECK(std::abs(rank - ranks.at(name)) < 1e-9);
  for (std::size_t i = 1; i < got.size(); ++i) CHECK(got[i - 1].second >= got[i].second);
}

TEST_CASE("examples: maintainers") {
  const std::vector<std::string> packages{"apt\tapt\t4000", "apt-utils\tapt\t1000", "zsh\tzsh\t2500", "lost\tgone\t1"};
  const std::vector<std::string> sources{"apt\tAPT Team", "apt\tAPT Team", "zsh\tZsh Team"};
  const auto out = troupe::testing::run_inputs(maintainers::troupe_jobs::maintainers, {packages, sources});
  REQUIRE(out.message == "");
  const auto got = out.map<std::string, maintainers::totals>();
  REQUIRE(got.size() == 3);
  CHECK(got.at("APT Team").packages == 2);
  CHECK(got.at("APT Team").kibibytes == 5000);
  CHECK(got.at("Zsh Team").packages == 1);
  CHECK(got.at("(unknown)").kibibytes == 1);
}

TEST_CASE("examples: top_requests") {
  std::vector<std::string> lines{"rubbish"};
  for (int i = 0; i < 300; ++i)
    lines.push_back("10.0.0." + std::to_string(i % 3) + " - - [12/Mar/2026] \"GET /page" + std::to_string(i % 25) +
                    (i % 25 == 7 ? "?x=" + std::to_string(i) : "") + " HTTP/1.1\" 200 " + std::to_string(i % 3 * 10));
  const auto paths = troupe::testing::run(top_requests::troupe_jobs::top_paths, lines);
  REQUIRE(paths.message == "");
  const auto top = paths.records<std::pair<std::string, std::uint64_t>>();
  REQUIRE(top.size() == 20);
  for (const auto& [path, requests] : top) CHECK(requests == 12);
  const auto hosts = troupe::testing::run(top_requests::troupe_jobs::top_hosts, lines);
  CHECK(hosts.records<std::pair<std::string, std::uint64_t>>().at(0) ==
        std::pair<std::string, std::uint64_t>("10.0.0.2", 2000));
}

TEST_CASE("examples: k_means finds groups that lie apart, with as many rounds as it takes and the same bytes anyhow") {
  std::vector<std::string> lines{"no numbers here", "half\t1"};
  for (int i = 0; i < 300; ++i)
    lines.push_back("p\t" + std::to_string(i % 3 * 100 + i % 7) + "\t" + std::to_string(i % 3 * 50 - i % 5));
  troupe::testing::options other;
  other.map_tasks = 5;
  other.partitions = 1;
  other.memory_bytes = 1 << 20;
  const auto& job = k_means::troupe_jobs::k_means;
  const auto out = troupe::testing::run(job, lines, {{"centres", "3"}});
  REQUIRE(out.message == "");
  const auto sizes = out.map<std::uint32_t, std::uint64_t>(1);
  CHECK(sizes == std::map<std::uint32_t, std::uint64_t>{{0, 100}, {1, 100}, {2, 100}});
  for (const auto& [number, at] : out.map<std::uint32_t, k_means::place>()) {
    CHECK(std::abs(at.x - (100.0 * number + 3)) < 0.1);
    CHECK(std::abs(at.y - (50.0 * number - 2)) < 0.1);
  }
  CHECK(out.counters.at("rounds") >= 2);
  CHECK(out.counters.at("rounds") < 10);
  CHECK(out.counters.at("lines left out") == 2);
  const auto again = troupe::testing::run(job, lines, {{"centres", "3"}}, other);
  CHECK(again.encoded == out.encoded);
  CHECK(again.more_encoded == out.more_encoded);
  CHECK(troupe::testing::run(job, lines, {{"centers", "3"}}).message == "job k_means takes no parameter centers");
}

TEST_CASE("examples: terasort sorts what was generated, and its validator sees what is wrong") {
  const auto unsorted = troupe::testing::run(terasort::troupe_jobs::tera_generate, {"0 1000", "1000 500"});
  REQUIRE(unsorted.message == "");
  const auto run_encoded = [](const troupe::job& job, const std::vector<std::string>& records) {
    return troupe::testing::detail::run_encoded(job, {records}, {}, {});
  };
  for (const auto& bytes : unsorted.encoded) REQUIRE(bytes.size() == 102);
  const auto sorted = run_encoded(terasort::troupe_jobs::tera_sort, unsorted.encoded);
  REQUIRE(sorted.message == "");
  const auto verdict_of = [&](std::vector<std::string> records) {
    return run_encoded(terasort::troupe_jobs::tera_validate, records).records<terasort::verdict>().at(0);
  };
  const auto before = verdict_of(unsorted.encoded), after = verdict_of(sorted.encoded);
  CHECK(before.records == 1500);
  CHECK(before.out_of_order > 500);
  CHECK(after.records == 1500);
  CHECK(after.out_of_order == 0);
  CHECK(after.checksum == before.checksum);
  auto wrong = sorted.encoded;
  std::swap(wrong[700], wrong[750]);  // where tasks meet, and within one
  CHECK(verdict_of(wrong).out_of_order > 0);
  CHECK(verdict_of(wrong).checksum == after.checksum);
  wrong = sorted.encoded;
  wrong[3][50] ^= 1;
  CHECK(verdict_of(wrong).checksum != after.checksum);
  wrong = sorted.encoded;
  wrong.insert(wrong.begin(), wrong.front());
  CHECK(verdict_of(wrong).equal_keys == 1);
  CHECK(troupe::testing::run(terasort::troupe_jobs::tera_generate, {"12"}).message.find("FIRST COUNT") !=
        std::string::npos);
}
