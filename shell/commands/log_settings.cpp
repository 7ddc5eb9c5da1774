#include <algorithm>
#include <boost/describe/enum_from_string.hpp>
#include <shell/cluster/paths.hpp>
#include <shell/commands/log_commands.hpp>
#include <shell/commands/records.hpp>
#include <shell/display/table.hpp>
#include <shell/language/duration.hpp>
#include <shell/session.hpp>
#include <troupe/api/logs.hpp>
#include <troupe/api/schema_text.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace json = boost::json;
outcome<std::vector<field>> read_schema(const std::string& text) {
  std::string content = text;
  if (text.starts_with("@")) {
    TROUPE_TRY(content, paths::read_file(text.substr(1), 1 << 20));
  }
  const auto read = api::parse_schema(content);
  if (!read) return usage_failure(read.error().message());
  return read->fields;
}

namespace {

/// Options that create and alter share, put into the body.
outcome<void> read_settings(const arguments& given, json::object& body) {
  TROUPE_TRY(const auto copies, given.number("--copies", 1, 16));
  if (copies) body["copies"] = *copies;
  TROUPE_TRY(const auto min_copies, given.number("--min-copies", 1, 16));
  if (min_copies) body["min_copies"] = *min_copies;
  if (given.has("--sync")) {
    const auto sync = given.get("--sync");
    if (sync != "batch" && sync != "seal")
      return usage_failure("--sync is batch (on the disks before it is acknowledged) or seal, not \"" + sync + "\"");
    body["sync"] = sync;
  }
  if (given.has("--keep-age")) {
    const auto age = given.get("--keep-age");
    if (age == "forever") {
      body["keep_age_ms"] = 0;
    } else {
      TROUPE_TRY(const auto ms, read_duration("--keep-age", age));
      if (ms == 0) return usage_failure("--keep-age of nothing keeps nothing: write forever to keep all");
      body["keep_age_ms"] = ms;
    }
  }
  if (given.has("--keep-bytes")) {
    const auto size = given.get("--keep-bytes");
    if (size == "all") {
      body["keep_bytes"] = 0;
    } else {
      const auto bytes = parse_bytes(size);
      if (!bytes) return usage_failure("--keep-bytes: " + bytes.error().message());
      if (*bytes == 0) return usage_failure("--keep-bytes of nothing keeps nothing: write all to keep all");
      body["keep_bytes"] = *bytes;
    }
  }
  return done();
}

outcome<json::value> send(session& s, const char* method, const std::string& name, const json::object& body) {
  TROUPE_TRY(auto* const client, s.client());
  auto request = request_for(method, dataset_path(name));
  request.content_type = "application/json";
  request.body = json::serialize(body);
  TROUPE_TRY(const auto answer, client->send(std::move(request)));
  TROUPE_TRY(auto value, api::detail::parse(answer.body, "answer"));
  return value;
}

/// The dataset for programs; a sentence for people.
outcome<void> show(session& s, const json::value& value, const char* what_happened) {
  if (s.settings.output != output_format::table) {
    show_object(s, value,
                {{"", "name"},
                 {"", "format"},
                 {"", "copies"},
                 {"", "min_copies"},
                 {"", "sync"},
                 {"", "key_field"},
                 {"", "keep_age_ms"},
                 {"", "keep_bytes"}});
    return done();
  }
  TROUPE_TRY(const auto d, api_client::typed<api::dataset>(value, "dataset"));
  const auto count = [](std::size_t n, const char* one, const char* more) {
    return std::to_string(n) + " " + (n == 1 ? one : more);
  };
  s.say(std::string(what_happened) + " " + d.name + ": " + count(d.partitions.size(), "partition", "partitions") +
        ", " + count(d.copies, "copy", "copies") + " (at least " + std::to_string(d.min_copies) + " to append)" +
        (d.key_field.empty() ? "" : ", by " + d.key_field) +
        (d.keep_age_ms == 0 ? "" : ", kept for " + duration_text(d.keep_age_ms)) +
        (d.keep_bytes == 0 ? "" : ", " + format_bytes(d.keep_bytes) + " of each partition kept"));
  for (const auto& note : d.notes) s.say(harmless(note));
  return done();
}

outcome<void> create(session& s, const arguments& given) {
  const auto& name = given.words[0];
  TROUPE_TRY_VOID(check_name("dataset", name));
  json::object body;
  TROUPE_TRY_VOID(read_settings(given, body));
  TROUPE_TRY(const auto partitions, given.number("--partitions", 1, 4096));
  if (partitions) body["partitions"] = *partitions;
  auto format = given.get("--format", given.has("--schema") ? "records" : "lines");
  data_format known{};
  if (!boost::describe::enum_from_string(format.c_str(), known))
    return usage_failure("--format is lines, records or bytes, not \"" + format + "\"");
  if (known == data_format::records && !given.has("--schema"))
    return usage_failure("records need a schema: --schema 'user:string, count:uint32'");
  if (known != data_format::records && given.has("--schema"))
    return usage_failure("a schema makes a dataset of records, not of " + format + ": leave one of them out");
  body["format"] = format;
  if (given.has("--schema")) {
    TROUPE_TRY(const auto fields, read_schema(given.get("--schema")));
    body["schema"] = api::to_json(fields);
  }
  if (given.has("--key")) body["key_field"] = given.get("--key");
  TROUPE_TRY(const auto value, send(s, "PUT", name, body));
  return show(s, value, "created");
}

outcome<void> alter(session& s, const arguments& given) {
  const auto& name = given.words[0];
  json::object body;
  TROUPE_TRY_VOID(read_settings(given, body));
  if (given.has("--add")) {
    TROUPE_TRY(const auto added, read_schema(given.get("--add")));
    TROUPE_TRY(auto* const client, s.client());
    TROUPE_TRY(auto has, client->get_as<api::dataset>(dataset_path(name), "dataset"));
    has.schema.insert(has.schema.end(), added.begin(), added.end());
    body["schema"] = api::to_json(has.schema);
  }
  if (body.empty()) return usage_failure("alter: say what shall change (`help alter` lists what can)");
  TROUPE_TRY(const auto value, send(s, "PATCH", name, body));
  return show(s, value, "altered");
}

const std::vector<option> settings_options{
    {"--copies", "R", "of every segment, on different nodes; 2 by default, 1 on a single node"},
    {"--min-copies", "M", "with fewer live nodes to write to, appends are refused; R-1 by default, at least 1"},
    {"--sync", "batch|seal",
     "batch: on the disks before it is acknowledged (default); seal: written, on the disks soon"},
    {"--keep-age", "T", "records older than that go: 7d, 12h; forever is the default"},
    {"--keep-bytes", "SIZE", "of each partition, the oldest go first: 10GiB; all is the default"}};

}  // namespace

command create_command() {
  command c{.name = "create",
            .group = "data",
            .usage = "create NAME",
            .summary = "Makes an empty dataset, to be appended to",
            .help =
                "Without a schema its records are lines of text. A schema is NAME:TYPE, …: string, boolean, int64, "
                "uint32, float64 and the like, [TYPE] for a list, {NAME:TYPE, …} for a record in it, TYPE? for what "
                "may be absent; @FILE reads it from a file. Records with the same key stay in order in one "
                "partition.",
            .example =
                "create clicks --partitions 4 --copies 3 --keep-age 7d\n"
                "create visits --schema 'user:string, page:string, seconds:float64?' --key user --partitions 8",
            .options = {{"--format", "lines|records|bytes", "what a record is; records with a schema, else lines"},
                        {"--schema", "S", "names and types of the fields"},
                        {"--key", "FIELD", "chooses a record's partition; otherwise they are spread evenly"},
                        {"--partitions", "P", "how many logs; 1 by default, and so it stays"}},
            .words_min = 1,
            .words_max = 1,
            .run = create};
  c.options.insert(c.options.end(), settings_options.begin(), settings_options.end());
  return c;
}

command alter_command() {
  command c{.name = "alter",
            .group = "data",
            .usage = "alter NAME",
            .summary = "Changes how a dataset is kept",
            .help =
                "Another number of copies counts for what is appended from now on; older segments are copied, or "
                "copies given up, in the background. Imported datasets can be altered too.",
            .example = "alter clicks --copies 3 --keep-age 30d",
            .options = settings_options,
            .words_min = 1,
            .words_max = 1,
            .completes = word_kind::dataset,
            .run = alter};
  c.options.push_back({"--add", "FIELDS", "more fields at the schema's end, optional ones: 'referrer:string?'"});
  return c;
}

}  // namespace troupe::shell
