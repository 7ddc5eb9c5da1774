#include <actors/data/module_store.hpp>
#include <filesystem>
#include <fstream>
#include <support/catch.hpp>
#include <troupe/base/sha256.hpp>
#include <troupe/base/uuid.hpp>

using namespace troupe;

namespace {
struct folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("troupe-modules-" + uuid::random().short_string());
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};
}  // namespace

TEST_CASE("a module is stored under its hash and read back") {
  folder f;
  auto store = data::module_store::open(f.path);
  REQUIRE_OK(store);
  const auto hash = store->put("the bytes of a module");
  REQUIRE_OK(hash);
  CHECK(*hash == sha256_hex("the bytes of a module"));
  CHECK(store->has(*hash));
  CHECK(store->list() == std::vector<std::string>{*hash});
  const auto content = store->read(*hash);
  REQUIRE_OK(content);
  CHECK(*content == "the bytes of a module");
  REQUIRE_OK(store->put("the bytes of a module"));
  REQUIRE_OK(store->remove(*hash));
  CHECK(!store->has(*hash));
  REQUIRE_OK(store->remove(*hash));
}

TEST_CASE("a damaged module is noticed, removed, and replaced by the next put") {
  folder f;
  auto store = data::module_store::open(f.path);
  REQUIRE_OK(store);
  const auto hash = store->put("the bytes of a module");
  REQUIRE_OK(hash);
  const auto path = store->path(*hash);
  REQUIRE_OK(path);
  std::ofstream(*path, std::ios::binary) << "the bytes of a nodule";
  const auto content = store->read(*hash);
  REQUIRE(!content);
  CHECK(content.error().code() == errc::corrupted);
  CHECK(!store->has(*hash));
  std::ofstream(*path, std::ios::binary) << "the bytes of a nodule";
  REQUIRE_OK(store->put("the bytes of a module"));
  REQUIRE_OK(store->read(*hash));
}

TEST_CASE("bytes that are not the module asked for are refused") {
  folder f;
  auto store = data::module_store::open(f.path);
  REQUIRE_OK(store);
  const auto refused = store->put_verified(sha256_hex("one"), "another");
  REQUIRE(!refused);
  CHECK(refused.error().code() == errc::corrupted);
  CHECK(store->list().empty());
}

TEST_CASE("no name leads out of the folder, and what a crash left is removed") {
  folder f;
  std::filesystem::create_directories(f.path);
  std::ofstream(f.path / (std::string(64, 'a') + ".new")) << "half";
  auto store = data::module_store::open(f.path);
  REQUIRE_OK(store);
  CHECK(std::filesystem::is_empty(f.path));
  CHECK(!store->path("../../etc/passwd"));
  CHECK(!store->path(std::string(64, 'G')));
  CHECK(!store->read("x"));
}
