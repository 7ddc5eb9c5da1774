#include <shell/command.hpp>
#include <shell/language/arguments.hpp>
#include <shell/language/duration.hpp>
#include <shell/language/lexer.hpp>
#include <support/catch.hpp>
#include <troupe/base/nearest.hpp>

using namespace troupe;
using namespace troupe::shell;
using words = std::vector<std::string>;

namespace {
words only(std::string_view text) {
  const auto commands = split_commands(text);
  REQUIRE_OK(commands);
  REQUIRE(commands->size() == 1);
  return commands->front().words;
}
}  // namespace

TEST_CASE("words are quoted as in a POSIX shell") {
  CHECK(only("import a b to c") == words{"import", "a", "b", "to", "c"});
  CHECK(only("  x\t 'a b'  ") == words{"x", "a b"});
  CHECK(only(R"(x "a \"b\" \\ \n $c *")") == words{"x", R"(a "b" \ \n $c *)"});
  CHECK(only(R"(x a\ b \'c\' \;)") == words{"x", "a b", "'c'", ";"});
  CHECK(only("x a'b'\"c\"d ''") == words{"x", "abcd", ""});
  CHECK(only("x a#b # a comment") == words{"x", "a#b"});
  CHECK(only("x a\\\nb") == words{"x", "ab"});
  CHECK(only("x 'two\nlines'") == words{"x", "two\nlines"});
  CHECK(only("x grün→") == words{"x", "grün→"});
}

TEST_CASE("commands end with ; & and new lines") {
  const auto commands = split_commands("a 1; b 2 & c\n\n# nothing\nd;;");
  REQUIRE_OK(commands);
  REQUIRE(commands->size() == 4);
  CHECK((*commands)[0].words == words{"a", "1"});
  CHECK_FALSE((*commands)[0].background);
  CHECK((*commands)[1].words == words{"b", "2"});
  CHECK((*commands)[1].background);
  CHECK((*commands)[2].words == words{"c"});
  CHECK((*commands)[3].words == words{"d"});
  CHECK(split_commands("")->empty());
}

TEST_CASE("what never ends is refused, and asked for more by an interactive shell") {
  CHECK(split_commands("a\nx 'y").error().message() == "the quote ' opened in line 2 is never closed");
  CHECK_FALSE(split_commands("x \"y"));
  CHECK_FALSE(split_commands("x \\"));
  CHECK_FALSE(split_commands("&"));
  CHECK_FALSE(split_commands("a; & b"));
  CHECK(is_incomplete("x 'y"));
  CHECK(is_incomplete("x \\"));
  CHECK_FALSE(is_incomplete("x 'y'"));
}

TEST_CASE("a word written as one would type it reads back as itself") {
  for (const std::string word : {"plain", "", "a b", "it's", "\"", "\\", "a;b", "#x", "a&b", "new\nline", "$x*"}) {
    INFO(word);
    CHECK(only("x " + as_typed(word)) == words{"x", word});
  }
}

TEST_CASE("the word under the cursor is found for completion") {
  const auto middle = last_word("nodes; import a 'b c");
  CHECK(middle.before == words{"import", "a"});
  CHECK(middle.text == "b c");
  CHECK(middle.begins_at == 16);
  CHECK(middle.quote == '\'');
  const auto fresh = last_word("import a ");
  CHECK(fresh.before == words{"import", "a"});
  CHECK(fresh.text.empty());
  CHECK(fresh.begins_at == 9);
  CHECK(last_word("import\\ x").text == "import x");
}

TEST_CASE("the nearest word is suggested, and none when none is near") {
  std::vector<std::string> names;
  for (const auto& c : all_commands()) names.push_back(c.name);
  CHECK(nearest("nodse", names) == "nodes");
  CHECK(nearest("imprt", names) == "import");
  CHECK(nearest("exprot", names) == "export");
  CHECK(nearest("desc", names) == "describe");
  CHECK(nearest("xyzzy", names).empty());
  CHECK(nearest("", names).empty());
}

TEST_CASE("options stand anywhere, and what is wrong is a usage failure") {
  const std::vector<option> options{{"--copies", "R", ""}, {"--replace", "", ""}};
  const auto read = read_arguments("import", options, {"a", "--copies", "2", "-", "to", "b", "--replace"});
  REQUIRE(read.has_value());
  CHECK(read->words == words{"a", "-", "to", "b"});
  CHECK(read->get("--copies") == "2");
  CHECK(read->has("--replace"));
  CHECK(**read->number("--copies", 1, 9) == 2);
  CHECK(read->number("--copies", 3, 9).error().status == status::usage);
  CHECK(read_arguments("import", options, {"--copies=3"})->get("--copies") == "3");
  CHECK(read_arguments("import", options, {"a", "--", "--copies"})->words == words{"a", "--copies"});
  CHECK(read_arguments("run", options, {"j", "a", "to", "b", "x=-1", "y=--z"})->words.size() == 6);
  CHECK(read_arguments("import", options, {"-h"})->help);
  for (const words& wrong :
       {words{"--copy", "2"}, words{"--copies"}, words{"--copies", "1", "--copies", "2"}, words{"-x"}}) {
    const auto refused = read_arguments("import", options, wrong);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().status == status::usage);
    CHECK(refused.error().message.find("import") != std::string::npos);
  }
  const auto meant = read_arguments("import", options, {"--copie=2"});
  CHECK(meant.error().message.find("did you mean --copies?") != std::string::npos);
}

TEST_CASE("to names a destination") {
  const auto split = split_at_to({"a", "b", "to", "c"});
  CHECK(split.before == words{"a", "b"});
  CHECK(split.after == words{"c"});
  CHECK_FALSE(split_at_to({"a"}).has_to);
}

TEST_CASE("every word has a summary, an example that is itself, and a function") {
  for (const auto& c : all_commands()) {
    INFO(c.name);
    CHECK_FALSE(c.summary.empty());
    CHECK(c.run != nullptr);
    const auto examples = split_commands(c.example);
    REQUIRE_OK(examples);
    for (const auto& example : *examples) {
      std::size_t taken = 0;
      CHECK(find_command(example.words, taken) == &c);
      const auto given = read_arguments(
          c.name, c.options, {example.words.begin() + static_cast<std::ptrdiff_t>(taken), example.words.end()});
      REQUIRE(given.has_value());
      CHECK(given->words.size() >= c.words_min);
      CHECK(given->words.size() <= c.words_max);
    }
  }
}

TEST_CASE("the words of this issue are there") {
  for (const std::string word :
       {"up",          "down",          "clusters", "use",      "connect",  "nodes", "spawn",  "start",  "kill",
        "pause",       "resume",        "import",   "datasets", "describe", "head",  "export", "delete", "module build",
        "module load", "module delete", "modules",  "run",      "jobs",     "job",   "logs",   "wait",   "watch",
        "cancel",      "tree",          "events",   "help",     "history",  "set",   "source", "quit"}) {
    INFO(word);
    std::size_t taken = 0;
    const auto space = word.find(' ');
    const auto* found = find_command(
        space == std::string::npos ? words{word} : words{word.substr(0, space), word.substr(space + 1)}, taken);
    REQUIRE(found != nullptr);
    CHECK(found->name == word);
  }
}

TEST_CASE("times have units") {
  CHECK(*read_duration("--keep-age", "7d") == 7LL * 24 * 3600 * 1000);
  CHECK(*read_duration("--keep-age", "1d12h") == 36LL * 3600 * 1000);
  CHECK(*read_duration("--keep-age", "30min") == *read_duration("--keep-age", "30m"));
  CHECK(*read_duration("--keep-age", "1s500ms") == 1500);
  CHECK(*read_duration("--keep-age", "2w") == 14LL * 24 * 3600 * 1000);
  for (const auto* wrong : {"", "7", "d", "7x", "7d3", "-7d", "7 d", "99999999999999999999d", "9223372036854775807w"}) {
    INFO(wrong);
    const auto read = read_duration("--keep-age", wrong);
    REQUIRE_FALSE(read.has_value());
    CHECK(read.error().status == status::usage);
    CHECK(read.error().message.starts_with("--keep-age"));
  }
  CHECK(duration_text(36LL * 3600 * 1000) == "1 d 12 h");
  CHECK(duration_text(90'500) == "1 min 30 s 500 ms");
  CHECK(duration_text(0) == "0 s");
}
