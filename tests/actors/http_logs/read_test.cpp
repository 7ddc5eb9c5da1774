#include "log_harness.hpp"

using namespace test;

TEST_CASE("records come as lines of JSON with their offsets, times, and where to go on") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  w.logs.lists["clicks"] = {"a\"b", "c", "d"};
  const auto all = w.ask("GET", "clicks/records?partition=0&from=0");
  CHECK(all.status == 200);
  CHECK(all.field("content-type") == "application/x-ndjson");
  CHECK(all.field(api::next_offset_field) == "3");
  CHECK(all.body ==
        "{\"partition\":0,\"offset\":0,\"appended_at\":null,\"record\":\"a\\\"b\"}\n"
        "{\"partition\":0,\"offset\":1,\"appended_at\":\"2025-11-23T08:38:29.123Z\",\"record\":\"c\"}\n"
        "{\"partition\":0,\"offset\":2,\"appended_at\":\"2025-11-23T08:38:29.123Z\",\"record\":\"d\"}\n");
  const auto one = w.ask("GET", "clicks/records?from=1&limit=1");
  CHECK(one.field(api::next_offset_field) == "2");
  CHECK(one.body.find("\"c\"") != std::string::npos);
  CHECK(w.ask("GET", "clicks/records?from=begin&limit=1").field(api::next_offset_field) == "1");
  const auto end = w.ask("GET", "clicks/records?from=end");
  CHECK(end.body.empty());
  CHECK(end.field(api::next_offset_field) == "3");
  for (const auto* wrong : {"from=x", "from=-1", "from=4", "partition=a", "limit=0", "limit=10001", "wait_ms=x"}) {
    INFO(wrong);
    CHECK(w.ask("GET", std::string("clicks/records?") + wrong).status == 400);
  }
}

TEST_CASE("a long poll ends when records come") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  auto asked = std::async(std::launch::async, [&] { return w.ask("GET", "clicks/records?from=0&wait_ms=20000"); });
  for (;;) {
    const std::lock_guard lock(w.logs.mutex);
    if (!w.logs.waiting) continue;
    CHECK(w.logs.reads.back().wait > 19s);
    logs::read_outcome out;
    out.records = {{record_offset(0), 1'763'887'109'123, "x"}};
    out.next = record_offset(1);
    w.logs.waiting(std::move(out));
    break;
  }
  CHECK(asked.get().field(api::next_offset_field) == "1");
}

TEST_CASE("a long poll does not hold up a node that stops") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  auto asked = std::async(std::launch::async, [&] { return w.ask("GET", "clicks/records?from=0&wait_ms=20000"); });
  for (bool there = false; !there;) {
    const std::lock_guard lock(w.logs.mutex);
    there = static_cast<bool>(w.logs.waiting);
  }
  const auto begun = std::chrono::steady_clock::now();
  CHECK(w.served->stop(10s));
  CHECK(std::chrono::steady_clock::now() - begun < 5s);
  const auto answer = asked.get();
  CHECK(answer.status == 200);
  CHECK(answer.body.empty());
  CHECK(answer.field(api::next_offset_field) == "0");
}

TEST_CASE("verify tells every wrong copy") {
  log_web w;
  REQUIRE(w.ask("PUT", "clicks").status == 201);
  w.logs.report.segments = 2;
  w.logs.report.copies_bad = 1;
  logs::segment_report wrong;
  wrong.segment = segment_id(7);
  wrong.repairing = true;
  wrong.copies = {
      {member_id::random(), "node2", logs::copy_state::damaged, "batch at byte 4096: its checksum is wrong"}};
  w.logs.report.wrong = {wrong};
  const auto answer = w.ask("POST", "clicks/verify?time_max_ms=1000");
  REQUIRE(answer.status == 200);
  const auto v = api::from_text<api::verification>(answer.body, "answer");
  REQUIRE_OK(v);
  CHECK_FALSE(v->sound);
  CHECK(v->wrong[0].repairing);
  CHECK(v->wrong[0].copies[0].state == api::copy_state::damaged);
  CHECK(v->wrong[0].copies[0].node == "node2");
  CHECK(w.ask("POST", "none/verify").status == 404);
  CHECK(w.ask("POST", "clicks/verify?time_max_ms=0").status == 400);
}
