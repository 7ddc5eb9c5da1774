#include <support/catch.hpp>
#include <troupe/api/logs.hpp>
#include <troupe/api/schema_text.hpp>

using namespace troupe;

TEST_CASE("a request to make or change a dataset refuses what it does not know") {
  const auto made = api::from_text<api::dataset_options>(
      R"({"format":"records","schema":[{"name":"user","type":"string"}],"key_field":"user","partitions":4,"sync":"seal"})",
      "options", api::unknown_members::refused);
  REQUIRE_OK(made);
  CHECK(made->format == data_format::records);
  CHECK(made->schema == std::vector<field>{{"user", field_type::string, {}}});
  CHECK(made->partitions == 4);
  CHECK(made->copies == 0);
  CHECK(made->sync == api::sync_policy::seal);
  const auto typo =
      api::from_text<api::dataset_options>(R"({"partitons":4})", "options", api::unknown_members::refused);
  REQUIRE_FALSE(typo);
  CHECK(typo.error().message() == R"(options: there is no member "partitons")");
  const auto changes =
      api::from_text<api::dataset_changes>(R"({"keep_bytes":0})", "changes", api::unknown_members::refused);
  REQUIRE_OK(changes);
  CHECK(changes->keep_bytes == 0u);
  CHECK_FALSE(changes->copies);
  CHECK_FALSE(api::from_text<api::dataset_changes>(R"({"sync":"never"})", "changes", api::unknown_members::refused));
}

TEST_CASE("an append is answered by a list, and a partial one by a problem that says what is durable") {
  std::vector<api::appended_part> parts{{partition_index(1), record_offset(7), 3, false}};
  CHECK(api::to_text(parts) == R"([{"partition":1,"first_offset":7,"count":3,"duplicate":false}])");
  api::append_problem problem;
  problem.durable = parts;
  const auto value = api::to_json(problem);
  CHECK(value.at("status").to_number<int>() == 503);
  CHECK(value.at("durable").get_array().size() == 1);
  CHECK(value.get_object().contains("detail"));
}

TEST_CASE("schemas are written and read as text") {
  const auto* text = "user:string, at:int64, tags:[string?], note:string?, place:{lat:float64, deep:{x:boolean}}?";
  const auto read = api::parse_schema(text);
  REQUIRE_OK(read);
  REQUIRE(read->fields.size() == 5);
  CHECK(read->fields[2] ==
        field{"tags", field_type::list, {{"", field_type::optional, {{"", field_type::string, {}}}}}});
  CHECK(read->fields[3] == field{"note", field_type::optional, {{"", field_type::string, {}}}});
  CHECK(read->fields[4].children[0].children[1].children[0] == field{"x", field_type::boolean, {}});
  CHECK(api::schema_text(*read) == text);
  const auto shorthand = api::parse_schema(" a : int,b:float ,c:bool\n");
  REQUIRE_OK(shorthand);
  CHECK(api::schema_text(*shorthand) == "a:int64, b:float64, c:boolean");
}

TEST_CASE("a schema that cannot be read says where") {
  const auto why = [](const std::string& text) {
    const auto read = api::parse_schema(text);
    REQUIRE_FALSE(read);
    CHECK(read.error().code() == errc::invalid_argument);
    return read.error().message();
  };
  CHECK(why("") == "schema, character 1: expected a field's name, found its end");
  CHECK(why("user") == "schema, character 5: expected a colon and the type of field user, found its end");
  CHECK(why("user:strin").starts_with("schema, character 6: expected a type (boolean"));
  CHECK(why("a:optional").starts_with("schema, character 3: expected a type"));
  CHECK(why("a:int,") == "schema, character 7: expected a field's name, found its end");
  CHECK(why("a:[int") == "schema, character 7: expected ] after the type of the list's elements, found its end");
  CHECK(why("a:int b:int") == "schema, character 7: expected a comma, or the end, found \"b:int\"");
  CHECK(why("a:{b:int").find("or } after the last field") != std::string::npos);
  CHECK(why("a:" + std::string(10'000, '[')).find("nested too deep") != std::string::npos);
}
