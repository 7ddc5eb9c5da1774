/// Bodies of the HTTP API, requests as the node reads them and answers as the shell does. The first byte says which
/// shape, with unknown members refused or ignored; then the text.
#include <string>
#include <support/fuzz.hpp>
#include <support/sample.hpp>
#include <troupe/api/actors.hpp>
#include <troupe/api/cluster.hpp>
#include <troupe/api/datasets.hpp>
#include <troupe/api/jobs.hpp>
#include <troupe/api/logs.hpp>
#include <troupe/api/modules.hpp>
#include <troupe/api/problem.hpp>

namespace troupe::fuzz {
namespace {

using namespace api;

/// What is read says the same when it is written and read again; a request that names what is not there is refused.
template <class T>
void check(bytes_view text, unknown_members unknown) {
  const auto value = from_text<T>(text, "input", unknown);
  if (!value) {
    TROUPE_INVARIANT(!value.error().message().empty(), "refused without a word");
    return;
  }
  const auto again = to_text(*value);
  const auto twice = from_text<T>(again, "what was written", unknown_members::refused);
  TROUPE_INVARIANT(twice.has_value(), "what was written does not read: " + twice.error().message());
  TROUPE_INVARIANT(to_text(*twice) == again, "what was read twice differs: " + again.substr(0, 4'000));
}

template <class... T>
struct shapes {
  static void check_one(bytes_view input) {
    if (input.empty()) return;
    const auto which = static_cast<std::size_t>(static_cast<unsigned char>(input[0]));
    std::size_t at = 0;
    ((at++ == which / 2
          ? check<T>(input.substr(1), which % 2 == 0 ? unknown_members::refused : unknown_members::ignored)
          : void()),
     ...);
  }
  static std::vector<bytes> seeds() {
    std::vector<bytes> made;
    for (const std::uint64_t variety : {1, 2}) {
      int at = 0;
      ((made.push_back(static_cast<char>(2 * at++) + to_text(sampler(variety).make<T>()))), ...);
    }
    return made;
  }
};

/// Whatever a module or a person says, an answer that repeats it is JSON.
void check_any_text(bytes_view said) {
  job j;
  j.error = job_error{bytes(said), {}, {}, {}};
  j.parameters[bytes(said)] = said;
  const auto read = from_text<job>(to_text(j), "a job");
  TROUPE_INVARIANT(read.has_value(), "an answer does not read: " + read.error().message());
}

using all_shapes = shapes<job_request, problem, job, node, cluster, dataset, dataset_summary, dataset_record,
                          module_info, actor, event, job_log_line, list<job>, list<node>, dataset_options,
                          dataset_changes, append_problem, verification, drain_progress>;

}  // namespace

void one_input(bytes_view input) {
  all_shapes::check_one(input);
  check_any_text(input);
  if (const auto time = parse_timestamp(input)) {
    const auto again = parse_timestamp(to_string(*time));
    TROUPE_INVARIANT(again.has_value() && *again == *time, "a time changes when it is written: " + to_string(*time));
  }
}

std::vector<bytes> seeds() {
  auto made = all_shapes::seeds();
  made.emplace_back("2026-11-23T08:58:29.123Z");
  made.push_back(
      '\0' + std::string(R"({"job":"word_count","inputs":["corpus"],"output":"counts","parameters":{"top":"10"}})"));
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
