#include <support/catch.hpp>
#include <troupe/scheduling/node_queue.hpp>

using namespace troupe;
using namespace troupe::scheduling;

namespace {
attempt_ref task(std::uint32_t stage, std::uint32_t index) {
  return {stage_index(stage), task_index(index), attempt_number(1)};
}
}  // namespace

TEST_CASE("Two jobs share the slots, whoever came first") {
  node_queue queue(2);
  for (std::uint32_t i = 0; i < 4; ++i) REQUIRE(queue.add(job_id(1), task(0, i)));
  for (std::uint32_t i = 0; i < 4; ++i) REQUIRE(queue.add(job_id(2), task(0, i)));
  auto first = queue.next();
  auto second = queue.next();
  REQUIRE((first && second));
  CHECK(first->first == job_id(1));
  CHECK(second->first == job_id(2));
  CHECK_FALSE(queue.next());
  CHECK(queue.slots_taken() == 2);
  queue.remove(job_id(1), first->second);
  auto third = queue.next();
  REQUIRE(third);
  CHECK(third->first == job_id(1));  // the other one has its slot still
  CHECK(third->second == task(0, 1));
}

TEST_CASE("A job that runs alone has every slot, and gives them up one by one") {
  node_queue queue(3);
  for (std::uint32_t i = 0; i < 6; ++i) REQUIRE(queue.add(job_id(1), task(0, i)));
  for (int i = 0; i < 3; ++i) REQUIRE(queue.next());
  REQUIRE(queue.add(job_id(2), task(0, 0)));
  CHECK_FALSE(queue.next());  // nothing is pre-empted
  queue.remove(job_id(1), task(0, 0));
  CHECK(queue.next()->first == job_id(2));
  CHECK(queue.has_slot(job_id(2), task(0, 0)));
}

TEST_CASE("A map that has to be done again goes before the reduces that wait for it") {
  node_queue queue(1);
  REQUIRE(queue.add(job_id(1), task(1, 0)));
  REQUIRE(queue.add(job_id(1), task(0, 5)));
  CHECK(queue.next()->second == task(0, 5));
}

TEST_CASE("What is removed while it waits never gets a slot; what is queued twice is refused") {
  node_queue queue(1);
  REQUIRE(queue.add(job_id(1), task(0, 0)));
  CHECK(queue.add(job_id(1), task(0, 0)).error().code() == errc::already_exists);
  queue.remove(job_id(1), task(0, 0));
  queue.remove(job_id(1), task(0, 0));
  queue.remove(job_id(9), task(0, 0));
  CHECK(queue.ready() == 0);
  CHECK_FALSE(queue.next());
}

TEST_CASE("The queue has a limit") {
  node_queue queue(1);
  for (std::uint32_t i = 0; i < node_queue::ready_max; ++i) REQUIRE(queue.add(job_id(1), task(0, i)));
  CHECK(queue.add(job_id(1), task(1, 0)).error().code() == errc::resource_exhausted);
}
