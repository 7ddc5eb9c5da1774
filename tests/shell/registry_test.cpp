#include <shell/cluster/registry.hpp>
#include <support/catch.hpp>

using namespace troupe::shell;

TEST_CASE("clusters.toml survives the way through text") {
  registry written;
  written.current = "local";
  auto& local = written.clusters["local"];
  local.name = "local";
  local.id = "5d3c";
  local.addresses = {"127.0.0.1:1", "127.0.0.1:2"};
  local.token_file = "/home/a \"b\"/tok\\en";
  local.data = "/data";
  local.authority_file = "/data/ca.crt";
  local.access_file = "/data/access-token";
  local.listen = "10.0.0.5";
  local.tls = "always";
  local.hosts = {"node4 me@far /home/me/a config"};
  written.clusters["odd.name-2"].name = "odd.name-2";
  const auto read = registry::parse(written.to_text(), "clusters.toml");
  REQUIRE_OK(read);
  CHECK(read->current == "local");
  REQUIRE(read->clusters.size() == 2);
  CHECK(read->to_text() == written.to_text());
  CHECK(read->find("local")->token_file == "/home/a \"b\"/tok\\en");
  CHECK(read->find("local")->authority_file == "/data/ca.crt");
  CHECK(read->find("local")->access_file == "/data/access-token");
  CHECK(read->find("local")->listen == "10.0.0.5");
  CHECK(read->find("local")->tls == "always");
  CHECK(read->find("local")->hosts == std::vector<std::string>{"node4 me@far /home/me/a config"});
  CHECK(read->find_by_address("127.0.0.1:2") == read->find("local"));
  CHECK(read->find_by_address("127.0.0.1:3") == nullptr);
  CHECK(read->find("none") == nullptr);
}

TEST_CASE("a file written by hand is read, and keys of a newer version are passed over") {
  const auto read = registry::parse(
      "# mine\ncurrent = \"a\"  # yes\nfuture = 3\n\n[cluster.a]\naddresses = [ \"x:1\" , \"y:2\" ]\nmood = \"good\"\n",
      "f");
  REQUIRE_OK(read);
  CHECK(read->find("a")->addresses.size() == 2);
}

TEST_CASE("a wrong line is named") {
  const auto message = [](const char* text) {
    const auto read = registry::parse(text, "f");
    REQUIRE_FALSE(read);
    return read.error().message();
  };
  CHECK(message("current = 3\n") == "f:1: expected a string in double quotes");
  CHECK(message("\n[cluster]\n") == "f:2: expected [cluster.NAME]");
  CHECK(message("[cluster.a\n") == "f:1: expected ] and the end of the line");
  CHECK(message("current \"x\"") == "f:1: expected =");
  CHECK(message("[cluster.a]\naddresses = [\"x\" \"y\"]") == "f:2: expected a comma or ]");
  CHECK(message("current = \"x") == "f:1: expected the end of the string");
  CHECK(message("current = \"x\" y") == "f:1: expected the end of the line");
}
