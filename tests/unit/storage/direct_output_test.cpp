#include <fcntl.h>

#include <troupe/storage/segment_store.hpp>

#include "faulty_operations.hpp"

using namespace troupe;
using namespace troupe::storage;

namespace direct_output_cases {

constexpr segment_id id{12};

segment_info info_of(std::uint64_t expected_bytes) {
  segment_info info;
  info.cluster = cluster_id{uuid{{1}}};
  info.replica = member_id{uuid{{2}}};
  info.dataset = dataset_id{3};
  info.expected_bytes = expected_bytes;
  return info;
}

/// Sizes that end before, on and behind the border of a piece, and one that is larger than a piece.
const std::size_t sizes[] = {1, 4095, 100'000, 1 << 20, 3'000'000, 17, 4096, 1'048'575, 262'144, 9};

bytes payload_of(std::size_t i) { return bytes(sizes[i], static_cast<char>('a' + i)); }

result<format::segment_summary> write(segment_store& store, std::uint64_t expected_bytes, bool sync_between) {
  TROUPE_TRY(auto writer, store.create(id, info_of(expected_bytes)));
  for (std::size_t i = 0; i < std::size(sizes); ++i) {
    TROUPE_TRY_VOID(writer.append(payload_of(i), 1));
    if (sync_between) TROUPE_TRY_VOID(writer.sync());
  }
  return writer.seal();
}

/// Refuses what is not aligned, as some file systems do with everything that is written directly.
class stubborn : public file_operations {
 public:
  int refused = 0;
  ssize_t pwritev(int fd, const iovec* parts, int count, off_t position) override {
    if ((::fcntl(fd, F_GETFL) & O_DIRECT) != 0) return ++refused, errno = EINVAL, -1;
    return file_operations::pwritev(fd, parts, count, position);
  }
};

TEST_CASE("a file that is written past the cache has the same bytes as one that is not") {
  temporary_directory dir, other;
  segment_store through(dir.path()), past(other.path());
  const auto expected = write(through, 0, false);
  REQUIRE_OK(expected);
  const auto bytes_of = [](const segment_store& store) {
    return *read_file(file_operations::system(), store.path(id), 64 << 20);
  };
  const bool sync_between = GENERATE(false, true);
  const auto summary = write(past, direct_bytes_min, sync_between);
  REQUIRE_OK(summary);
  CHECK(*summary == *expected);
  CHECK(bytes_of(past) == bytes_of(through));
  const auto reader = past.open(id);
  REQUIRE_OK(reader);
  REQUIRE_OK(reader->verify());
}

TEST_CASE("a file system that refuses direct writes is written through the cache") {
  temporary_directory dir;
  stubborn disk;
  segment_store store(dir.path(), disk);
  REQUIRE_OK(write(store, direct_bytes_min, true));
  CHECK(disk.refused <= 1);
  const auto reader = store.open(id);
  REQUIRE_OK(reader);
  REQUIRE_OK(reader->verify());
}

TEST_CASE("a disk that fills up past the cache leaves no file, whenever it says so") {
  temporary_directory dir;
  faulty_operations disk;
  disk.write_bytes_max = 1 << 19;  // short writes, too
  segment_store store(dir.path(), disk);
  disk.bytes_left = GENERATE(0, 1 << 20, (1 << 20) + 4096, 5 << 20);
  const auto written = write(store, direct_bytes_min, false);
  REQUIRE_FALSE(written);
  CHECK(written.error().code() == errc::resource_exhausted);
  CHECK_FALSE(std::filesystem::exists(store.path(id)));
  CHECK(disk.open_files.empty());
  disk.bytes_left = 64 << 20;
  REQUIRE_OK(write(store, direct_bytes_min, false));
  const auto reader = store.open(id);
  REQUIRE_OK(reader);
  REQUIRE_OK(reader->verify());
}

}  // namespace direct_output_cases
