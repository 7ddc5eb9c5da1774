#include <shell/interactive/history_file.hpp>
#include <shell/interactive/line_editor.hpp>
#include <shell/interactive/loop.hpp>
#include <shell/interrupts.hpp>
#include <shell/language/lexer.hpp>
#include <shell/runner.hpp>
#include <shell/session.hpp>
#include <troupe/base/version.hpp>

namespace troupe::shell {
namespace {

std::string prompt_of(session& s) {
  const auto cluster = s.cluster();
  return "troupe" + (cluster ? " " + cluster->name : " (no cluster)") + "> ";
}

}  // namespace

status run_interactively(session& s) {
  s.interactive = true;
  line_editor editor([&s](std::string_view text) { return complete(s, text); });
  std::string last;
  if (const auto lines = history_file::load()) {
    for (const auto& line : *lines) editor.remember(line);
    if (!lines->empty()) last = lines->back();
  }
  s.say(std::string("troupe ") + version_text + "; `help` lists the words, Tab completes, Ctrl-D leaves");
  auto ended = status::done;
  std::string text;  // of a command that goes on over several lines
  bool history_works = true;
  while (!s.quit) {
    const auto line = editor.read(text.empty() ? prompt_of(s) : "> ");
    if (!line) break;
    if (line->interrupted) {
      text.clear();
      ended = status::interrupted;
      continue;
    }
    text += (text.empty() ? "" : "\n") + line->text;
    if (is_incomplete(text)) continue;
    if (text.find_first_not_of(" \t\n") != std::string::npos) {
      if (text != last && text.front() != ' ') {
        editor.remember(text);
        if (const auto kept = history_file::append(text); !kept && history_works) {
          history_works = false;
          s.say("troupe: history is not kept: " + kept.error().message());
        }
        last = text;
      }
      interrupts::clear();
      ended = run_text(s, text, s.keep_going);
      if (interrupts::end_signal() != 0) break;
      interrupts::clear();
    }
    text.clear();
  }
  return ended;
}

}  // namespace troupe::shell
