#include <troupe/dataflow/block_store.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <support/catch.hpp>
#include <troupe/dataflow/block_store_impl.hpp>

using namespace troupe;
using namespace troupe::dataflow;

namespace {

constexpr std::uint64_t mib = 1 << 20;

struct temporary_directory {
  std::filesystem::path path;
  temporary_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "troupe-blocks-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~temporary_directory() { std::filesystem::remove_all(path); }
};

struct store_of_8_slabs {
  temporary_directory directory;
  std::unique_ptr<block_store> store;
  explicit store_of_8_slabs(std::filesystem::path spill = {}) {
    block_store_options options;
    options.spill_directory = spill.empty() ? directory.path : spill;
    options.budget_bytes = 16 * mib;
    options.slab_bytes = 2 * mib;
    options.waiting_max = 4;
    auto opened = block_store::open(options);
    REQUIRE_OK(opened);
    store = std::move(*opened);
  }
  block_store_impl& inside() { return store->implementation(); }
};

attempt_key attempt(std::uint64_t job, std::uint32_t task) {
  return {job_id{job}, stage_index{0}, task_index{task}, attempt_number{1}};
}

/// The answer to open_chunk, waited for.
result<chunk_grant> open_chunk(block_store_impl& store, owner_id owner, std::uint64_t bytes) {
  auto answer = std::make_shared<std::promise<result<chunk_grant>>>();
  auto future = answer->get_future();
  store.open_chunk(owner, bytes, [answer](result<chunk_grant> g) { answer->set_value(std::move(g)); });
  REQUIRE(future.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  return future.get();
}

/// As a worker does it: maps the slab through the write descriptor.
void fill(const chunk_grant& grant, bytes_view data) {
  auto* slab =
      static_cast<char*>(::mmap(nullptr, grant.slab_size, PROT_READ | PROT_WRITE, MAP_SHARED, grant.write_fd, 0));
  REQUIRE(slab != MAP_FAILED);
  std::memcpy(slab + grant.offset, data.data(), data.size());
  ::munmap(slab, grant.slab_size);
}

block_ref publish(block_store_impl& store, owner_id owner, const attempt_key& of, std::uint32_t partition,
                  bytes_view data) {
  auto grant = open_chunk(store, owner, data.size());
  REQUIRE_OK(grant);
  fill(*grant, data);
  auto ref = store.publish(owner, of, grant->chunk, partition_index{partition}, data.size(), 1, xxh3_128(data));
  REQUIRE_OK(ref);
  return *ref;
}

bytes content(const block_store& store, block_id id) {
  auto pin = store.pin(id);
  REQUIRE_OK(pin);
  bytes all(pin->ref().size, '\0');
  auto n = pin->read(0, all.data(), all.size());
  REQUIRE_OK(n);
  REQUIRE(*n == all.size());
  return all;
}

bytes pattern(std::size_t size, unsigned seed) {
  bytes data(size, '\0');
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<char>((i * 31 + seed * 7919) >> 3);
  return data;
}

receive_buffer receive(block_store& store, std::uint64_t size) {
  auto answer = std::make_shared<std::promise<result<receive_buffer>>>();
  auto future = answer->get_future();
  store.receive(size, [answer](result<receive_buffer> b) { answer->set_value(std::move(b)); });
  REQUIRE(future.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  auto got = future.get();
  REQUIRE_OK(got);
  return std::move(*got);
}

}  // namespace

TEST_CASE("a chunk's capacity depends on the request alone") {
  CHECK(chunk_capacity(0) == 64 << 10);
  CHECK(chunk_capacity(64 << 10) == 64 << 10);
  CHECK(chunk_capacity((64 << 10) + 1) == 256 << 10);
  CHECK(chunk_capacity(1 << 20) == 1 << 20);
  CHECK(chunk_capacity((1 << 20) + 1) == (1 << 20) + 4096);
}

TEST_CASE("published blocks are seen when the attempt has finished, in order, and outlive their worker") {
  store_of_8_slabs s;
  const owner_id worker{1};
  const auto key = attempt(7, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  publish(s.inside(), worker, key, 0, "first of 0");
  publish(s.inside(), worker, key, 1, "first of 1");
  publish(s.inside(), worker, key, 0, "second of 0");
  CHECK(s.store->get(key, partition_index{0}).error().code() == errc::not_found);
  CHECK_FALSE(s.store->holds(key));
  s.inside().finish_attempt(key);
  s.inside().end_task(worker, false);  // the worker is dead

  auto blocks = s.store->get(key, partition_index{0});
  REQUIRE_OK(blocks);
  REQUIRE(blocks->size() == 2);
  CHECK(content(*s.store, (*blocks)[0].id) == "first of 0");
  CHECK(content(*s.store, (*blocks)[1].id) == "second of 0");
  CHECK(s.store->get(key, partition_index{9})->empty());

  s.store->release(job_id{7});
  CHECK(s.store->pin((*blocks)[0].id).error().code() == errc::not_found);
  CHECK(s.store->usage().producing_bytes == 0);
  CHECK(s.store->usage().warm_bytes == 2 * mib);
  CHECK(s.inside().begin_attempt(attempt(7, 1)).error().code() == errc::failed_precondition);
}

TEST_CASE("small blocks of one worker lie side by side in one slab") {
  store_of_8_slabs s;
  const auto key = attempt(1, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  for (std::uint32_t p = 0; p < 1000; ++p) publish(s.inside(), owner_id{1}, key, p, "tiny");
  CHECK(s.store->usage().producing_bytes == 2 * mib);
}

TEST_CASE("what a worker reports is checked against its own chunks") {
  store_of_8_slabs s;
  const auto key = attempt(1, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  auto grant = open_chunk(s.inside(), owner_id{1}, 100);
  REQUIRE_OK(grant);
  const auto publish_as = [&](owner_id owner, chunk_id chunk, std::uint64_t bytes) {
    return s.inside().publish(owner, key, chunk, partition_index{0}, bytes, 1, {});
  };
  CHECK(publish_as(owner_id{1}, grant->chunk, grant->capacity + 1).error().code() == errc::invalid_argument);
  CHECK(publish_as(owner_id{2}, grant->chunk, 1).error().code() == errc::invalid_argument);
  CHECK(publish_as(owner_id{0}, grant->chunk, 1).error().code() == errc::invalid_argument);
  CHECK(publish_as(owner_id{1}, chunk_id{grant->chunk.value + 1}, 1).error().code() == errc::invalid_argument);
  CHECK(publish_as(owner_id{1}, grant->chunk, 5).has_value());
  CHECK(publish_as(owner_id{1}, grant->chunk, 5).error().code() == errc::invalid_argument);
}

TEST_CASE("chunks that a dead worker had not published are free again") {
  store_of_8_slabs s;
  const auto key = attempt(1, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  for (int i = 0; i < 8; ++i) REQUIRE_OK(open_chunk(s.inside(), owner_id{1}, mib));
  CHECK(s.store->usage().producing_bytes == 8 * mib);
  s.inside().end_task(owner_id{1}, false);
  CHECK(s.store->usage().producing_bytes == 0);
}

TEST_CASE("the reader's descriptor of a slab cannot write, and cannot be opened again for writing") {
  store_of_8_slabs s;
  const auto key = attempt(1, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  const auto ref = publish(s.inside(), owner_id{1}, key, 0, "text");
  auto pin = s.store->pin(ref.id);
  REQUIRE_OK(pin);
  CHECK(::mmap(nullptr, 4096, PROT_WRITE, MAP_SHARED, pin->where().fd, 0) == MAP_FAILED);
  if (::geteuid() != 0) CHECK(::open(("/proc/self/fd/" + std::to_string(pin->where().fd)).c_str(), O_RDWR) < 0);
}

TEST_CASE("above the budget the coldest blocks go to files and are read from there") {
  store_of_8_slabs s;
  const auto key = attempt(3, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  std::vector<block_ref> refs;
  for (unsigned i = 0; i < 40; ++i)
    refs.push_back(publish(s.inside(), owner_id{1}, key, 0, pattern(mib, i)));  // 40 MiB into 16
  s.inside().finish_attempt(key);
  s.store->settle();
  CHECK(s.store->usage().spilled_bytes >= 26 * mib);
  CHECK(s.store->usage().producing_bytes <= 12 * mib);
  CHECK(s.store->pin(refs.front().id)->memory().data() == nullptr);
  CHECK(s.store->pin(refs.back().id)->memory().data() != nullptr);
  for (unsigned i = 0; i < 40; ++i) CHECK(xxh3_128(content(*s.store, refs[i].id)) == refs[i].digest);

  s.store->release(job_id{3});
  CHECK(s.store->usage().spilled_bytes == 0);
  s.store.reset();
  CHECK(std::filesystem::is_empty(s.directory.path));
}

TEST_CASE("a pinned block keeps its bytes in place while others are spilled and released") {
  store_of_8_slabs s;
  const auto key = attempt(3, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  const auto first = publish(s.inside(), owner_id{1}, key, 0, pattern(mib, 1));
  auto pin = s.store->pin(first.id);
  REQUIRE_OK(pin);
  for (unsigned i = 0; i < 20; ++i) publish(s.inside(), owner_id{1}, key, 0, pattern(mib, i));
  s.store->release(job_id{3});
  CHECK(xxh3_128(pin->memory()) == first.digest);
}

TEST_CASE("receiving has room of its own when producers used up theirs, and the other way round") {
  store_of_8_slabs s;
  const auto key = attempt(1, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  // Open chunks cannot be spilled: six of eight slabs, then the seventh producer waits.
  for (int i = 0; i < 12; ++i) REQUIRE_OK(open_chunk(s.inside(), owner_id{1}, mib));
  bool answered = false;
  s.inside().open_chunk(owner_id{2}, mib, [&](result<chunk_grant>) { answered = true; });
  CHECK_FALSE(answered);
  std::vector<receive_buffer> buffers;
  for (int i = 0; i < 4; ++i) buffers.push_back(receive(*s.store, mib));
  CHECK(s.store->usage().receiving_bytes == 4 * mib);
  buffers.clear();
  CHECK(s.store->usage().waiting == 1);
  s.inside().end_task(owner_id{1}, false);
  CHECK(answered);
}

TEST_CASE("too many that wait are refused") {
  store_of_8_slabs s;
  for (int i = 0; i < 12; ++i) REQUIRE_OK(open_chunk(s.inside(), owner_id{1}, mib));
  for (std::uint64_t i = 0; i < 4; ++i) s.inside().open_chunk(owner_id{10 + i}, mib, [](result<chunk_grant>) {});
  errc refused = errc::none;
  s.inside().open_chunk(owner_id{20}, mib, [&](result<chunk_grant> g) { refused = g ? errc::none : g.error().code(); });
  CHECK(refused == errc::resource_exhausted);
}

TEST_CASE("a record larger than a slab gets a slab to itself") {
  store_of_8_slabs s;
  const auto key = attempt(1, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  const auto data = pattern(5 * mib, 3);
  const auto ref = publish(s.inside(), owner_id{1}, key, 0, data);
  CHECK(content(*s.store, ref.id) == data);
  CHECK(s.store->pin(ref.id)->where().transient);
  CHECK(s.store->usage().producing_bytes == 6 * mib);
  CHECK(open_chunk(s.inside(), owner_id{1}, 14 * mib).error().code() == errc::resource_exhausted);
  s.store->release_attempt(key);
  CHECK(s.store->usage().producing_bytes == 0);
}

TEST_CASE("received blocks belong to their job until they are discarded or it is released") {
  store_of_8_slabs s;
  auto buffer = receive(*s.store, 1000);
  const auto data = pattern(1000, 5);
  std::memcpy(buffer.data(), data.data(), data.size());
  auto ref = std::move(buffer).commit(job_id{4}, 10, xxh3_128(data));
  REQUIRE_OK(ref);
  CHECK(content(*s.store, ref->id) == data);
  s.store->discard({*ref});
  CHECK(s.store->pin(ref->id).error().code() == errc::not_found);

  auto late = receive(*s.store, 1000);
  s.store->release(job_id{4});
  CHECK(std::move(late).commit(job_id{4}, 10, {}).error().code() == errc::failed_precondition);
  CHECK(s.store->usage().blocks == 0);
}

TEST_CASE("a spill directory that cannot be written to is an error for those who wait, not a hang") {
  store_of_8_slabs s;
  const auto key = attempt(1, 0);
  REQUIRE_OK(s.inside().begin_attempt(key));
  std::filesystem::remove_all(s.directory.path);
  errc refused = errc::none;
  for (int i = 0; i < 20 && refused == errc::none; ++i) {
    auto grant = open_chunk(s.inside(), owner_id{1}, mib);
    if (!grant) {
      refused = grant.error().code();
      break;
    }
    REQUIRE_OK(s.inside().publish(owner_id{1}, key, grant->chunk, partition_index{0}, mib, 1, {}));
  }
  CHECK(refused == errc::not_found);  // of the directory: errno's word
}

TEST_CASE("what an earlier daemon spilled is gone after a start") {
  temporary_directory directory;
  { std::ofstream(directory.path / "17.spill") << "old"; }
  store_of_8_slabs s(directory.path);
  CHECK(std::filesystem::is_empty(directory.path));
}

TEST_CASE("a last stage's chunk is freed with its pin") {
  store_of_8_slabs s;
  auto grant = open_chunk(s.inside(), owner_id{1}, mib);
  REQUIRE_OK(grant);
  fill(*grant, "output");
  auto pin = s.inside().publish_output(owner_id{1}, grant->chunk, 6, 1, {});
  REQUIRE_OK(pin);
  s.inside().end_task(owner_id{1}, false);
  CHECK(pin->memory() == "output");
  *pin = block_pin{};
  CHECK(s.store->usage().producing_bytes == 0);
}
