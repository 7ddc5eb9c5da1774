#include <algorithm>
#include <filesystem>
#include <shell/commands/commands.hpp>
#include <shell/commands/export_target.hpp>
#include <shell/commands/log_commands.hpp>
#include <shell/commands/records.hpp>
#include <shell/display/progress.hpp>
#include <shell/display/table.hpp>
#include <shell/interrupts.hpp>
#include <shell/language/duration.hpp>
#include <shell/session.hpp>
#include <troupe/api/actors.hpp>
#include <troupe/api/datasets.hpp>
#include <troupe/api/schema_text.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace json = boost::json;
namespace {

const std::vector<column> dataset_columns{{"NAME", "name"},
                                          {"FORMAT", "format"},
                                          {"STATE", "state"},
                                          {"RECORDS", "records"},
                                          {"BYTES", "bytes", shown_as::bytes},
                                          {"PARTITIONS", "partition_count"},
                                          {"COPIES", "copies"},
                                          {"MADE BY JOB", "made_by"},
                                          {"CREATED", "created_at", shown_as::time}};

/// What is not as it should be, a sentence each; nothing when all is well.
std::string troubles(const api::dataset& d) {
  std::string out;
  if (d.lost != 0) out += std::to_string(d.lost) + " segments have no copy left: their records are lost\n";
  if (d.under_replicated != 0)
    out += std::to_string(d.under_replicated) + (d.under_replicated == 1 ? " segment (" : " segments (") +
           format_bytes(d.under_replicated_bytes) + ") still lack copies: " + std::to_string(d.copies) +
           " are wanted, and made as long as there are nodes for them\n";
  for (std::size_t i = 0; i < d.partitions.size(); ++i)
    if (!d.partitions[i].refusing.empty())
      out += "partition " + std::to_string(i) + " takes no appends: " + harmless(d.partitions[i].refusing) + "\n";
  for (const auto& note : d.notes) out += harmless(note) + "\n";
  return out;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : " ") + name;
  return out.empty() ? "-" : harmless(out);
}

/// The partitions of a dataset; those of one that grows say where it grows.
std::string partition_table(const api::dataset& d) {
  const bool grows =
      std::any_of(d.partitions.begin(), d.partitions.end(), [](const auto& p) { return p.epoch.value != 0; });
  std::vector<std::string> titles{"PARTITION", "RECORDS", "BYTES", "SEGMENTS"};
  if (grows) titles.insert(titles.end(), {"OFFSETS", "EPOCH", "LEADER", "WRITTEN TO"});
  titles.emplace_back("COPIES ON");
  std::vector<std::vector<std::string>> rows{std::move(titles)};
  for (const auto& p : d.partitions) {
    std::vector<std::string> row{std::to_string(rows.size() - 1), std::to_string(p.records), format_bytes(p.bytes),
                                 std::to_string(p.segments.size())};
    if (grows)
      row.insert(row.end(), {to_string(p.begin_offset) + ".." + to_string(p.end_offset), to_string(p.epoch),
                             p.leader.value_or("-"), joined(p.replicas)});
    row.push_back(joined(p.copies));
    rows.push_back(std::move(row));
  }
  return aligned(rows, grows ? std::vector<bool>{true, true, true, true, false, true, false, false, false}
                             : std::vector<bool>{true, true, true, true, false});
}

/// `describe`: the dataset, then its partitions.
}  // namespace

outcome<void> show_dataset(session& s, const json::value& value) {
  if (s.settings.output == output_format::csv) {
    json::array rows;
    if (const auto* partitions = member_at(value, "partitions"); partitions != nullptr && partitions->is_array())
      for (std::size_t i = 0; i < partitions->get_array().size(); ++i) {
        auto row = partitions->get_array()[i];
        if (row.is_object()) row.get_object()["partition"] = i;
        rows.push_back(std::move(row));
      }
    show_items(s, rows,
               {{"", "partition"},
                {"", "records"},
                {"", "bytes"},
                {"", "copies", shown_as::list},
                {"", "begin_offset"},
                {"", "end_offset"},
                {"", "epoch"},
                {"", "leader"},
                {"", "under_replicated"},
                {"", "lost"}});
    return done();
  }
  show_object(s, value,
              {{"name", "name"},
               {"format", "format"},
               {"state", "state"},
               {"records", "records"},
               {"bytes", "bytes", shown_as::bytes},
               {"copies", "copies"},
               {"made by job", "made_by"},
               {"created", "created_at", shown_as::time}});
  if (s.settings.output == output_format::json) return done();
  TROUPE_TRY(const auto d, api_client::typed<api::dataset>(value, "dataset"));
  std::string out;
  if (d.min_copies > 1) out += "appends need " + std::to_string(d.min_copies) + " copies\n";
  if (d.sync == api::sync_policy::seal) out += "appends are acknowledged before they are on the disks (--sync seal)\n";
  if (!d.key_field.empty()) out += "partition by " + harmless(d.key_field) + "\n";
  if (d.keep_age_ms != 0) out += "records are kept for " + duration_text(d.keep_age_ms) + "\n";
  if (d.keep_bytes != 0) out += "of each partition " + format_bytes(d.keep_bytes) + " are kept\n";
  if (!d.schema.empty()) {
    out += "\nfields:";
    for (const auto& f : d.schema) out += " " + harmless(f.name) + ":" + api::type_text(f);
    out += "\n";
  }
  out += "\n" + partition_table(d);
  if (const auto wrong = troubles(d); !wrong.empty()) out += "\n" + wrong;
  s.print(out);
  return done();
}

namespace {

outcome<void> datasets(session& s, const arguments&) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto items, client->items("/datasets"));
  show_items(s, items, dataset_columns);
  return done();
}

outcome<void> describe(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto value, client->get(dataset_path(given.words[0])));
  return show_dataset(s, value);
}

outcome<void> head(session& s, const arguments& given) {
  std::uint64_t count = 10;
  if (given.words.size() > 1) {
    TROUPE_TRY(count, read_number("head", given.words[1], 1, 10'000));
  }
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto answer, client->send(request_for(
                                    "GET", dataset_path(given.words[0]) + "/records?limit=" + std::to_string(count))));
  TROUPE_TRY(const auto items, json_lines(answer.body));
  show_records(s, items);
  return done();
}

/// --format, else what the file's name says, else what suits the dataset.
outcome<std::string> export_format(api_client& client, const std::string& name, const std::string& file,
                                   const arguments& given) {
  const auto asked = given.get("--format");
  if (!asked.empty()) {
    if (asked != "lines" && asked != "tsv" && asked != "csv" && asked != "json")
      return usage_failure("export --format is lines, tsv, csv or json, not \"" + asked + "\"");
    return asked;
  }
  const auto extension = std::filesystem::path(file).extension().string();
  if (extension == ".tsv") return std::string("tsv");
  if (extension == ".csv") return std::string("csv");
  if (extension == ".json" || extension == ".jsonl" || extension == ".ndjson") return std::string("json");
  TROUPE_TRY(const auto value, client.get(dataset_path(name)));
  return std::string(cell_text(member_at(value, "format"), shown_as::text, false) == "records" ? "tsv" : "lines");
}

/// A node that cannot go on in the middle of an export has no other way than to break off; why is in its events.
failure export_failure(api_client& client, const std::string& name, const failure& seen) {
  const auto value = client.get("/events?limit=10000");
  if (!value) return seen;
  const auto page = api_client::typed<api::list<api::event>>(*value, "events");
  if (!page) return seen;
  for (auto e = page->items.rbegin(); e != page->items.rend(); ++e)
    if (const auto of = e->fields.find("dataset"); e->kind == "export_failed" && of != e->fields.end())
      if (of->second == name) return failure(status::failed, e->text);
  return seen;
}

outcome<void> export_dataset(session& s, const arguments& given) {
  const auto split = split_at_to(given.words);
  if (split.before.size() != 1 || split.after.size() != 1)
    return usage_failure("export needs a dataset and a file: export NAME to FILE (- for standard output)");
  const auto& name = split.before[0];
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto format, export_format(*client, name, split.after[0], given));
  TROUPE_TRY(auto target, export_target::open(split.after[0]));
  progress line(s);
  auto request = request_for("GET", dataset_path(name) + "/export?format=" + format);
  request.body_sink = [&](bytes_view piece) {
    if (line.due())
      line.show("exporting " + name + ": " + format_bytes(target.bytes()) + rate_text(target.bytes(), line.seconds()));
    return target.write(piece);
  };
  const auto answer = client->send(std::move(request));
  line.clear();
  if (!answer && interrupts::pending())
    return failure(status::interrupted, "interrupted: " + split.after[0] + " was not written");
  if (!answer) return target.bytes() > 0 ? export_failure(*client, name, answer.error()) : failure(answer.error());
  TROUPE_TRY_VOID(target.finish());
  if (split.after[0] != "-")
    s.say("exported " + format_bytes(target.bytes()) + " to " + split.after[0] + " in " +
          format_duration(line.seconds()));
  return done();
}

outcome<void> delete_dataset(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  for (const auto& name : given.words) TROUPE_TRY_VOID(client->remove(dataset_path(name)));
  return done();
}

}  // namespace

std::vector<command> data_commands() {
  return {
      import_command(),
      create_command(),
      alter_command(),
      append_command(),
      {.name = "datasets",
       .group = "data",
       .usage = "datasets",
       .summary = "Lists the datasets",
       .example = "datasets",
       .run = datasets},
      {.name = "describe",
       .group = "data",
       .usage = "describe NAME",
       .summary = "Shows a dataset's partitions and where their copies are",
       .example = "describe corpus",
       .words_min = 1,
       .words_max = 1,
       .completes = word_kind::dataset,
       .run = describe},
      {.name = "head",
       .group = "data",
       .usage = "head NAME [N]",
       .summary = "Shows the first N records (10)",
       .example = "head counts 20",
       .words_min = 1,
       .words_max = 2,
       .completes = word_kind::dataset,
       .run = head},
      tail_command(),
      verify_command(),
      {.name = "export",
       .group = "data",
       .usage = "export NAME to FILE",
       .summary = "Writes a dataset to a file",
       .help = "- is standard output. The format is that of the file's extension, else tsv for records and lines for "
               "lines. "
               "The file appears whole or not at all.",
       .example = "export counts to counts.csv",
       .options = {{"--format", "lines|tsv|csv|json", "instead of what the extension says; json is one object a line"}},
       .words_min = 3,
       .words_max = 3,
       .completes = word_kind::dataset,
       .has_to = true,
       .completes_after_to = word_kind::file,
       .run = export_dataset},
      {.name = "delete",
       .group = "data",
       .usage = "delete NAME…",
       .summary = "Deletes datasets; a job that reads one goes on to its end",
       .example = "delete counts",
       .words_min = 1,
       .words_max = 1000,
       .completes = word_kind::dataset,
       .run = delete_dataset},
  };
}

}  // namespace troupe::shell
