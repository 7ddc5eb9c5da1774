#include <algorithm>
#include <filesystem>
#include <shell/commands/commands.hpp>
#include <shell/commands/export_target.hpp>
#include <shell/commands/import_source.hpp>
#include <shell/display/progress.hpp>
#include <shell/display/table.hpp>
#include <shell/interrupts.hpp>
#include <shell/session.hpp>
#include <troupe/api/actors.hpp>
#include <troupe/api/datasets.hpp>
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

std::string path_of(const std::string& name) { return "/datasets/" + transport::percent_encode(name); }

outcome<void> check_dataset_name(const std::string& name) {
  TROUPE_TRY_VOID(check_name("dataset", name));
  return done();
}

std::string rate(std::uint64_t bytes, double seconds) {
  return seconds > 0 ? ", " + format_bytes(static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds)) + "/s"
                     : "";
}

/// `describe` for people: the dataset, then its partitions.
void show_dataset(session& s, const json::value& value) {
  if (s.settings.output == output_format::csv) {
    json::array rows;
    if (const auto* partitions = member_at(value, "partitions"); partitions != nullptr && partitions->is_array())
      for (std::size_t i = 0; i < partitions->get_array().size(); ++i) {
        auto row = partitions->get_array()[i];
        if (row.is_object()) row.get_object()["partition"] = i;
        rows.push_back(std::move(row));
      }
    return show_items(s, rows, {{"", "partition"}, {"", "records"}, {"", "bytes"}, {"", "copies", shown_as::list}});
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
  if (s.settings.output == output_format::json) return;
  std::string out;
  if (const auto* fields = member_at(value, "schema");
      fields != nullptr && fields->is_array() && !fields->get_array().empty()) {
    out += "\nfields:";
    for (const auto& field : fields->get_array())
      out += " " + cell_text(member_at(field, "name"), shown_as::text, true) + ":" +
             cell_text(member_at(field, "type"), shown_as::text, true);
    out += "\n";
  }
  std::vector<std::vector<std::string>> rows{{"PARTITION", "RECORDS", "BYTES", "SEGMENTS", "COPIES ON"}};
  if (const auto* partitions = member_at(value, "partitions"); partitions != nullptr && partitions->is_array())
    for (const auto& p : partitions->get_array()) {
      const auto* segments = member_at(p, "segments");
      rows.push_back({std::to_string(rows.size() - 1), cell_text(member_at(p, "records"), shown_as::text, true),
                      cell_text(member_at(p, "bytes"), shown_as::bytes, true),
                      segments != nullptr && segments->is_array() ? std::to_string(segments->get_array().size()) : "-",
                      cell_text(member_at(p, "copies"), shown_as::list, true)});
    }
  s.print(out + "\n" + aligned(rows, {true, true, true, true, false}));
}

outcome<void> import(session& s, const arguments& given) {
  const auto split = split_at_to(given.words);
  if (split.before.empty() || split.after.size() != 1)
    return usage_failure("import needs sources and one name: import SOURCE… to NAME");
  const auto& name = split.after[0];
  TROUPE_TRY_VOID(check_dataset_name(name));
  TROUPE_TRY(const auto copies, given.number("--copies", 1, 100));
  TROUPE_TRY(const auto partitions, given.number("--partitions", 1, 4096));
  const auto format = given.get("--format", "lines");
  TROUPE_TRY(auto source, import_source::open(split.before, format != "bytes"));
  std::string query = "?format=" + transport::percent_encode(format);
  if (copies) query += "&copies=" + std::to_string(*copies);
  if (partitions) query += "&partitions=" + std::to_string(*partitions);
  if (given.has("--replace")) query += "&replace=true";

  TROUPE_TRY(auto* const client, s.client());
  json::value made;
  {
    progress line(s);
    auto request = request_for("POST", path_of(name) + query);
    request.content_type = "application/octet-stream";
    request.read_time_max = std::chrono::minutes(10);  // the last segments are sealed on every disk before the answer
    request.body_bytes = source.bytes_total();
    request.body_source = [&](std::span<char> out) {
      auto read = source.read_some(out);
      if (line.due()) {
        const auto bytes = source.bytes_read(), total = source.bytes_total().value_or(0);
        auto text = "importing " + name + ": " + format_bytes(bytes);
        if (total != 0) text += " of " + format_bytes(total) + " (" + std::to_string(bytes * 100 / total) + " %)";
        line.show(text + rate(bytes, line.seconds()));
      }
      return read;
    };
    auto answer = client->send(std::move(request));
    if (!answer && interrupts::pending())
      return failure(status::interrupted, "interrupted: " + name + " was not imported");
    if (!answer) return answer.error();
    TROUPE_TRY(made, api::detail::parse(answer->body, "answer"));
    line.clear();
    s.say("imported " + format_bytes(source.bytes_read()) + " to " + name + " in " + format_duration(line.seconds()) +
          rate(source.bytes_read(), line.seconds()));
  }
  if (s.settings.output != output_format::table) show_dataset(s, made);
  return done();
}

outcome<void> datasets(session& s, const arguments&) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto items, client->items("/datasets"));
  show_items(s, items, dataset_columns);
  return done();
}

outcome<void> describe(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto value, client->get(path_of(given.words[0])));
  show_dataset(s, value);
  return done();
}

outcome<void> head(session& s, const arguments& given) {
  std::uint64_t count = 10;
  if (given.words.size() > 1) {
    TROUPE_TRY(count, read_number("head", given.words[1], 1, 10'000));
  }
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto answer,
             client->send(request_for("GET", path_of(given.words[0]) + "/records?limit=" + std::to_string(count))));
  json::array items;
  for (std::size_t begin = 0; begin < answer.body.size();) {
    const auto end = std::min(answer.body.find('\n', begin), answer.body.size());
    if (end > begin) {
      TROUPE_TRY(auto item, api::detail::parse(std::string_view(answer.body).substr(begin, end - begin), "record"));
      items.push_back(std::move(item));
    }
    begin = end + 1;
  }
  // Records of a struct have columns of their own; lines are shown as they are.
  const auto* first = items.empty() ? nullptr : member_at(items[0], "record");
  if (s.settings.output == output_format::table && first != nullptr && first->is_string()) {
    std::string out;
    for (const auto& item : items) out += cell_text(member_at(item, "record"), shown_as::text, true) + "\n";
    s.print(out);
    return done();
  }
  std::vector<std::string> names;
  std::vector<column> columns{{"PARTITION", "partition"}, {"OFFSET", "offset"}};
  if (first != nullptr && first->is_object()) {
    for (const auto& [field, value] : first->get_object()) names.push_back("record." + std::string(field));
    for (const auto& path : names) columns.push_back({path.c_str() + 7, path.c_str()});
  } else {
    columns.push_back({"RECORD", "record"});
  }
  show_items(s, items, columns);
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
  TROUPE_TRY(const auto value, client.get(path_of(name)));
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
  auto request = request_for("GET", path_of(name) + "/export?format=" + format);
  request.body_sink = [&](bytes_view piece) {
    if (line.due())
      line.show("exporting " + name + ": " + format_bytes(target.bytes()) + rate(target.bytes(), line.seconds()));
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
  for (const auto& name : given.words) TROUPE_TRY_VOID(client->remove(path_of(name)));
  return done();
}

}  // namespace

std::vector<command> data_commands() {
  return {
      {.name = "import",
       .group = "data",
       .usage = "import SOURCE… to NAME",
       .summary = "Makes a dataset of files",
       .help = "- is standard input. Several files become one dataset in their order; one that does not end with a new "
               "line "
               "gets one. The dataset appears whole or not at all.",
       .example = "import access.log access.log.1 to clicks --copies 2",
       .options = {{"--format", "lines|bytes", "what a record is: a line (default), or any bytes"},
                   {"--copies", "R", "of every segment, on different nodes; 2 by default, 1 on a single node"},
                   {"--partitions", "P", "how many parts; by default as the size asks for"},
                   {"--replace", "", "takes the place of an existing dataset"}},
       .words_min = 3,
       .words_max = any_number,
       .completes = word_kind::file,
       .has_to = true,
       .completes_after_to = word_kind::dataset,
       .run = import},
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
