#include "cluster.hpp"

using namespace troupe;
using namespace troupe::metadata;
using namespace troupe::metadata::testing;

namespace {

envelope request(std::uint8_t n, command c) { return {identity_of<request_id>(n), 1'000, std::move(c)}; }

}  // namespace

TEST_CASE("a repeated request has one effect and one answer", "[metadata]") {
  state s;
  REQUIRE_OK(s.apply(log_index{1}, request(1, register_member{make_member(1)})));
  begin_import b;
  b.name = "x";
  b.importer = identity_of<member_id>(1);
  const auto first = s.apply(log_index{2}, request(2, b));
  const auto again = s.apply(log_index{3}, request(2, b));
  REQUIRE_OK(first);
  CHECK(first == again);
  CHECK(s.datasets().size() == 1);
  REQUIRE(s.answer_of(identity_of<request_id>(2)) != nullptr);
  CHECK(*s.answer_of(identity_of<request_id>(2)) == first);
  CHECK(s.answer_of(identity_of<request_id>(3)) == nullptr);

  const auto refused = s.apply(log_index{4}, request(3, delete_dataset{"x"}));
  REQUIRE(!refused);
  REQUIRE_OK(s.apply(log_index{5}, request(4, commit_import{first->dataset, {partition{}}})));
  CHECK(s.apply(log_index{6}, request(3, delete_dataset{"x"})) ==
        refused);  // the answer of then, though it would work now
  CHECK(s.find_dataset("x") != nullptr);
}

TEST_CASE("request ids are remembered in a snapshot, and only so many", "[metadata]") {
  cluster c;
  for (std::size_t i = 0; i < answers_remembered_max + 5; ++i) c.must(noop{});
  auto id = [](std::uint64_t n) {
    request_id r;
    r.value.octets[0] = 0xee;
    store_le(reinterpret_cast<char*>(r.value.octets.data()) + 4, n);
    return r;
  };
  auto restored = state::restore(c.state.snapshot());
  REQUIRE_OK(restored);
  for (const auto* s : {&c.state, &*restored}) {
    CHECK(s->answer_of(id(5)) == nullptr);
    CHECK(s->answer_of(id(6)) != nullptr);
    CHECK(s->answer_of(id(answers_remembered_max + 5)) != nullptr);
  }
}

TEST_CASE("damaged and foreign snapshots are refused", "[metadata]") {
  cluster c;
  c.import("x", {{100}}, {c.join(1)});
  const auto good = c.state.snapshot();
  REQUIRE_OK(state::restore(good));
  CHECK(state::restore("").error().code() == errc::corrupted);
  std::size_t taken = 0;
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto cut = state::restore(bytes_view(good).substr(0, size));
    if (cut)
      ++taken;
    else
      CHECK(cut.error().code() == errc::corrupted);
  }
  CHECK(taken == 1);  // what was written before there were users ends where they begin; the file has its length, too
  CHECK(state::restore(good + "x").error().code() == errc::corrupted);
  auto newer = good;
  ++newer[8];
  CHECK(state::restore(newer).error().code() == errc::unsupported);
}

TEST_CASE("a snapshot that contradicts itself is refused, not applied to", "[metadata]") {
  cluster c;
  const auto m = c.join(1);
  c.must(load_module{c.make_module('a', "wc", "word_count")});
  c.import("in", {{100}}, {m});
  c.run("word_count", "in", "out");
  c.begin("half", m);
  const auto good = c.state.snapshot();
  REQUIRE_OK(state::restore(good));
  // Magic, level and the index applied last come first; then the next dataset, segment and job.
  for (const std::size_t counter : {20U, 28U, 36U})
    for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
      auto bad = good;
      store_le(bad.data() + counter, value);
      const auto restored = state::restore(bad);
      REQUIRE_FALSE(restored);
      CHECK(restored.error().code() == errc::corrupted);
      CHECK(restored.error().message().find("contradicts itself") != std::string::npos);
    }
  // Any byte damaged: what is taken for a state all the same can go on.
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    auto restored = state::restore(bad);
    if (!restored) continue;
    cluster damaged;
    damaged.state = std::move(*restored);
    damaged.requests = c.requests;
    const auto running = damaged.state.running_jobs();
    for (const auto id : running) (void)damaged.apply(cancel_job{id, "damaged"});
    (void)damaged.apply(delete_dataset{"in"});
    (void)damaged.apply(set_member_state{m, incarnation{1}, member_state::dead, "damaged"});
    CHECK(damaged.state.running_jobs().empty());
  }
}

TEST_CASE("a restored state is the same state", "[metadata]") {
  cluster c;
  const auto m = c.join(1);
  c.must(load_module{c.make_module('a', "wc", "word_count")});
  const auto in = c.import("in", {{100}, {200, 300}}, {m});
  const auto id = c.run("word_count", "in", "out");
  c.must(c.task(id, 0, 0, m));
  c.must(delete_dataset{"in"});
  c.begin("half", m);
  auto restored = state::restore(c.state.snapshot());
  REQUIRE_OK(restored);
  CHECK(restored->snapshot() == c.state.snapshot());
  CHECK(restored->find_dataset("in") == nullptr);
  CHECK(restored->is_read(in));
  CHECK(restored->find_creating("half") != nullptr);
  CHECK(restored->running_jobs() == c.state.running_jobs());
  const auto segment = restored->find_dataset(in)->partitions[1].segments[1].id;
  CHECK(restored->find_segment(segment)->file_bytes == 300);
  c.state = std::move(*restored);
  c.must(cancel_job{id, "done"});
  CHECK(c.state.find_dataset(in) == nullptr);
}
