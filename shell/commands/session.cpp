#include <shell/cluster/paths.hpp>
#include <shell/commands/commands.hpp>
#include <shell/display/table.hpp>
#include <shell/interactive/history_file.hpp>
#include <shell/runner.hpp>
#include <shell/session.hpp>
#include <troupe/base/nearest.hpp>

namespace troupe::shell {
namespace {

constexpr int source_depth_max = 16;  ///< a file that sources itself must end somewhere

outcome<void> help(session& s, const arguments& given) {
  if (given.words.empty()) {
    s.print(help_overview());
    return done();
  }
  std::size_t name_words = 0;
  const auto* found = find_command(given.words, name_words);
  if (found != nullptr && name_words == given.words.size()) {
    s.print(help_text(*found));
    return done();
  }
  std::vector<std::string> names;
  std::string out, wanted = given.words[0] + (given.words.size() > 1 ? " " + given.words[1] : "");
  for (const auto& c : all_commands()) {
    names.push_back(c.name);
    if (given.words.size() == 1 && c.name.starts_with(wanted + " ")) out += (out.empty() ? "" : "\n") + help_text(c);
  }
  if (!out.empty()) {
    s.print(out);
    return done();
  }
  const auto meant = nearest(wanted, names);
  return usage_failure("there is no command \"" + wanted + "\"; " +
                       (meant.empty() ? "`help` lists them" : "did you mean " + meant + "?"));
}

outcome<void> history(session& s, const arguments& given) {
  TROUPE_TRY(auto lines, history_file::load());
  if (!given.words.empty()) {
    TROUPE_TRY(const auto count, read_number("history", given.words[0], 1, 1'000'000));
    if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  }
  if (s.settings.output == output_format::table) {
    std::string out;
    for (const auto& line : lines) out += line + "\n";
    s.print(out);
    return done();
  }
  boost::json::array items;
  for (const auto& line : lines) items.push_back(boost::json::object{{"line", line}});
  show_items(s, items, {{"LINE", "line"}});
  return done();
}

outcome<void> set(session& s, const arguments& given) {
  if (given.words.size() == 2) return s.settings.set(given.words[0], given.words[1]);
  if (given.words.size() == 1) return usage_failure("set takes a name and a value: set " + given.words[0] + " VALUE");
  boost::json::array items;
  for (const auto& [name, value] : s.settings.list())
    items.push_back(boost::json::object{{"name", name}, {"value", value}});
  show_items(s, items, {{"NAME", "name"}, {"VALUE", "value"}});
  return done();
}

outcome<void> source(session& s, const arguments& given) {
  if (s.source_depth >= source_depth_max)
    return failure(status::failed, given.words[0] + ": " + std::to_string(source_depth_max) +
                                       " files source each other already; does one source itself?");
  TROUPE_TRY(const auto text, paths::read_file(given.words[0], 16 << 20));
  ++s.source_depth;
  const auto ended = run_text(s, text, s.keep_going);
  --s.source_depth;
  if (ended == status::done) return done();
  return failure(ended,
                 given.words[0] + (s.keep_going ? ": a command failed" : ": stopped at the command that failed"));
}

outcome<void> quit(session& s, const arguments&) {
  s.quit = true;
  return done();
}

}  // namespace

std::vector<command> session_commands() {
  return {
      {.name = "help",
       .group = "session",
       .usage = "help [WORD]",
       .summary = "Lists the words, or explains one",
       .example = "help import",
       .words_max = 2,
       .completes = word_kind::word,
       .run = help},
      {.name = "history",
       .group = "session",
       .usage = "history [N]",
       .summary = "Shows the (last N) lines typed into the interactive shell",
       .example = "history 20",
       .words_max = 1,
       .run = history},
      {.name = "set",
       .group = "session",
       .usage = "set [NAME VALUE]",
       .summary = "Changes a setting of this session, or lists them",
       .help = "output: table, json or csv, as -o does. progress: on or off. consistency: stale reads what the node "
               "that is "
               "asked knows, which works while nobody leads the metadata; linearizable by default.",
       .example = "set output json",
       .words_max = 2,
       .completes = word_kind::setting,
       .run = set},
      {.name = "source",
       .group = "session",
       .usage = "source FILE",
       .summary = "Runs the commands in a file; stops at the first that fails",
       .example = "source nightly.troupe",
       .words_min = 1,
       .words_max = 1,
       .completes = word_kind::file,
       .run = source},
      {.name = "quit",
       .group = "session",
       .usage = "quit",
       .summary = "Leaves the shell; so does Ctrl-D",
       .help = "The cluster goes on; `down` stops it.",
       .example = "quit",
       .run = quit},
  };
}

}  // namespace troupe::shell
