#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <shell/commands/columns.hpp>
#include <shell/commands/commands.hpp>
#include <shell/commands/job_follow.hpp>
#include <shell/display/job_text.hpp>
#include <shell/display/progress.hpp>
#include <shell/interrupts.hpp>
#include <shell/session.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace json = boost::json;
namespace {

outcome<std::string> job_number(const std::string& text) {
  auto digits = text.starts_with("#") ? text.substr(1) : text;
  TROUPE_TRY(const auto number, read_number("a job's number", digits, 1, UINT64_MAX));
  return std::to_string(number);
}

/// What the end of a job means for the command that waited for it.
outcome<void> conclude(session& s, const seen_job& seen) {
  if (s.settings.output == output_format::table) {
    if (seen.job.state == api::job_state::succeeded) s.print(summary_text(seen.job) + "\n");
  } else {
    show_object(s, seen.raw, job_columns);
  }
  if (seen.job.state == api::job_state::succeeded) return done();
  return failure(status::failed, failure_text(seen.job));
}

outcome<api::job_request> read_run(const arguments& given) {
  const auto split = split_at_to(given.words);
  api::job_request request;
  std::vector<std::string> inputs, outputs;
  for (const auto* side : {&split.before, &split.after})
    for (const auto& word : *side) {
      const auto equals = word.find('=');
      if (equals == std::string::npos) {
        (side == &split.before ? inputs : outputs).push_back(word);
        continue;
      }
      const auto name = word.substr(0, equals);
      if (name.empty()) return usage_failure("run: a parameter is name=value, not \"" + word + "\"");
      if (!request.parameters.emplace(name, word.substr(equals + 1)).second)
        return usage_failure("run: parameter " + name + " is given twice");
    }
  const std::string usage = "run JOB INPUT… to OUTPUT… [name=value…]";
  if (inputs.size() < 2) return usage_failure("run needs a job and at least one dataset: " + usage);
  if (outputs.empty()) return usage_failure("run needs a name for what it makes: " + usage);
  request.job = inputs[0].substr(0, inputs[0].find('@'));
  if (inputs[0].size() > request.job.size()) request.module_hash = inputs[0].substr(request.job.size() + 1);
  request.inputs.assign(inputs.begin() + 1, inputs.end());
  request.output = outputs[0];
  request.more_outputs.assign(outputs.begin() + 1, outputs.end());
  request.replace = given.has("--replace");
  request.network = given.has("--network");
  TROUPE_TRY(const auto copies, given.number("--copies", 1, 100));
  request.copies = static_cast<std::uint32_t>(copies.value_or(0));
  return request;
}

/// What `run`, `wait` and `watch` say when they end and the job does not: by Ctrl-C (of the latter two), by SIGTERM and
/// SIGHUP (of all).
failure goes_on(const char* no_longer, const std::string& id) {
  const int by = interrupts::end_signal();
  const auto how = "job " + id + " goes on; `watch " + id + "` follows it, `cancel " + id + "` ends it";
  if (by == SIGTERM) return {status::terminated, "ended by SIGTERM; " + how};
  if (by == SIGHUP) return {status::hung_up, "ended by SIGHUP; " + how};
  return {status::interrupted, std::string(no_longer) + "; " + how};
}

/// Ctrl-C in `run`: the job is cancelled, and what it came to is said.
failure cancel_after_interrupt(session& s, api_client& client, const std::string& id) {
  interrupts::clear();
  client.ignore_interrupts();
  const auto cancelled = client.post("/jobs/" + id + "/cancel", {});
  s.forget_client();
  if (!cancelled)
    return {status::interrupted, "interrupted, but cancelling job " + id + " failed: " + cancelled.error().message +
                                     "; `cancel " + id + "` tries again"};
  const auto* state = member_at(*cancelled, "state");
  const auto ended = state != nullptr && state->is_string() ? std::string(state->get_string()) : "cancelled";
  return {status::interrupted, "job " + id + (ended == "cancelled" ? " was cancelled" : " had " + ended + " already")};
}

outcome<void> run(session& s, const arguments& given) {
  TROUPE_TRY(const auto request, read_run(given));
  TROUPE_TRY(auto* const client, s.client());
  const interrupts::end_is_told told;
  const auto accepted = client->post("/jobs", api::to_json(request));
  if (!accepted && accepted.error().status == status::interrupted)
    return failure(interrupts::end_signal() == SIGTERM  ? status::terminated
                   : interrupts::end_signal() == SIGHUP ? status::hung_up
                                                        : status::interrupted,
                   "interrupted before the cluster answered; `jobs` shows whether it has taken the job");
  if (!accepted) return accepted.error();
  TROUPE_TRY(const auto job, api_client::typed<api::job>(*accepted, "job"));
  const auto id = to_string(job.id);
  if (given.background) {
    if (s.settings.output != output_format::table) {
      show_object(s, *accepted, job_columns);
    } else {
      s.print("job " + id + "\n");
      s.say("`watch " + id + "` follows it, `wait " + id + "` waits for its end");
    }
    return done();
  }
  if (s.settings.output == output_format::table) s.say("job " + id);
  progress line(s);
  const auto ended = follow(*client, id, [&](const api::job& now) { line.show(progress_text(now)); });
  line.clear();
  if (ended) return conclude(s, *ended);
  if (ended.error().status == status::interrupted)
    return interrupts::end_signal() != 0 ? goes_on("", id) : cancel_after_interrupt(s, *client, id);
  return failure(ended.error().status, "job " + id + " goes on, but cannot be followed: " + ended.error().message);
}

outcome<void> jobs(session& s, const arguments&) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto items, client->items("/jobs"));
  show_items(s, items, job_columns);
  return done();
}

outcome<void> job(session& s, const arguments& given) {
  TROUPE_TRY(const auto id, job_number(given.words[0]));
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto value, client->get("/jobs/" + id));
  if (s.settings.output != output_format::table) {
    show_object(s, value, job_columns);
    return done();
  }
  show_object(s, value,
              {{"job", "id"},
               {"name", "name"},
               {"module", "module"},
               {"hash", "module_hash", shown_as::hash},
               {"state", "state"},
               {"inputs", "inputs", shown_as::list},
               {"outputs", "outputs", shown_as::list},
               {"parameters", "parameters"},
               {"created", "created_at", shown_as::time},
               {"started", "started_at", shown_as::time},
               {"finished", "finished_at", shown_as::time},
               {"supervisor on", "supervisor"},
               {"tasks", "tasks.total"},
               {"done", "tasks.done"},
               {"running", "tasks.running"},
               {"attempts", "attempts"},
               {"attempts lost", "lost_attempts"},
               {"task seconds lost", "lost_task_seconds"},
               {"input", "input_bytes", shown_as::bytes},
               {"input records", "input_records"},
               {"output records", "output_records"},
               {"counters", "counters"}});
  TROUPE_TRY(const auto read, api_client::typed<api::job>(value, "job"));
  s.print("\n" + stage_numbers_text(read));
  if (read.error) s.print("error          " + failure_text(read) + "\n");
  return done();
}

outcome<void> explain(session& s, const arguments& given) {
  api::plan_request request;
  request.job = given.words[0].substr(0, given.words[0].find('@'));
  if (given.words[0].size() > request.job.size()) request.module_hash = given.words[0].substr(request.job.size() + 1);
  request.inputs.assign(given.words.begin() + 1, given.words.end());
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto value, client->post("/jobs/plan", api::to_json(request)));
  if (s.settings.output == output_format::json) {
    show_object(s, value, {});
    return done();
  }
  TROUPE_TRY(const auto plan, api_client::typed<api::job_plan>(value, "plan"));
  if (s.settings.output == output_format::table) {
    s.print(plan_text(plan));
    return done();
  }
  const auto* stages = member_at(value, "stages");
  if (stages != nullptr && stages->is_array())
    show_items(s, stages->get_array(),
               {{"", "stage"},
                {"", "name"},
                {"", "tasks"},
                {"", "partitions"},
                {"", "reads", shown_as::list},
                {"", "writes"}});
  return done();
}

outcome<void> logs(session& s, const arguments& given) {
  TROUPE_TRY(const auto id, job_number(given.words[0]));
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto items, client->items("/jobs/" + id + "/logs"));
  if (s.settings.output != output_format::table) {
    show_items(s, items, {{"", "time"}, {"", "node"}, {"", "stage"}, {"", "task"}, {"", "attempt"}, {"", "text"}});
    return done();
  }
  std::string out;
  for (const auto& item : items) {
    const auto cell = [&](const char* member, shown_as how = shown_as::text) {
      return cell_text(member_at(item, member), how, true);
    };
    out += cell("time", shown_as::time) + "  " + cell("node") + "  stage " + cell("stage") + " task " + cell("task") +
           " attempt " + cell("attempt") + ": " + cell("text") + "\n";
  }
  s.print(out);
  return done();
}

outcome<void> wait(session& s, const arguments& given) {
  const interrupts::end_is_told told;
  TROUPE_TRY(auto* const client, s.client());
  for (const auto& word : given.words) {
    TROUPE_TRY(const auto id, job_number(word));
    progress line(s);
    const auto ended = follow(*client, id, [&](const api::job& now) { line.show(progress_text(now)); });
    line.clear();
    if (!ended && ended.error().status == status::interrupted) return goes_on("no longer waiting", id);
    if (!ended) return ended.error();
    TROUPE_TRY_VOID(conclude(s, *ended));
  }
  return done();
}

/// On a terminal the lines are drawn over each other; elsewhere they appear when they change.
outcome<void> watch(session& s, const arguments& given) {
  const interrupts::end_is_told told;
  TROUPE_TRY(const auto id, job_number(given.words[0]));
  TROUPE_TRY(auto* const client, s.client());
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && s.settings.output == output_format::table;
  std::string shown;
  const auto draw = [&](const api::job& now) {
    const auto text = stages_text(now);
    if (s.settings.output != output_format::table || text == shown) return;
    if (terminal && !shown.empty())
      s.print("\033[" + std::to_string(std::count(shown.begin(), shown.end(), '\n')) + "A\033[J");
    s.print(text);
    shown = text;
  };
  const auto ended = follow(*client, id, draw);
  if (!ended && ended.error().status == status::interrupted) return goes_on("no longer watching", id);
  if (!ended) return ended.error();
  draw(ended->job);
  return conclude(s, *ended);
}

outcome<void> cancel(session& s, const arguments& given) {
  TROUPE_TRY(auto* const client, s.client());
  json::array items;
  for (const auto& word : given.words) {
    TROUPE_TRY(const auto id, job_number(word));
    TROUPE_TRY(auto value, client->post("/jobs/" + id + "/cancel", {}));
    items.push_back(std::move(value));
  }
  if (items.size() == 1 && s.settings.output == output_format::json)
    show_object(s, items[0], job_columns);
  else
    show_items(s, items, job_columns);
  return done();
}

}  // namespace

std::vector<command> job_commands() {
  return {
      {.name = "run",
       .group = "jobs",
       .usage = "run JOB INPUT… to OUTPUT… [name=value…]",
       .summary = "Runs a job of a loaded module over datasets, and waits for its end",
       .help = "JOB@HASH takes a certain load of the module. Ctrl-C cancels the job. SIGTERM and SIGHUP (a script "
               "that is killed, a terminal that is closed) end `run` alone: it says that the job goes on. & at the "
               "end leaves it running and prints its number. OUTPUT appears whole when the job "
               "has succeeded, and not before; a job that writes several datasets needs a name for each, in its order "
               "(`explain` shows it), and all appear at once.",
       .example = "run word_count corpus to counts\nrun top_words corpus to top limit=20 --replace &",
       .options = {{"--replace", "", "OUTPUT may exist; the new one takes its place at the end"},
                   {"--network", "", "its code may use the network, where the nodes' owner does not forbid it"},
                   {"--copies", "R", "of the output; as the inputs have by default"}},
       .words_min = 2,
       .words_max = any_number,
       .completes = word_kind::job_name,
       .has_to = true,
       .completes_after_to = word_kind::dataset,
       .background = true,
       .run = run},
      {.name = "jobs",
       .group = "jobs",
       .usage = "jobs",
       .summary = "Lists the jobs, the newest first",
       .example = "jobs",
       .run = jobs},
      {.name = "job",
       .group = "jobs",
       .usage = "job ID",
       .summary = "Shows a job",
       .example = "job 7",
       .words_min = 1,
       .words_max = 1,
       .completes = word_kind::job_id,
       .run = job},
      {.name = "explain",
       .group = "jobs",
       .usage = "explain JOB INPUT…",
       .summary = "Shows what a job would do: its stages, and where data moves",
       .help = "Nothing is run. Where the same job has run over the same inputs, what it saw then is shown beside it.",
       .example = "explain word_count corpus",
       .words_min = 2,
       .words_max = any_number,
       .completes = word_kind::job_name,
       .run = explain},
      {.name = "logs",
       .group = "jobs",
       .usage = "logs ID",
       .summary = "Shows what a job's module logged",
       .example = "logs 7",
       .words_min = 1,
       .words_max = 1,
       .completes = word_kind::job_id,
       .run = logs},
      {.name = "wait",
       .group = "jobs",
       .usage = "wait ID…",
       .summary = "Waits for the end of jobs",
       .help =
           "The exit status is 1 when one failed or was cancelled. Ctrl-C, SIGTERM and SIGHUP stop waiting, not the "
           "job.",
       .example = "wait 7",
       .words_min = 1,
       .words_max = 1000,
       .completes = word_kind::job_id,
       .run = wait},
      {.name = "watch",
       .group = "jobs",
       .usage = "watch ID",
       .summary = "Shows a job's stages while it runs",
       .help = "Ctrl-C, SIGTERM and SIGHUP stop watching, not the job.",
       .example = "watch 7",
       .words_min = 1,
       .words_max = 1,
       .completes = word_kind::job_id,
       .run = watch},
      {.name = "cancel",
       .group = "jobs",
       .usage = "cancel ID…",
       .summary = "Stops jobs",
       .help = "Nothing of their output appears.",
       .example = "cancel 7",
       .words_min = 1,
       .words_max = 1000,
       .completes = word_kind::job_id,
       .run = cancel},
  };
}

}  // namespace troupe::shell
