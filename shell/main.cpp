#include <unistd.h>
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <clocale>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <shell/cluster/paths.hpp>
#include <shell/command.hpp>
#include <shell/interactive/loop.hpp>
#include <shell/interrupts.hpp>
#include <shell/runner.hpp>
#include <shell/session.hpp>
#include <troupe/base/version.hpp>

namespace troupe::shell {
namespace {

struct options {
  std::string output;
  std::string text;
  std::string file;
  bool has_text = false;
  bool help = false;
  bool version = false;
  std::vector<std::string> words;
};

/// Options before the first word are the program's own; what follows belongs to the command.
outcome<options> read_options(session& s, int argc, char** argv) {
  options out;
  CLI::App app("troupe");
  app.set_help_flag();
  app.prefix_command();
  app.add_flag("-h,--help", out.help);
  app.add_flag("--version", out.version);
  app.add_option("-o,--output", out.output);
  app.add_option("--cluster", s.cluster_option);
  auto* text = app.add_option("-c", out.text);
  app.add_option("-f", out.file)->excludes(text);
  app.add_flag("--keep-going", s.keep_going);
  std::vector<std::string> reversed;
  for (int i = argc - 1; i > 0; --i) reversed.emplace_back(argv[i]);
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& e) {
    return usage_failure(std::string(e.what()) + " (troupe --help shows the options)");
  }
  out.has_text = text->count() > 0;
  out.words = app.remaining();
  if (!out.words.empty() && out.words[0] == "--") out.words.erase(out.words.begin());
  if (!out.words.empty() && out.words[0].starts_with("-") && out.words[0].size() > 1)
    return usage_failure("there is no option " + out.words[0] + " before a command (troupe --help shows the options)");
  if (!out.words.empty() && (out.has_text || !out.file.empty()))
    return usage_failure("either a command, or -c, or -f: \"" + out.words[0] + "\" is too much");
  if (!out.output.empty()) TROUPE_TRY_VOID(s.settings.set("output", out.output));
  return out;
}

constexpr const char* usage_text =
    "troupe [OPTIONS] [WORD ARGUMENT…]\n\n"
    "Without a word: an interactive shell. Options, before the word:\n\n"
    "  -o, --output table|json|csv   how results are written\n"
    "  --cluster NAME|HOST:PORT      instead of TROUPE_CLUSTER and of the one in use\n"
    "  -c \"WORD …; WORD …\"           runs these commands; stops at the first that fails\n"
    "  -f FILE                       runs the commands in a file (- is standard input)\n"
    "  --keep-going                  does not stop at a command that fails\n"
    "  --version, --help\n\n"
    "Exit status: 0 done, 1 the command or job failed, 2 bad usage, 3 no cluster, 130 interrupted, 143 by SIGTERM, 129 "
    "by "
    "SIGHUP.\n\n";

/// One command from the program's own arguments: they are words already, quotes and all.
status run_words(session& s, std::vector<std::string> words) {
  command_line line;
  if (words.back() == "&") {
    line.background = true;
    words.pop_back();
    if (words.empty()) {
      s.report(usage_failure("there is no command before &"));
      return status::usage;
    }
  }
  line.words = std::move(words);
  const auto ran = run_command(s, std::move(line));
  if (ran) return status::done;
  s.report(ran.error());
  return ran.error().status;
}

status run_input(session& s) {
  const std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  return run_text(s, text, s.keep_going);
}

status run(int argc, char** argv) {
  session s;
  auto given = read_options(s, argc, argv);
  if (!given) {
    s.report(given.error());
    return given.error().status;
  }
  if (given->help) {
    s.print(usage_text + help_overview());
    return status::done;
  }
  if (given->version) {
    s.print(std::string("troupe ") + version_text + "\n");
    return status::done;
  }
  if (given->has_text) return run_text(s, given->text, s.keep_going);
  if (given->file == "-") return run_input(s);
  if (!given->file.empty()) {
    const auto text = paths::read_file(given->file, 16 << 20);
    if (!text) {
      s.report(text.error());
      return status::failed;
    }
    return run_text(s, *text, s.keep_going);
  }
  if (!given->words.empty()) return run_words(s, std::move(given->words));
  if (::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1) return run_interactively(s);
  return run_input(s);
}

}  // namespace
}  // namespace troupe::shell

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  std::setlocale(LC_NUMERIC, "C");  // numbers are written for programs too
  troupe::shell::interrupts::install();
  return static_cast<int>(troupe::shell::run(argc, argv));
}
