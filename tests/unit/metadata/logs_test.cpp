#include <troupe/metadata/splits.hpp>

#include "cluster.hpp"

using namespace troupe;
using namespace troupe::metadata;
using namespace troupe::metadata::testing;

namespace {

struct logs : cluster {
  dataset_id id{};
  static constexpr partition_index p0{0};

  explicit logs(std::uint8_t members, std::uint32_t copies = 2, std::uint32_t min_copies = 1) {
    for (std::uint8_t n = 1; n <= members; ++n) join(n);
    create_dataset c;
    c.name = "clicks";
    c.copies = copies;
    c.log.min_copies = min_copies;
    id = must(c).dataset;
  }
  replica_ref ref(std::uint8_t n) const {
    const auto m = identity_of<member_id>(n);
    return {m, state.find_member(m)->incarnation};
  }
  const metadata::partition& here() const { return state.find_dataset(id)->partitions[0]; }
  response lead(std::uint8_t n, bool gone = false) { return must(take_over{id, p0, here().log.epoch, ref(n), gone}); }
  seal_and_open next(std::uint8_t leader, std::vector<replica_ref> replicas) const {
    return {id, p0, here().log.epoch, ref(leader), std::nullopt, std::move(replicas)};
  }
  sealed_segment sealed(std::uint64_t records, std::vector<replica_ref> holders) const {
    return {here().log.open->id, records * 10, records * 100, records, {7, 7}, 55, std::move(holders)};
  }
  /// Opens, and seals with so many records.
  segment_id write(std::uint8_t leader, std::uint64_t records) {
    auto c = next(leader, {ref(1), ref(2)});
    if (here().log.open) c.seal = sealed(0, {ref(1)});
    must(c);
    const auto segment = here().log.open->id;
    auto s = next(leader, {});
    s.seal = sealed(records, {ref(1), ref(2)});
    must(s);
    return segment;
  }
};

}  // namespace

TEST_CASE("a dataset that grows begins empty, with one copy fewer than all as the least") {
  logs c(3, 3, 0);
  const auto* d = c.state.find_dataset("clicks");
  CHECK(d->state == dataset_state::ready);
  CHECK(d->log.min_copies == 2);
  CHECK(!d->partitions[0].log.open);
  create_dataset wrong;
  wrong.name = "other";
  wrong.copies = 2;
  wrong.log.min_copies = 3;
  CHECK(c.refused(wrong).code() == errc::invalid_argument);
  wrong.log.min_copies = 1;
  wrong.log.key_field = "nobody";
  CHECK(c.refused(wrong).message().find("nobody") != std::string::npos);
  wrong.log.key_field.clear();
  wrong.name = "clicks";
  CHECK(c.refused(wrong).code() == errc::already_exists);
}

TEST_CASE("taking over is compare and set, and needs a reason while the leader lives") {
  logs c(2);
  CHECK(c.lead(1).epoch == epoch{1});
  CHECK(c.refused(take_over{c.id, c.p0, epoch{0}, c.ref(2), true}).code() == errc::aborted);
  CHECK(c.refused(take_over{c.id, c.p0, epoch{1}, c.ref(2), false}).code() == errc::failed_precondition);
  CHECK(c.lead(2, true).epoch == epoch{2});
  CHECK(c.lead(2).epoch == epoch{3});  // itself, again
  c.must(set_member_state{c.ref(2).member, c.ref(2).incarnation, member_state::dead, "gone"});
  CHECK(c.lead(1).epoch == epoch{4});
  c.join(2, 2);
  CHECK(c.refused(take_over{c.id, c.p0, epoch{4}, {c.ref(2).member, incarnation{1}}, true}).code() ==
        errc::failed_precondition);
}

TEST_CASE("the next segment is opened at a new epoch, in the step in which the one before is sealed") {
  logs c(3);
  c.lead(1);
  const auto opened = c.must(c.next(1, {c.ref(1), c.ref(2)}));
  CHECK(opened.epoch == epoch{2});
  CHECK(c.state.find_open(opened.first_segment) != nullptr);
  CHECK(c.state.owner_of(opened.first_segment) == c.id);
  CHECK(c.refused(c.next(1, {c.ref(1), c.ref(2)})).code() == errc::failed_precondition);  // the open one comes first
  auto roll = c.next(1, {c.ref(1), c.ref(3)});
  roll.seal = c.sealed(5, {c.ref(1), c.ref(2)});
  const auto rolled = c.must(roll);
  CHECK(rolled.epoch == epoch{3});
  REQUIRE(c.here().segments.size() == 1);
  CHECK(c.here().segments[0].epoch == epoch{2});
  CHECK(c.here().segments[0].holders.size() == 2);
  CHECK(c.here().log.open->epoch == epoch{3});
  CHECK(c.refused(roll).code() == errc::aborted);  // a late repetition under another request
}

TEST_CASE("seal and open looks at everything before it changes anything") {
  logs c(3);
  c.lead(1);
  c.must(c.next(1, {c.ref(1), c.ref(2)}));
  const auto good = [&] {
    auto s = c.next(1, {c.ref(1), c.ref(2)});
    s.seal = c.sealed(5, {c.ref(1), c.ref(2)});
    return s;
  };
  auto s = good();
  s.epoch = epoch{1};
  CHECK(c.refused(s).code() == errc::aborted);
  s = good();
  s.leader = c.ref(2);
  CHECK(c.refused(s).code() == errc::aborted);
  s = good();
  s.seal->id = segment_id{99};
  CHECK(c.refused(s).code() == errc::aborted);
  s = good();
  s.seal->holders = {c.ref(3)};  // no replica of it
  CHECK(c.refused(s).code() == errc::invalid_argument);
  s = good();
  s.seal->holders = {};
  CHECK(c.refused(s).code() == errc::invalid_argument);
  s = good();
  s.seal->holders = {c.ref(1), c.ref(1)};
  CHECK(c.refused(s).code() == errc::invalid_argument);
  s = good();
  s.seal->holders[1].incarnation = incarnation{0};
  CHECK(c.refused(s).code() == errc::aborted);
  s = good();
  s.replicas = {c.ref(1), c.ref(2), c.ref(3)};  // more than copies
  CHECK(c.refused(s).code() == errc::failed_precondition);
  s = good();
  s.replicas = {c.ref(1), {c.ref(2).member, incarnation{9}}};
  CHECK(c.refused(s).code() == errc::aborted);
  c.must(good());
}

TEST_CASE("below min_copies nothing is opened") {
  logs c(2, 2, 2);
  c.lead(1);
  CHECK(c.refused(c.next(1, {c.ref(1)})).message().find("needs 2") != std::string::npos);
  c.must(c.next(1, {c.ref(1), c.ref(2)}));
}

TEST_CASE("a segment with nothing in it leaves no trace") {
  logs c(2);
  c.lead(1);
  c.must(c.next(1, {c.ref(1), c.ref(2)}));
  const auto empty = c.here().log.open->id;
  auto s = c.next(1, {});
  s.seal = c.sealed(0, {c.ref(1)});
  c.must(s);
  CHECK(c.here().segments.empty());
  CHECK(!c.here().log.open);
  CHECK(!c.state.owner_of(empty));
}

TEST_CASE("a copy counts only when its bytes are metadata's and come from a member that holds them now") {
  logs c(3);
  c.lead(1);
  const auto id = c.write(1, 5);
  CHECK(c.refused(add_holder{c.id, id, c.ref(3), c.ref(1).member, {8, 8}}).code() == errc::corrupted);
  CHECK(c.refused(report_damage{c.id, id, c.ref(1).member, log_index{1}}).code() == errc::aborted);
  c.must(report_damage{c.id, id, c.ref(1).member});
  CHECK(c.refused(add_holder{c.id, id, c.ref(3), c.ref(1).member, {7, 7}}).code() == errc::aborted);
  CHECK(c.refused(add_holder{c.id, id, c.ref(2), c.ref(2).member, {7, 7}}).code() == errc::already_exists);
  c.must(add_holder{c.id, id, c.ref(3), c.ref(2).member, {7, 7}});
  // Of what lies on its own disk only the bytes have to be right.
  CHECK(c.refused(add_holder{c.id, id, c.ref(1), c.ref(1).member, {8, 8}}).code() == errc::corrupted);
  c.must(report_damage{c.id, id, c.ref(3).member, c.here().segments.back().made(c.ref(3).member)});
  c.must(add_holder{c.id, id, c.ref(3), c.ref(3).member, {7, 7}});
  CHECK(c.refused(remove_holder{c.id, id, c.ref(3).member}).code() == errc::failed_precondition);
}

TEST_CASE("a report of damage that comes after the copy was made anew does not take the new one off") {
  logs c(3);
  c.lead(1);
  const auto id = c.write(1, 5);
  const auto second = c.ref(2).member;
  const report_damage report{c.id, id, second, c.state.find_segment(id)->made(second)};
  c.must(report);
  c.must(add_holder{c.id, id, c.ref(2), c.ref(1).member, {7, 7}});
  const auto made = c.state.applied();
  CHECK(c.state.find_segment(id)->made(second) == made);
  // The same rot, seen by two readers: the second one's report comes late.
  CHECK(c.refused(report).code() == errc::aborted);
  CHECK(c.state.find_segment(id)->holders.size() == 2);
  // It survives a snapshot, and rot of the new copy is another matter.
  const auto restored = metadata::state::restore(c.state.snapshot());
  REQUIRE_OK(restored);
  CHECK(restored->find_segment(id)->made(second) == made);
  c.must(report_damage{c.id, id, second, made});
  CHECK(c.state.find_segment(id)->remade.empty());
}

TEST_CASE("a removed member's copies are gone, and it may not come back") {
  logs c(2);
  c.lead(1);
  const auto id = c.write(1, 5);
  CHECK(c.refused(remove_member{c.ref(2).member}).message().find("alive") != std::string::npos);
  c.must(set_member_state{c.ref(2).member, c.ref(2).incarnation, member_state::dead, "gone"});
  c.must(remove_member{identity_of<member_id>(2)});
  CHECK(c.state.find_segment(id)->holders.size() == 1);
  CHECK(c.apply(register_member{make_member(2, 5)}).error().message().find("removed") != std::string::npos);
  c.must(set_member_state{c.ref(1).member, c.ref(1).incarnation, member_state::dead, "gone"});
  CHECK(c.refused(remove_member{c.ref(1).member}).message().find("only copy of 1") != std::string::npos);
  c.must(remove_member{c.ref(1).member, true});
  CHECK(c.state.find_segment(id)->holders.empty());
  const auto restored = state::restore(c.state.snapshot());
  REQUIRE_OK(restored);
  CHECK(restored->snapshot() == c.state.snapshot());
}

TEST_CASE("an imported dataset may be appended to: its segments precede the open one") {
  cluster c;
  const auto one = c.join(1), two = c.join(2);
  const auto id = c.import("text", {{100, 200}}, {one, two});
  const replica_ref me{one, incarnation{1}};
  c.must(take_over{id, partition_index{0}, {}, me});
  const auto opened = c.must(seal_and_open{id, partition_index{0}, epoch{1}, me, std::nullopt, {me}});
  const auto& here = c.state.find_dataset(id)->partitions[0];
  CHECK(here.segments.size() == 2);
  CHECK(here.log.open->id == opened.first_segment);
  CHECK(opened.first_segment > here.segments.back().id);
}

TEST_CASE("a job reads a snapshot: what is sealed, and what had been acknowledged of the open segment") {
  logs c(2);
  c.must(load_module{cluster::make_module('a', "m", "job")});
  c.lead(1);
  c.write(1, 5);
  c.must(c.next(1, {c.ref(1), c.ref(2)}));
  const auto open = c.here().log.open->id;
  create_job j;
  j.job_name = "job";
  j.inputs = {"clicks"};
  j.output = "out";
  j.open_ends = {{0, partition_index{0}, {open, 30, 300, 3}}};
  const auto made = c.must(j);
  const auto check = [&] {
    const auto splits = split_table::make(c.state, *c.state.find_job(made.job));
    REQUIRE_OK(splits);
    REQUIRE(splits->size() == 2);
    CHECK(splits->at(task_index{1}).segment == open);
    CHECK(splits->at(task_index{1}).to == 300);
    CHECK(splits->at(task_index{1}).first_offset == record_offset{5});
  };
  check();
  // The log goes on: more is appended, sealed, opened; the job's input stays.
  auto s = c.next(1, {c.ref(1)});
  s.seal = c.sealed(9, {c.ref(1), c.ref(2)});
  c.must(s);
  check();
  CHECK(c.refused(trim_partition{c.id, c.p0, c.here().segments[0].id}).message().find("read by a job") !=
        std::string::npos);
  // Whoever asks now with the old end reads the segment whole, for it was sealed meanwhile.
  j.output = "later";
  const auto later = c.must(j);
  const auto splits = split_table::make(c.state, *c.state.find_job(later.job));
  REQUIRE_OK(splits);
  CHECK(splits->at(task_index{1}).to == 900);
  c.must(cancel_job{made.job, "enough"});
  c.must(cancel_job{later.job, "enough"});
  c.must(trim_partition{c.id, c.p0, c.here().segments[0].id});
  CHECK(c.here().log.trimmed_records == 5);
  j.open_ends[0].partition = partition_index{7};
  CHECK(c.refused(j).code() == errc::invalid_argument);
}

TEST_CASE("settings change, and a schema only grows optional fields") {
  logs c(3, 3, 2);
  alter_dataset a;
  a.name = "clicks";
  a.copies = 1;
  c.must(a);
  CHECK(c.state.find_dataset(c.id)->log.min_copies == 1);
  a.copies.reset();
  a.keep_age_ms = -1;
  CHECK(c.refused(a).code() == errc::invalid_argument);
  a.keep_age_ms.reset();
  a.schema = schema{};
  a.schema->fields.push_back({"must", field_type::string, {}});
  CHECK(c.refused(a).code() == errc::failed_precondition);
}
