#include <shell/command.hpp>
#include <shell/interrupts.hpp>
#include <shell/runner.hpp>
#include <shell/session.hpp>
#include <troupe/base/nearest.hpp>

namespace troupe::shell {
namespace {

failure unknown_word(const std::vector<std::string>& words) {
  std::vector<std::string> names;
  std::string below;  // of `module`: its second words
  for (const auto& c : all_commands()) {
    names.push_back(c.name);
    if (c.name.starts_with(words[0] + " ")) below += (below.empty() ? "" : ", ") + c.name;
  }
  if (!below.empty()) {
    const auto meant = words.size() > 1 ? nearest(words[0] + " " + words[1], names) : "";
    return usage_failure(words.size() > 1 ? "there is no command \"" + words[0] + " " + words[1] + "\"; " +
                                                (meant.empty() ? "there are " + below : "did you mean " + meant + "?")
                                          : words[0] + " needs a second word: " + below);
  }
  const auto meant = nearest(words[0], names);
  return usage_failure("there is no command \"" + words[0].substr(0, 64) + "\"; " +
                       (meant.empty() ? "`help` lists them" : "did you mean " + meant + "?"));
}

}  // namespace

outcome<void> run_command(session& s, command_line line) {
  std::size_t name_words = 0;
  const auto* c = find_command(line.words, name_words);
  if (c == nullptr) return unknown_word(line.words);
  line.words.erase(line.words.begin(), line.words.begin() + static_cast<std::ptrdiff_t>(name_words));
  TROUPE_TRY(auto given, read_arguments(c->name, c->options, std::move(line.words)));
  if (given.help) {
    s.print(help_text(*c));
    return done();
  }
  given.background = line.background;
  const auto usage = " (" + c->usage + "; `help " + c->name + "` says more)";
  if (given.words.size() < c->words_min) return usage_failure(c->name + ": something is missing" + usage);
  if (given.words.size() > c->words_max)
    return usage_failure(c->name + ": \"" + given.words[c->words_max] + "\" is too much" + usage);
  if (given.background && !c->background)
    return usage_failure(c->name + " cannot be put into the background with &; only run can");
  return c->run(s, given);
}

status run_text(session& s, std::string_view text, bool keep_going) {
  auto commands = split_commands(text);
  if (!commands) {
    s.report(usage_failure(commands.error().message()));
    return status::usage;
  }
  auto first = status::done;
  for (auto& line : *commands) {
    if (interrupts::pending()) return status::interrupted;
    const auto ran = run_command(s, std::move(line));
    if (s.quit) break;
    if (ran) continue;
    s.report(ran.error());
    if (first == status::done) first = ran.error().status;
    if (is_interruption(ran.error().status)) return ran.error().status;
    if (!keep_going) break;
  }
  return first;
}

}  // namespace troupe::shell
