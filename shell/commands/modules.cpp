#include <filesystem>
#include <shell/cluster/paths.hpp>
#include <shell/commands/commands.hpp>
#include <shell/display/table.hpp>
#include <shell/session.hpp>
#include <troupe/api/modules.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/base/text.hpp>
#include <troupe/modules/build.hpp>

namespace troupe::shell {
namespace fs = std::filesystem;
namespace {

const std::vector<column> module_columns{{"NAME", "name"},
                                         {"HASH", "hash", shown_as::hash},
                                         {"JOBS", "job_names", shown_as::list},
                                         {"SIZE", "size_bytes", shown_as::bytes},
                                         {"LOADED", "loaded_at", shown_as::time},
                                         {"NODES", "nodes", shown_as::list}};

/// Tables and CSV show the jobs by name; JSON is the API's own.
void show_modules(session& s, boost::json::array items) {
  if (s.settings.output != output_format::json) {
    for (auto& item : items) {
      boost::json::array names;
      if (const auto* jobs = member_at(item, "jobs"); jobs != nullptr && jobs->is_array())
        for (const auto& job : jobs->get_array())
          if (const auto* name = member_at(job, "name")) names.push_back(*name);
      if (item.is_object()) item.get_object()["job_names"] = std::move(names);
    }
  }
  show_items(s, items, module_columns);
}

outcome<void> list_modules(session& s, const arguments&) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(auto items, client->items("/modules"));
  show_modules(s, std::move(items));
  return done();
}

outcome<void> build_module(session& s, const arguments& given) {
  modules::build_request request;
  request.sources = given.words;
  request.output = given.get("--output", fs::path(given.words[0]).stem().string() + ".so");
  if (given.has("--compiler")) request.compiler = given.get("--compiler");
  TROUPE_TRY_VOID(modules::build(request));
  s.say("built " + request.output + " (`module load " + request.output + "` loads it)");
  return done();
}

outcome<void> load_module(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  boost::json::array loaded;
  for (const auto& file : given.words) {
    const auto name = given.get("--name", fs::path(file).stem().string());
    if (const auto good = check_name("module", name); !good)
      return failure(status::failed, good.error().message() + "; give it one with --name");
    std::error_code failed;
    if (fs::is_directory(file, failed)) return failure(status::failed, file + " is a directory, not a module");
    if (fs::exists(file, failed) && !fs::is_regular_file(file, failed))
      return failure(status::failed, file + " is no regular file: a module is a shared object");
    auto request = request_for("POST", "/modules?name=" + transport::percent_encode(name));
    TROUPE_TRY(request.body, paths::read_file(file, limits::http_body_bytes_max));
    request.content_type = "application/octet-stream";
    const auto answer = client->send(std::move(request));
    if (!answer) return failure(answer.error().status, file + ": " + answer.error().message);
    TROUPE_TRY(auto item, api::detail::parse(answer->body, "answer"));
    loaded.push_back(std::move(item));
  }
  show_modules(s, std::move(loaded));
  s.say("kept where NODES says; other nodes fetch it when they get a task of it");
  return done();
}

outcome<void> delete_module(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  for (const auto& name : given.words) TROUPE_TRY_VOID(client->remove("/modules/" + transport::percent_encode(name)));
  return done();
}

}  // namespace

std::vector<command> module_commands() {
  return {
      {.name = "module build",
       .group = "modules",
       .usage = "module build FILE.cpp…",
       .summary = "Compiles a module with the SDK that came with this shell",
       .help = "The compiler's words are shown as they are. The result has the first file's name, in the current "
               "directory.",
       .example = "module build word_count.cpp",
       .options = {{"--output", "FILE.so", "where to write it"},
                   {"--compiler", "PROGRAM", "another than $CXX or the one that built troupe"}},
       .words_min = 1,
       .words_max = 1000,
       .completes = word_kind::file,
       .run = build_module},
      {.name = "module load",
       .group = "modules",
       .usage = "module load FILE.so…",
       .summary = "Loads modules into the cluster, so that their jobs can be run",
       .help = "A module is known by its content's SHA-256; loading another content under the same name makes it the "
               "newest, "
               "and `run JOB@HASH` still runs the older one.",
       .example = "module load word_count.so",
       .options = {{"--name", "NAME", "instead of the file's name without .so"}},
       .words_min = 1,
       .words_max = 100,
       .completes = word_kind::file,
       .run = load_module},
      {.name = "module delete",
       .group = "modules",
       .usage = "module delete NAME…",
       .summary = "Deletes every load of a module; refused while a job runs it",
       .example = "module delete word_count",
       .words_min = 1,
       .words_max = 100,
       .completes = word_kind::module,
       .run = delete_module},
      {.name = "modules",
       .group = "modules",
       .usage = "modules",
       .summary = "Lists the loaded modules and their jobs",
       .example = "modules",
       .run = list_modules},
  };
}

}  // namespace troupe::shell
