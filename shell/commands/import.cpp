#include <charconv>
#include <shell/commands/import_source.hpp>
#include <shell/commands/log_commands.hpp>
#include <shell/commands/records.hpp>
#include <shell/display/progress.hpp>
#include <shell/display/table.hpp>
#include <shell/interrupts.hpp>
#include <shell/session.hpp>
#include <troupe/api/datasets.hpp>
#include <troupe/api/schema_text.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace json = boost::json;
namespace {

/// The query of the request, and how the files are to be read.
struct import_order {
  std::string query;
  import_reading how;
  bool records = false;
};

outcome<import_order> read_order(const arguments& given) {
  import_order out;
  TROUPE_TRY(const auto copies, given.number("--copies", 1, 100));
  TROUPE_TRY(const auto partitions, given.number("--partitions", 1, 4096));
  const bool of_csv = given.has("--header") || given.has("--delimiter");
  const auto format = given.get("--format", of_csv ? "csv" : "lines");
  out.records = format == "csv" || format == "json";
  if (of_csv && format != "csv") return usage_failure("--header and --delimiter are for --format csv");
  out.how.counts_lines = out.records;
  out.how.header = given.has("--header");
  out.query = "?format=" + transport::percent_encode(format);
  if (out.how.header) out.query += "&header=true";
  for (const auto* option : {"--delimiter", "--schema", "--on-error"}) {
    if (!given.has(option)) continue;
    if (!out.records) return usage_failure(std::string(option) + " is for --format csv or json");
    auto text = given.get(option);
    if (std::string_view(option) == "--schema") {
      TROUPE_TRY(const auto fields, read_schema(text));
      text = api::schema_text(schema{fields});
    }
    const std::string name = std::string_view(option) == "--on-error" ? "on_error" : option + 2;
    out.query += "&" + name + "=" + transport::percent_encode(text);
  }
  if (copies) out.query += "&copies=" + std::to_string(*copies);
  if (partitions) out.query += "&partitions=" + std::to_string(*partitions);
  if (given.has("--replace")) out.query += "&replace=true";
  return out;
}

/// «line 12: …» of the whole text, said of the file that it is in.
std::string with_file(const std::string& message, const import_source& source) {
  constexpr std::string_view word = "line ";
  const auto begin = message.find(word);
  if (begin == std::string::npos) return message;
  std::uint64_t line = 0;
  const auto* const digits = message.data() + begin + word.size();
  const auto read = std::from_chars(digits, message.data() + message.size(), line);
  if (read.ec != std::errc() || line == 0) return message;
  return message.substr(0, begin) + source.place_of_line(line) + std::string(read.ptr, message.data() + message.size());
}

void say_what_came(session& s, const api::dataset& made) {
  if (!made.schema.empty()) s.say("fields: " + harmless(api::schema_text(schema{made.schema})));
  for (const auto& note : made.notes) s.say(harmless(note));
}

outcome<void> import(session& s, const arguments& given) {
  const auto split = split_at_to(given.words);
  if (split.before.empty() || split.after.size() != 1)
    return usage_failure("import needs sources and one name: import SOURCE… to NAME");
  const auto& name = split.after[0];
  TROUPE_TRY_VOID(check_name("dataset", name));
  TROUPE_TRY(const auto order, read_order(given));
  TROUPE_TRY(auto source, import_source::open(split.before, order.how));
  TROUPE_TRY(auto* const client, s.client());
  json::value made;
  {
    progress line(s);
    auto request = request_for("POST", dataset_path(name) + order.query);
    request.content_type = "application/octet-stream";
    request.read_time_max = std::chrono::minutes(10);  // the last segments are sealed on every disk before the answer
    request.body_bytes = source.bytes_total();
    request.body_source = [&](std::span<char> out) {
      auto read = source.read_some(out);
      if (line.due()) {
        const auto bytes = source.bytes_read(), total = source.bytes_total().value_or(0);
        auto text = "importing " + name + ": " + format_bytes(bytes);
        if (total != 0) text += " of " + format_bytes(total) + " (" + std::to_string(bytes * 100 / total) + " %)";
        line.show(text + rate_text(bytes, line.seconds()));
      }
      return read;
    };
    auto answer = client->send(std::move(request));
    if (!answer && interrupts::pending())
      return failure(status::interrupted, "interrupted: " + name + " was not imported");
    if (!answer) {
      auto why = answer.error();
      if (order.records) why.message = with_file(why.message, source);
      return why;
    }
    TROUPE_TRY(made, api::detail::parse(answer->body, "answer"));
    line.clear();
    s.say("imported " + format_bytes(source.bytes_read()) + " to " + name + " in " + format_duration(line.seconds()) +
          rate_text(source.bytes_read(), line.seconds()));
    if (order.records) {
      TROUPE_TRY(const auto dataset, api_client::typed<api::dataset>(made, "dataset"));
      say_what_came(s, dataset);
    }
  }
  return s.settings.output == output_format::table ? done() : show_dataset(s, made);
}

}  // namespace

command import_command() {
  return {
      .name = "import",
      .group = "data",
      .usage = "import SOURCE… to NAME",
      .summary = "Makes a dataset of files",
      .help =
          "- is standard input. gzip and zstd files are read as they were. Several files become one dataset in "
          "their order; one that does not end with a new line gets one. The dataset appears whole or not at all.\n\n"
          "A record is a line of text; or with --format csv or json a typed record, of a row or of an object a "
          "line. Its schema is read off the first rows and printed, unless it is given. With a header, columns go "
          "by their names, and those that the schema does not have are left out. A row that is no record ends the "
          "import, with its file, line and column; with --on-error skip such rows become the dataset NAME_rejected.",
      .example = "import visits.csv.gz to visits --format csv --header --schema 'user:string, seconds:float64?'",
      .options = {{"--format", "lines|csv|json", "what a record is; lines by default, csv with one of the next two"},
                  {"--header", "", "csv: the first row of each file has the names of the columns"},
                  {"--delimiter", "C", "csv: what stands between cells; a comma by default, tab for tabs"},
                  {"--schema", "S", "names and types of the fields, or @FILE with them"},
                  {"--on-error", "fail|skip", "what a row does that is no record: fail by default"},
                  {"--copies", "R", "of every segment, on different nodes; 2 by default, 1 on a single node"},
                  {"--partitions", "P", "how many parts; by default as the size asks for"},
                  {"--replace", "", "takes the place of an existing dataset"}},
      .words_min = 3,
      .words_max = any_number,
      .completes = word_kind::file,
      .has_to = true,
      .completes_after_to = word_kind::dataset,
      .run = import};
}

}  // namespace troupe::shell
