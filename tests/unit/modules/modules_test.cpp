#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <support/catch.hpp>
#include <troupe/modules/inspect.hpp>
#include <troupe/modules/load.hpp>
#include <troupe/sdk/abi_tag.hpp>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

const std::string inspector = BUILT "/inspector";
std::string broken(const std::string& kind) { return BUILT "/broken_" + kind + ".so"; }

struct folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("troupe-modules-" + std::to_string(::getpid()));
  folder() { std::filesystem::create_directories(path); }
  ~folder() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name, const std::string& content) const {
    std::ofstream(path / name, std::ios::binary) << content;
    return path / name;
  }
};

/// The code and every piece of the sentence.
template <class T>
void refused(const result<T>& r, errc code, std::initializer_list<const char*> words) {
  REQUIRE(r.has_error());
  CHECK(to_string(r.error().code()) == to_string(code));
  for (const auto* w : words) {
    INFO("the sentence is: " << r.error().message());
    CHECK(r.error().message().find(w) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("modules: a file that is no module is refused without being loaded") {
  const folder at;
  refused(modules::check_file("/nowhere/x.so"), errc::not_found, {"/nowhere/x.so", "No such file"});
  refused(modules::check_file("/usr"), errc::invalid_argument, {"/usr is not a file", "module build"});
  refused(modules::check_file(at.file("empty.so", "")), errc::invalid_argument, {"not a shared library"});
  refused(modules::check_file(at.file("text.so", std::string(1000, 'x'))), errc::invalid_argument,
          {"not a shared library", "module build FILE.cpp"});
  std::ifstream real(broken("no_table"), std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(real), {});
  REQUIRE(bytes.size() > 1000);
  bytes[18] = 3;  // e_machine: a 386
  refused(modules::check_file(at.file("other.so", bytes)), errc::invalid_argument, {"another kind of processor"});
  bytes[18] = 62;
  bytes[16] = 1;  // e_type: an object file
  refused(modules::check_file(at.file("object.so", bytes)), errc::invalid_argument, {"not a shared library"});
  bytes[16] = 3;
  const auto cut = at.file("cut.so", bytes.substr(0, 200));
  CHECK(modules::check_file(cut));
  refused(modules::inspect(inspector, cut), errc::invalid_argument, {cut.c_str(), "cannot be loaded"});
}

TEST_CASE("modules: every wrong library has a sentence of its own") {
  refused(modules::inspect(inspector, broken("no_table")), errc::invalid_argument, {"no troupe module", "TROUPE_JOB"});
  refused(modules::inspect(inspector, broken("other_abi")), errc::unsupported,
          {"gcc 3", TROUPE_ABI_TAG, "build it again"});
  refused(modules::inspect(inspector, broken("other_version")), errc::unsupported,
          {"another version", "build it again"});
  refused(modules::inspect(inspector, broken("no_jobs")), errc::invalid_argument, {"has no job"});
  refused(modules::inspect(inspector, broken("bad_name")), errc::invalid_argument, {"not a name for a job", "No Name"});
  refused(modules::inspect(inspector, broken("twice")), errc::invalid_argument, {"two jobs named job"});
}

TEST_CASE("modules: a module that dies while it is looked at costs a child, not this process") {
  refused(modules::inspect(inspector, broken("crashes")), errc::user_code, {"was killed by signal 6 (Aborted)"});
  refused(modules::inspect(inspector, broken("exits")), errc::user_code, {"ended with status 7"});
  refused(modules::inspect(inspector, broken("hangs"), 300ms), errc::user_code,
          {"did not finish loading within 300 ms"});
}

TEST_CASE("modules: what a module prints does not mix with the answer") {
  const auto described = modules::inspect(inspector, broken("prints"));
  REQUIRE_OK(described);
  CHECK(described->abi == sdk::abi_tag);
  REQUIRE(described->jobs.size() == 1);
  CHECK(described->jobs[0].name == "job");
  CHECK(described->jobs[0].stages == 1);
}

TEST_CASE("modules: without the worker's program nothing can be inspected, and it says so") {
  refused(modules::inspect("/nowhere/troupe-worker", broken("prints")), errc::unavailable,
          {"/nowhere/troupe-worker", "No such file"});
}

TEST_CASE("modules: a description survives its JSON, and rubbish does not") {
  modules::module_description out{"abi", {}};
  out.jobs.push_back({"one",
                      data_format::records,
                      {{{"a", field_type::list, {{"", field_type::int8, {}}}}}},
                      data_format::records,
                      {{{"quote\"", field_type::string, {}}}},
                      2,
                      classic_stages(2),
                      {{data_format::lines, {}}, {data_format::records, {{{"x", field_type::int8, {}}}}}}});
  out.jobs.push_back({"two",
                      data_format::bytes,
                      {},
                      data_format::records,
                      {},
                      2,
                      {{"read", {{{{edge_kind::dataset, 1, 0}}}, {{{edge_kind::dataset, 0, 0}}}}, 2},
                       {"join", {{{{edge_kind::broadcast, 0, 1}, {edge_kind::forward, 0, 0}}}}, 0}}});
  const auto back = modules::parse_json(modules::to_json(out));
  REQUIRE_OK(back);
  CHECK(*back == out);
  refused(modules::parse_json(modules::to_json(error{errc::unsupported, "words"})), errc::unsupported, {"words"});
  for (
      const auto* text :
      {"", "{", "[]", "{}", R"({"abi":1,"jobs":[]})", R"({"abi":"x","jobs":[1]})",
       R"({"abi":"x","jobs":[{"name":"x"}]})", R"({"error":"x"})",
       R"({"abi":"x","jobs":[{"name":"x","input_format":"tables","input_schema":[],"output_format":"lines","output_schema":[],"stages":1,"shape":[],"inputs":[]}]})",
       R"({"abi":"x","jobs":[{"name":"x","input_format":"lines","input_schema":[],"output_format":"lines","output_schema":[],"stages":1,"shape":[{"name":"map","partitions":0,"branches":[[{"kind":"up","from":0,"partition":0}]]}],"inputs":[]}]})"})
    refused(modules::parse_json(text), errc::corrupted, {"does not parse"});
}

TEST_CASE("modules: a schema as deep as schemas may be can be described, a name with a zero within cannot") {
  field deep{"x", field_type::uint8, {}};
  for (int level = 1; level < 16; ++level) deep = field{"f", field_type::optional, {deep}};
  modules::module_description out;
  out.jobs.push_back({"deep", data_format::records, {{deep}}, data_format::lines, {{deep}}, 1, classic_stages(1)});
  const auto back = modules::parse_json(modules::to_json(out));
  REQUIRE_OK(back);
  CHECK(*back == out);
  refused(modules::parse_json(R"({"error":{"code":"internal\u0000ly","message":"x"}})"), errc::corrupted,
          {"does not parse"});
}

TEST_CASE("modules: a file's hash is its content's") {
  const folder at;
  const auto hash = modules::hash_file(at.file("abc", "abc"));
  REQUIRE_OK(hash);
  CHECK(*hash == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  refused(modules::hash_file((at.path / "none").string()), errc::not_found, {"No such file"});
  refused(modules::hash_file(at.path.string()), errc::invalid_argument, {"is not a file"});
  const auto large = at.file("large", "");
  std::filesystem::resize_file(large, (64 << 20) + 1);
  refused(modules::hash_file(large), errc::resource_exhausted, {"more than a module may have"});
}
