#include <shell/commands/log_commands.hpp>
#include <shell/commands/records.hpp>
#include <shell/display/progress.hpp>
#include <shell/display/table.hpp>
#include <shell/interrupts.hpp>
#include <shell/language/duration.hpp>
#include <shell/session.hpp>
#include <troupe/api/logs.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace json = boost::json;
using namespace std::chrono_literals;
namespace {

constexpr std::int64_t time_max_default_ms = 600'000, time_max_ms = 24LL * 3600 * 1000;
constexpr auto answer_grace = 30s;

std::string count_of(std::uint64_t count, const char* one, const char* more) {
  return format_count(count) + " " + (count == 1 ? one : more);
}

std::string summary(const api::verification& v) {
  auto out = v.dataset + ": " + count_of(v.segments, "segment", "segments") + " (" +
             count_of(v.records, "record", "records") + "), " + count_of(v.copies_intact, "copy", "copies") +
             " intact, " + format_bytes(v.bytes_checked) + " checked in " + format_duration(v.seconds) + "\n";
  if (v.copies_bad != 0) out += count_of(v.copies_bad, "copy is", "copies are") + " damaged or gone\n";
  if (v.copies_unreachable != 0)
    out += count_of(v.copies_unreachable, "copy", "copies") + " could not be checked: the node does not answer\n";
  if (v.segments_lost != 0)
    out += count_of(v.segments_lost, "segment has", "segments have") + " no intact copy: their records are lost\n";
  if (v.copies_missing_yet != 0)
    out += count_of(v.copies_missing_yet, "copy is", "copies are") + " still to be made, of " +
           std::to_string(v.copies_wanted) + " wanted of each segment\n";
  if (v.sound && v.copies_missing_yet == 0) out += "everything is as it should be\n";
  return out;
}

void show_wrong(session& s, const api::verification& v) {
  if (v.wrong.empty()) return;
  std::vector<std::vector<std::string>> rows{{"SEGMENT", "PARTITION", "RECORDS", "NODE", "STATE", "REPAIR", "WHY"}};
  for (const auto& w : v.wrong) {
    const std::string repair = w.repairing ? "under way" : w.open ? "when it is sealed" : "-";
    std::size_t shown = 0;
    for (const auto& c : w.copies) {
      if (c.state == api::copy_state::intact) continue;
      ++shown;
      rows.push_back({to_string(w.id), to_string(w.partition), std::to_string(w.records), c.node,
                      boost::describe::enum_to_string(c.state, ""), repair, harmless(c.why)});
    }
    if (shown == 0)
      rows.push_back({to_string(w.id), to_string(w.partition), std::to_string(w.records), "-", "too few copies", repair,
                      std::to_string(w.copies.size()) + " of " + std::to_string(v.copies_wanted)});
  }
  s.print("\n" + aligned(rows, {true, true, true, false, false, false, false}));
}

outcome<void> verify(session& s, const arguments& given) {
  const auto& name = given.words[0];
  auto time_ms = time_max_default_ms;
  if (given.has("--time-max")) {
    TROUPE_TRY(time_ms, read_duration("--time-max", given.get("--time-max")));
    if (time_ms < 1 || time_ms > time_max_ms) return usage_failure("--time-max is between 1ms and 24h");
  }
  TROUPE_TRY(auto* const client, s.client());
  auto request = request_for("POST", dataset_path(name) + "/verify?time_max_ms=" + std::to_string(time_ms));
  request.read_time_max = std::chrono::milliseconds(time_ms) + answer_grace;
  TROUPE_TRY(const auto answer, client->send(std::move(request)));
  TROUPE_TRY(const auto value, api::detail::parse(answer.body, "answer"));
  TROUPE_TRY(const auto v, api_client::typed<api::verification>(value, "answer"));
  if (s.settings.output == output_format::table) {
    s.print(summary(v));
    show_wrong(s, v);
  } else {
    show_object(s, value,
                {{"", "dataset"},
                 {"", "sound"},
                 {"", "segments"},
                 {"", "records"},
                 {"", "bytes_checked"},
                 {"", "copies_intact"},
                 {"", "copies_bad"},
                 {"", "copies_unreachable"},
                 {"", "copies_missing_yet"},
                 {"", "segments_lost"}});
  }
  return v.sound ? done() : failure(status::failed, name + " is not sound");
}

}  // namespace

command verify_command() {
  return {.name = "verify",
          .group = "data",
          .usage = "verify NAME",
          .summary = "Reads every copy of a dataset and checks every checksum",
          .help =
              "Says which copies are damaged or missing, on which node, and whether their repair is under way; a copy "
              "that is found damaged is made again from another. Ends with 1 when something is wrong.",
          .example = "verify clicks",
          .options = {{"--time-max", "T", "ends after so long with what was found; 10min by default"}},
          .words_min = 1,
          .words_max = 1,
          .completes = word_kind::dataset,
          .run = verify};
}

}  // namespace troupe::shell
