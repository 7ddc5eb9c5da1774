#include <actors/messages.hpp>
#include <actors/supervision/cluster_actors.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <caf/message.hpp>
#include <support/catch.hpp>
#include <troupe/base/limits.hpp>

using namespace troupe;

namespace {

/// Through CAF's own serialization of whole messages, as between nodes.
template <class T>
result<T> travel(caf::actor_system& system, const T& sent, std::vector<char>* raw = nullptr) {
  std::vector<char> buffer;
  auto out = caf::make_message(sent);
  caf::binary_serializer sink(system, buffer);
  if (auto err = sink(out)) return error{errc::internal, "it does not serialize"};
  if (raw != nullptr) *raw = buffer;
  caf::message in;
  caf::binary_deserializer source(system, buffer);
  if (auto err = source(in)) return error{errc::corrupted, "it does not come back"};
  if (!in.match_elements<T>()) return error{errc::corrupted, "it is another type"};
  return in.get_as<T>(0);
}

struct fixture {
  caf::actor_system_config config;
  fixture() { actors::add_cluster_messages(config); }
};

}  // namespace

TEST_CASE("Messages come back as they went") {
  fixture f;
  caf::actor_system system(f.config);
  message::attempt_finished m;
  m.sender = {member_id::random(), incarnation(3)};
  m.job = job_id(7);
  m.epoch = epoch(2);
  m.what = {stage_index(1), task_index(5), attempt_number(17)};
  m.commit.where = m.sender.member;
  m.commit.counters["lines"] = -4;
  m.commit.output.emplace();
  m.commit.output->holders = {m.sender.member};
  const auto back = travel(system, m);
  REQUIRE(back);
  CHECK(back->sender.member == m.sender.member);
  CHECK(back->what == m.what);
  CHECK(back->commit == m.commit);

  message::attempt_failed failed;
  failed.text = std::string("a\0b", 3);
  failed.offset = 12;
  failed.kind = scheduling::failure_kind::time_limit;
  failed.sources = {m.what};
  const auto other = travel(system, failed);
  REQUIRE(other);
  CHECK(other->text == failed.text);
  CHECK(other->offset == failed.offset);
  CHECK(other->kind == failed.kind);
  CHECK(other->sources == failed.sources);
}

TEST_CASE("The largest messages stay below the limit of a control connection") {
  fixture f;
  caf::actor_system system(f.config);
  std::vector<char> raw;
  message::attempt_finished done;
  for (std::size_t i = 0; i < message::counters_max; ++i) {
    auto name = std::to_string(i);
    name.resize(message::counter_name_bytes_max, 'x');
    done.commit.counters[name] = 1;
  }
  REQUIRE(travel(system, done, &raw));
  CHECK(raw.size() < limits::control_message_bytes_max);
  message::attempt_failed failed;
  failed.text.resize(message::text_bytes_max, 'x');
  failed.sources.resize(message::sources_max);
  REQUIRE(travel(system, failed, &raw));
  CHECK(raw.size() < limits::control_message_bytes_max);
  message::node_report report;
  report.attempts.resize(1'024);
  REQUIRE(travel(system, report, &raw));
  CHECK(raw.size() < limits::control_message_bytes_max);
}

TEST_CASE("Bytes that do not decode are an error, never a crash, and never half a message") {
  fixture f;
  caf::actor_system system(f.config);
  message::log_lines sent;
  sent.sender = {member_id::random(), incarnation(3)};
  sent.lines.resize(3);
  std::vector<char> whole;
  caf::binary_serializer sink(system, whole);
  REQUIRE_FALSE(sink(sent));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::vector<char> damaged(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    message::log_lines got;
    caf::binary_deserializer source(system, damaged);
    const bool is_error = static_cast<bool>(source(got));
    CHECK(is_error);
    CHECK(got.sender.incarnation == incarnation(0));  // of nobody: a gateway drops it
    CHECK(got.lines.empty());
  }
}
