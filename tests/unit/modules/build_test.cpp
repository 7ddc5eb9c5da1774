#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <support/catch.hpp>
#include <troupe/modules/build.hpp>
#include <troupe/modules/inspect.hpp>
#include <troupe/modules/load.hpp>

using namespace troupe;

namespace {

struct scratch {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("troupe-build-" + std::to_string(::getpid()));
  scratch() { std::filesystem::create_directories(path); }
  ~scratch() { std::filesystem::remove_all(path); }
};

/// Runs f while standard error goes to a file; gives its text.
template <class F>
std::string captured_stderr(const std::filesystem::path& file, F&& f) {
  const int kept = ::dup(2);
  FILE* const out = std::fopen(file.c_str(), "w");
  REQUIRE(out != nullptr);
  ::dup2(::fileno(out), 2);
  f();
  ::dup2(kept, 2);
  ::close(kept);
  std::fclose(out);
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("build: the word count of examples becomes a module that can be inspected, loaded and run") {
  const scratch at;
  const std::string module = at.path / "word_count.so";
  REQUIRE_OK(modules::build({{SOURCES "/examples/word_count/word_count.cpp"}, module, "", "", {"-O0"}}));
  const auto described = modules::inspect(BUILT "/inspector", module);
  REQUIRE_OK(described);
  REQUIRE(described->jobs.size() == 1);
  modules::job_info wanted{"word_count",
                           data_format::lines,
                           {},
                           data_format::records,
                           {{{"word", field_type::string, {}}, {"count", field_type::uint64, {}}}},
                           2,
                           classic_stages(2)};
  wanted.parameters.emplace();  // it takes none, and says so
  CHECK(described->jobs[0] == wanted);
  const auto loaded = modules::loaded_module::load(module);
  REQUIRE_OK(loaded);
  const auto job = loaded->find_job("word_count");
  REQUIRE_OK(job);
  CHECK(std::string((*job)->stages[1].name) == "reduce");
  const auto other = loaded->find_job("words");
  REQUIRE(other.has_error());
  CHECK(other.error().message() == "no job words in " + module + "; it has word_count");
  CHECK(std::distance(std::filesystem::directory_iterator(at.path), {}) == 1);  // nothing unfinished stays
}

TEST_CASE("build: the compiler's words come through, and an old module stays") {
  const scratch at;
  const std::string source = at.path / "bad.cpp", module = at.path / "bad.so";
  std::ofstream(source) << "#include <troupe/sdk.hpp>\nint x = undeclared_name;\n";
  std::ofstream(module) << "the old one";
  result<void> built = ok();
  const auto words = captured_stderr(at.path / "stderr", [&] {
    built = modules::build({{source}, module, "", "", {}});
  });
  REQUIRE(built.has_error());
  CHECK(built.error().code() == errc::invalid_argument);
  CHECK(built.error().message().find("bad.cpp does not compile") != std::string::npos);
  CHECK(words.find("undeclared_name") != std::string::npos);
  CHECK(std::filesystem::file_size(module) == 11);
}

TEST_CASE("build: what is missing is named") {
  const scratch at;
  const std::string source = at.path / "x.cpp";
  const auto refused = [](const result<void>& r, errc code, const char* words) {
    REQUIRE(r.has_error());
    CHECK(r.error().code() == code);
    CHECK(r.error().message().find(words) != std::string::npos);
  };
  refused(modules::build({{}, "x.so", "", "", {}}), errc::invalid_argument, "name a C++ source file");
  refused(modules::build({{source}, "x.so", "", "", {}}), errc::not_found, "x.cpp: No such file");
  std::ofstream(source) << "int x;\n";
  refused(modules::build({{source}, "", "", "", {}}), errc::invalid_argument, "no name for the module");
  refused(modules::build({{source}, at.path / "x.so", "no-such-compiler", "", {}}), errc::not_found, "install g++");
  refused(modules::build({{source}, at.path / "x.so", "", at.path, {}}), errc::not_found, "has no troupe/sdk.hpp");
}

TEST_CASE("build: nothing of this machine's processor goes into a module") {
  const scratch at;
  const std::string source = at.path / "x.cpp";
  std::ofstream(source) << "int x;\n";
  const auto command = modules::build_command({{source}, "x.so", "g++", "", {"-DMINE"}});
  REQUIRE_OK(command);
  const auto has = [&](const std::string& word) {
    return std::find(command->begin(), command->end(), word) != command->end();
  };
  for (const auto* word : {"-shared", "-fPIC", "-O2", "-fno-gnu-unique", "-DMINE"}) CHECK(has(word));
  for (const auto& word : *command) CHECK(word.rfind("-march", 0) != 0);
  const auto clang = modules::build_command({{source}, "x.so", "clang++-14", "", {}});
  REQUIRE_OK(clang);
  CHECK(std::find(clang->begin(), clang->end(), "-fno-gnu-unique") == clang->end());
}
