#include <boost/describe/enumerators.hpp>
#include <boost/mp11/algorithm.hpp>
#include <support/catch.hpp>
#include <troupe/transport/endpoint.hpp>
#include <troupe/transport/http_message.hpp>
#include <troupe/transport/http_router.hpp>
#include <troupe/transport/problem.hpp>
#include <troupe/transport/refusals.hpp>

using namespace troupe;
using namespace troupe::transport;
using namespace std::chrono_literals;

TEST_CASE("endpoints are addresses, never names to look up") {
  CHECK(to_string(*parse_endpoint("127.0.0.1:7400")) == "127.0.0.1:7400");
  CHECK(to_string(*parse_endpoint("[::1]:1")) == "[::1]:1");
  CHECK(to_string(*parse_endpoint("localhost:0")) == "127.0.0.1:0");
  for (const char* wrong :
       {"", "127.0.0.1", ":1", "127.0.0.1:", "127.0.0.1:65536", "::1:5", "example.com:80", "1.2.3:4x"})
    CHECK(parse_endpoint(wrong).error().code() == errc::invalid_argument);
}

TEST_CASE("only loopback names reach a node") {
  for (const char* good :
       {"localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.2:7400", "127.255.255.255", "[::1]", "[::1]:9"})
    CHECK(is_loopback_host(good));
  for (const char* bad :
       {"", "example.com", "127.evil.com", "127.0.0.1.evil.com", "127.0.0", "127.0.0.256", "localhost.evil.com",
        "localhost:80:80", "localhost:x", "128.0.0.1", "[::1]evil", "[::1", "0.0.0.0", "127.0.0.0001"})
    CHECK(!is_loopback_host(bad));
}

TEST_CASE("a target is taken apart and decoded") {
  const auto t = parse_target("/api/v1/datasets/a%2Fb/export?format=tsv&x=1+2%2B3&flag&=");
  REQUIRE(t);
  CHECK(t->path == "/api/v1/datasets/a%2Fb/export");
  CHECK(t->segments == std::vector<std::string>{"api", "v1", "datasets", "a/b", "export"});
  CHECK(t->query ==
        std::vector<std::pair<std::string, std::string>>{{"format", "tsv"}, {"x", "1 2+3"}, {"flag", ""}, {"", ""}});
  CHECK(parse_target("/")->segments == std::vector<std::string>{""});
  CHECK(parse_target("/jobs/")->segments == parse_target("/jobs")->segments);
  for (const char* wrong :
       {"", "jobs", "http://x/y", "*", "/%", "/%2", "/%zz", "/%00", "/a/../b", "/a/%2e%2E", "/x?y=%f"})
    CHECK(parse_target(wrong).error().code() == errc::invalid_argument);
  CHECK(*percent_decode(percent_encode("a/b ü%?"), false) == "a/b ü%?");
  CHECK(percent_decode(std::string_view("a\0b", 3), false).error().code() == errc::invalid_argument);
}

TEST_CASE("a router prefers fixed segments, knows HEAD, and tells methods that a path has") {
  http_router router;
  const auto handler = [](http_request&, http_response&) -> boost::asio::awaitable<void> { co_return; };
  router.get("/jobs/{id}", handler);
  router.get("/jobs/all", http_access::open, handler);
  router.del("/jobs/{id}", http_access::submitter, handler);
  router.post("/jobs", http_access::submitter, handler);
  const auto find = [&](const char* method, const char* target) { return router.find(method, *parse_target(target)); };

  CHECK(find("GET", "/jobs/all").access == http_access::open);
  const auto one = find("HEAD", "/jobs/7?x=1");
  REQUIRE(one.handler != nullptr);
  CHECK(one.parameters == std::vector<std::pair<std::string, std::string>>{{"id", "7"}});
  CHECK(find("POST", "/jobs/7").handler == nullptr);
  CHECK(find("POST", "/jobs/7").allow == "GET, DELETE");
  CHECK(find("GET", "/nothing").allow.empty());
  CHECK(find("GET", "/jobs/7/more").handler == nullptr);
}

TEST_CASE("an error survives the way through problem+json") {
  CHECK(to_http_status(errc::not_found) == 404);
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<errc>>([](auto e) {
    if (e.value == errc::none) return;
    const error sent(e.value, std::string("dataset \"x\":\n") + e.name);
    const auto status = to_http_status(sent.code());
    CHECK(status >= 400);
    const auto json = problem_json(status, sent.message(), sent.code());
    CHECK(problem_error(status, "application/problem+json; charset=utf-8", json) == sent);
  });
  const auto repeated = problem_json(404, "no dataset \xff", errc::not_found);  // not UTF-8, as it was asked for
  CHECK(problem_error(404, "application/problem+json", repeated).message() == "no dataset \xef\xbf\xbd");
  CHECK(problem_error(503, "text/html", "<h1>no</h1>").code() == errc::unavailable);
  CHECK(problem_error(500, "application/problem+json", "{broken").code() == errc::internal);
  CHECK(problem_error(404, "", "").message() == "HTTP 404 Not Found");
}

TEST_CASE("refusals make one line per interval, with a count and the reasons") {
  refusals log(10s);
  const refusals::time_point start{};
  CHECK(*log.note("said nothing", "1.2.3.4:5: it said nothing", start) == "refused 1.2.3.4:5: it said nothing");
  for (int i = 0; i < 1000; ++i) CHECK(!log.note("said nothing", "x", start + 1s));
  CHECK(!log.note("is rubbish", "9.9.9.9:9: rubbish", start + 9s));
  CHECK(*log.flush(start + 10s) ==
        "refused 1001 connections (1: is rubbish, 1000: said nothing); the last was 9.9.9.9:9: rubbish");
}
