#include "data_cluster.hpp"

using namespace data_test;

namespace {
data::import_options named(std::string name) {
  data::import_options options;
  options.dataset = std::move(name);
  return options;
}
std::size_t alternative_of_abort() { return metadata::command(metadata::abort_import{}).index(); }
}  // namespace

TEST_CASE("an import appears whole, with copies on different nodes, and is exported as it was") {
  data_cluster cluster(3);
  const auto text = some_lines(40'000);
  auto options = named("corpus");
  options.size_bytes = text.size();
  options.partitions = 5;
  const auto done = cluster.import(0, options, text, 100'000);
  REQUIRE_OK(done);
  CHECK(done->records == 40'000);
  CHECK(done->bytes == text.size());
  CHECK(done->partitions == 5);
  const auto dataset = cluster.dataset("corpus");
  CHECK(dataset.copies == 2);
  REQUIRE(dataset.partitions.size() == 5);
  std::uint64_t records = 0;
  std::set<member_id> holders;
  for (const auto& p : dataset.partitions) {
    REQUIRE(p.segments.size() == 1);
    const auto& s = p.segments.front();
    CHECK(s.holders.size() == 2);
    CHECK(s.bytes <= text.size() / 5 + 1000);
    CHECK(s.bytes + 1000 >= text.size() / 5);
    holders.insert(s.holders.begin(), s.holders.end());
    records += s.records;
    for (int i = 0; i < 3; ++i) {
      const bool held = std::find(s.holders.begin(), s.holders.end(), cluster[i].id) != s.holders.end();
      CHECK(held == std::filesystem::exists(cluster[i].segment_path(s.id)));
      if (!held) continue;
      const auto opened = cluster[i].segments.open(s.id);
      REQUIRE_OK(opened);
      REQUIRE_OK(opened->verify());
      CHECK(opened->summary().digest == s.digest);
      CHECK(opened->header().replica == cluster[i].id);
      CHECK(opened->header().dataset == dataset.id);
    }
  }
  CHECK(records == 40'000);
  CHECK(holders.size() == 3);
  for (int i = 0; i < 3; ++i) {
    const auto exported = cluster.export_all(i, "corpus");
    REQUIRE_OK(exported);
    CHECK(*exported == text);
  }
}

TEST_CASE("an empty input gives a dataset of no records") {
  data_cluster cluster(1);
  const auto done = cluster.import(0, named("nothing"), "");
  REQUIRE_OK(done);
  CHECK(done->records == 0);
  const auto dataset = cluster.dataset("nothing");
  CHECK(dataset.copies == 1);
  const auto exported = cluster.export_all(0, "nothing");
  REQUIRE_OK(exported);
  CHECK(exported->empty());
  CHECK(cluster[0].segment_files() == 0);
}

TEST_CASE("a last record without a newline gets one, and several sources do not run into each other") {
  data_cluster cluster(1);
  auto started = cluster.start_import(0, named("text"));
  REQUIRE_OK(started);
  REQUIRE_OK(cluster.await((*started)->write("one\ntwo")));
  REQUIRE_OK(cluster.await((*started)->end_of_source()));
  REQUIRE_OK(cluster.await((*started)->write("three")));
  const auto done = cluster.await((*started)->finish());
  REQUIRE_OK(done);
  CHECK(done->records == 3);
  const auto exported = cluster.export_all(0, "text");
  REQUIRE_OK(exported);
  CHECK(*exported == "one\ntwo\nthree\n");
}

TEST_CASE("input of unknown size with partitions asked for gives as many, in order") {
  data_cluster cluster(1);
  const auto text = some_lines(1000);
  auto options = named("text");
  options.partitions = 3;
  const auto done = cluster.import(0, options, text);
  REQUIRE_OK(done);
  CHECK(done->partitions == 3);
  const auto exported = cluster.export_all(0, "text");
  REQUIRE_OK(exported);
  CHECK(*exported == text);
}

TEST_CASE("a record that is too long ends the import with its offset and leaves nothing") {
  data_cluster cluster(2);
  auto started = cluster.start_import(0, named("binary"));
  REQUIRE_OK(started);
  auto& importer = **started;
  REQUIRE_OK(cluster.await(importer.write(some_lines(20'000))));
  const auto offset = importer.progress().bytes;
  const bytes zeros(1 << 20, 'x');
  result<void> written = ok();
  for (int i = 0; i < 65 && written; ++i) written = cluster.await(importer.write(zeros));
  REQUIRE(!written);
  CHECK(written.error().code() == errc::invalid_argument);
  CHECK(written.error().message().find("byte " + std::to_string(offset) + " ") != std::string::npos);
  const auto finished = cluster.await(importer.finish());
  CHECK(!finished);
  CHECK(data_cluster::eventually([&] { return cluster[0].segment_files() == 0 && cluster[1].segment_files() == 0; }));
  CHECK(!cluster[0].plane->open_dataset("binary"));
}

TEST_CASE("a client that stops half-way leaves nothing, and the name is free again") {
  data_cluster cluster(2);
  const auto text = some_lines(20'000);
  {
    auto started = cluster.start_import(0, named("half"));
    REQUIRE_OK(started);
    REQUIRE_OK(cluster.await((*started)->write(text)));
    CHECK(!cluster[0].plane->open_dataset("half"));
  }
  CHECK(data_cluster::eventually([&] { return cluster.metadata.proposals(alternative_of_abort()) == 1; }));
  CHECK(data_cluster::eventually([&] { return cluster[0].segment_files() == 0 && cluster[1].segment_files() == 0; }));
  const auto again = cluster.import(1, named("half"), text);
  REQUIRE_OK(again);
}

TEST_CASE("a name that is taken and copies that cannot be are refused before a byte is taken") {
  data_cluster cluster(2);
  REQUIRE_OK(cluster.import(0, named("taken"), "a\n"));
  const auto twice = cluster.import(1, named("taken"), "b\n");
  REQUIRE(!twice);
  CHECK(twice.error().code() == errc::already_exists);
  auto options = named("wide");
  options.copies = 3;
  const auto wide = cluster.import(0, options, "a\n");
  REQUIRE(!wide);
  CHECK(wide.error().code() == errc::failed_precondition);
  CHECK(wide.error().message().find("2 are alive") != std::string::npos);
  options = named("taken");
  options.replace = true;
  REQUIRE_OK(cluster.import(1, options, "c\n"));
  const auto exported = cluster.export_all(0, "taken");
  REQUIRE_OK(exported);
  CHECK(*exported == "c\n");
  CHECK(data_cluster::eventually([&] { return cluster[0].segment_files() == 1 && cluster[1].segment_files() == 1; }));
}

TEST_CASE("a full disk ends an import with a sentence and leaves nothing") {
  data_cluster cluster(2);
  cluster[1].disk.bytes_left = 1'000'000;
  const auto failed = cluster.import(0, named("big"), some_lines(100'000));
  REQUIRE(!failed);
  CHECK(failed.error().code() == errc::resource_exhausted);
  CHECK(failed.error().message().find("node2") != std::string::npos);
  CHECK(data_cluster::eventually([&] { return cluster[0].segment_files() == 0 && cluster[1].segment_files() == 0; }));
  cluster[1].disk.bytes_left = 100'000'000;
  REQUIRE_OK(cluster.import(0, named("big"), some_lines(100'000)));
}

TEST_CASE("a member that dies during an import is replaced by another, and the dataset has all its copies") {
  data_cluster cluster(3);
  const auto text = some_lines(60'000);
  auto options = named("corpus");
  options.size_bytes = text.size();
  options.partitions = 2;
  auto started = cluster.start_import(0, options);
  REQUIRE_OK(started);
  REQUIRE_OK(cluster.await((*started)->write(bytes_view(text).substr(0, text.size() / 4))));
  // The first segment goes to this node and the one behind it in the order of ids.
  CHECK(data_cluster::eventually([&] { return cluster[1].segment_files() + cluster[2].segment_files() == 1; }));
  const bool second = cluster[1].segment_files() == 1;
  cluster[second ? 1 : 2].kill();
  REQUIRE_OK(cluster.await((*started)->write(bytes_view(text).substr(text.size() / 4))));
  const auto done = cluster.await((*started)->finish());
  REQUIRE_OK(done);
  const auto dataset = cluster.dataset("corpus");
  for (const auto& p : dataset.partitions)
    for (const auto& s : p.segments) {
      CHECK(s.holders.size() == 2);
      CHECK(std::find(s.holders.begin(), s.holders.end(), cluster[second ? 1 : 2].id) == s.holders.end());
      const auto copy = cluster[second ? 2 : 1].segments.open(s.id);
      REQUIRE_OK(copy);
      REQUIRE_OK(copy->verify());
    }
  const auto exported = cluster.export_all(0, "corpus");
  REQUIRE_OK(exported);
  CHECK(*exported == text);
}

TEST_CASE("a member that dies with nobody to take its place ends the import with a sentence") {
  data_cluster cluster(2);
  const auto text = some_lines(60'000);
  auto started = cluster.start_import(0, named("corpus"));
  REQUIRE_OK(started);
  REQUIRE_OK(cluster.await((*started)->write(bytes_view(text).substr(0, text.size() / 2))));
  cluster[1].kill();
  auto written = cluster.await((*started)->write(bytes_view(text).substr(text.size() / 2)));
  const auto done = cluster.await((*started)->finish());
  REQUIRE(!done);
  CHECK(done.error().message().find("node2") != std::string::npos);
  CHECK(data_cluster::eventually([&] { return cluster[0].segment_files() == 0; }));
}
