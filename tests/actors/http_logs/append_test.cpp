#include <cstdio>

#include "log_harness.hpp"

using namespace test;

TEST_CASE("lines are appended as they are, and the answer tells where") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  const auto first = w.ask("POST", "clicks/records", "one\n\ntwo\n");
  CHECK(first.status == 200);
  CHECK(first.body == R"([{"partition":0,"first_offset":0,"count":3,"duplicate":false}])");
  const auto second = w.ask("POST", "clicks/records", "no new line at its end");
  CHECK(second.body == R"([{"partition":0,"first_offset":3,"count":1,"duplicate":false}])");
  CHECK(w.logs.lists["clicks"] == std::vector<bytes>{"one", "", "two", "no new line at its end"});
  CHECK(w.logs.requests[0].producer.is_nil());
  CHECK(w.logs.requests[0].time_max == 10s);
  CHECK(w.metadata.barriers == 0);  // nothing had to be asked for
}

TEST_CASE("lines of JSON become records by the dataset's schema") {
  log_web w;
  const auto made =
      w.ask("PUT", "visits",
            R"({"format":"records","schema":[{"name":"user","type":"string"},{"name":"n","type":"uint8"}]})");
  REQUIRE(made.status == 201);
  CHECK(w.ask("POST", "visits/records", "{\"user\":\"a\",\"n\":1}\n{\"n\":2,\"user\":\"b\"}").status == 200);
  CHECK(w.logs.lists["visits"] == std::vector<bytes>{bytes("\1a\1", 3), bytes("\1b\2", 3)});
  const auto wrong = w.ask("POST", "visits/records", "{\"user\":\"a\",\"n\":1}\n{\"user\":\"b\",\"n\":256}\n");
  CHECK(wrong.status == 400);
  CHECK(wrong.body.find("line 2: field n: expected a whole number from 0 to 255, found 256") != std::string::npos);
  CHECK(w.logs.requests.size() == 1);
}

TEST_CASE("a node that knows an old schema asks before it refuses") {
  log_web w;
  REQUIRE(w.ask("PUT", "visits", R"({"format":"records","schema":[{"name":"n","type":"uint8"}]})").status == 201);
  CHECK(w.ask("POST", "visits/records", "{\"n\":1,\"m\":2}").status == 400);
  CHECK(w.metadata.barriers == 1);
  const auto altered = w.ask(
      "PATCH", "visits",
      R"({"schema":[{"name":"n","type":"uint8"},{"name":"m","type":"optional","children":[{"name":"","type":"uint8"}]}]})");
  CHECK(altered.status == 200);
  CHECK(w.ask("POST", "visits/records", "{\"n\":1,\"m\":2}").status == 200);
}

TEST_CASE("a producer's field and sequence go through, and a retry is known") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  const auto me = uuid::random();
  CHECK(w.ask("POST", "clicks/records", "x\n", numbered(me, 7)).status == 200);
  CHECK(w.logs.requests[0].producer == me);
  CHECK(w.logs.requests[0].sequence == 7);
  const auto again = w.ask("POST", "clicks/records", "x\n", numbered(me, 7));
  CHECK(again.body == R"([{"partition":0,"first_offset":0,"count":1,"duplicate":true}])");
  CHECK(w.logs.lists["clicks"].size() == 1);
}

TEST_CASE("what is not known to be durable is a 503 that lists what is") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  w.logs.rest = error{errc::unavailable, "partition 1 has no leader now"};
  const auto part = w.ask("POST", "clicks/records", "x\n", numbered(uuid::random(), 1));
  CHECK(part.status == 503);
  CHECK(part.field("content-type") == "application/problem+json");
  const auto problem = api::from_text<api::append_problem>(part.body, "problem");
  REQUIRE_OK(problem);
  CHECK(problem->detail == "partition 1 has no leader now");
  CHECK(problem->code == "unavailable");
  REQUIRE(problem->durable.size() == 1);
  CHECK(problem->durable[0].count == 1);

  w.logs.refuse = error{errc::deadline_exceeded, "no answer in time"};
  const auto none = w.ask("POST", "clicks/records", "x\n");
  CHECK(none.status == 503);
  CHECK(none.body.find(R"("durable":[])") != std::string::npos);
  w.logs.refuse = error{errc::failed_precondition, "needs 2 copies, has 1 live node"};
  CHECK(w.ask("POST", "clicks/records", "x\n").status == 503);
  w.logs.refuse = error{errc::resource_exhausted, "the queue is full"};
  CHECK(w.ask("POST", "clicks/records", "x\n").status == 429);
  w.logs.refuse = error{errc::invalid_argument, "sequence 1 is below 7"};
  CHECK(w.ask("POST", "clicks/records", "x\n").status == 400);
}

TEST_CASE("a log plane that never answers is a 503 in time") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  w.logs.never_answers = true;
  CHECK(w.ask("POST", "clicks/records?time_max_ms=1", "x\n").status == 503);
}

TEST_CASE("input that cannot be is refused with 4xx and goes nowhere") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  const auto producer = uuid::random().to_string();
  const auto refused = [&](std::vector<http_field> fields) {
    const auto answer = w.ask("POST", "clicks/records", "x\n", std::move(fields));
    CHECK(answer.status == 400);
    return answer.body;
  };
  CHECK(refused({{api::producer_field, producer}}).find("go together") != std::string::npos);
  CHECK(refused({{api::sequence_field, "1"}}).find("go together") != std::string::npos);
  CHECK(refused({{api::producer_field, "me"}, {api::sequence_field, "1"}}).find("not a UUID") != std::string::npos);
  CHECK(refused({{api::producer_field, uuid{}.to_string()}, {api::sequence_field, "1"}}).find("not a UUID") !=
        std::string::npos);
  for (const auto* wrong : {"-1", "1x", "18446744073709551616", " "})
    CHECK(refused({{api::producer_field, producer}, {api::sequence_field, wrong}}).size() > 10);
  CHECK(w.ask("POST", "clicks/records", "").status == 400);
  CHECK(w.ask("POST", "clicks/records?time_max_ms=0", "x\n").status == 400);
  CHECK(w.ask("POST", "none/records", "x\n").status == 404);
  const auto large = w.ask("POST", "clicks/records", bytes(api::append_body_bytes_max + 1, 'x'));
  CHECK(large.status == 413);
  CHECK(w.logs.requests.empty());

  CHECK(w.ask("PUT", "clicks").status == 409);
  CHECK(w.ask("PUT", "Not%20a%20name").status == 400);
  CHECK(w.ask("PUT", "x", R"({"partitons":2})").status == 400);
  CHECK(w.ask("PUT", "x", R"({"partitions":0})").status == 400);
  CHECK(w.ask("PUT", "x", R"({"copies":2,"min_copies":3})").status == 400);
  CHECK(w.ask("PUT", "x", R"({"format":"records"})").status == 400);
  CHECK(w.ask("PUT", "x", R"({"schema":[{"name":"a","type":"string"}]})").status == 400);
  CHECK(w.ask("PUT", "x", R"({"format":"records","schema":[{"name":"a","type":"string"}],"key_field":"b"})").status ==
        400);
  CHECK(w.ask("PATCH", "none", R"({"copies":1})").status == 404);
  CHECK(w.ask("PATCH", "clicks", R"({"keep_age_ms":-1})").status == 400);
}

/// Not a test: `actors_http_logs "[.speed]"` prints what handlers and sockets take, without a log behind them.
TEST_CASE("appends a second through HTTP", "[.speed]") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  w.logs.keeps = false;
  http_client_request request;
  request.method = "POST";
  request.target = "/api/v1/datasets/clicks/records";
  for (int i = 0; i < 1000; ++i) request.body += std::string(99, 'x') + "\n";
  auto client = w.served->client();
  const auto producer = uuid::random();
  const auto begun = std::chrono::steady_clock::now();
  std::uint64_t sequence = 0;
  while (std::chrono::steady_clock::now() - begun < 3s) {
    request.fields = numbered(producer, ++sequence);
    const auto answer = client.send(request);
    REQUIRE_OK(answer);
    REQUIRE(answer->status == 200);
    w.logs.requests.clear();
  }
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  std::printf("%.0f records a second, %.0f us a batch of 1,000\n", static_cast<double>(sequence) * 1000 / seconds,
              seconds * 1e6 / static_cast<double>(sequence));
}
