/// The file of promises. Input: the file. What opens has to go on: promises are kept, and read again.
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <troupe/base/checksum.hpp>
#include <troupe/storage/promise_log.hpp>

#include "support/fuzz.hpp"

namespace troupe::fuzz {
namespace {

/// A folder of this process, in memory where the machine has one there; removed at its end.
struct folder {
  std::string path;
  folder() {
    std::string made = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/promises-XXXXXX" : "/tmp/promises-XXXXXX";
    TROUPE_INVARIANT(::mkdtemp(made.data()) != nullptr, "no folder for a file");
    path = made;
  }
  ~folder() {
    ::unlink(file().c_str());
    ::rmdir(path.c_str());
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  [[nodiscard]] std::string file() const { return path + "/promises"; }
  [[nodiscard]] bytes read() const {
    std::ifstream in(file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

folder& place() {
  static folder f;
  return f;
}

/// Its checksums fit what it says: else random bytes would never get past them.
bytes mended(bytes_view input) {
  bytes out(input);
  for (std::size_t at = 16; at + 24 <= out.size(); at += 24) {
    bytes crc;
    append_le(crc, crc32c(bytes_view(out).substr(at, 16)));
    out.replace(at + 16, 4, crc);
  }
  return out;
}

void open_file(bytes_view content) {
  auto& operations = storage::file_operations::system();
  std::ofstream(place().file(), std::ios::binary | std::ios::trunc)
      .write(content.data(), static_cast<std::streamsize>(content.size()));
  auto log = storage::promise_log::open(operations, place().path);
  if (!log) {
    TROUPE_INVARIANT(log.error().code() == errc::corrupted && !log.error().message().empty(),
                     "a refusal without words");
    return;
  }
  const auto before = log->promises();
  TROUPE_INVARIANT(log->keep(segment_id{3}, epoch{9}).has_value(), "a promise can't be kept");
  auto again = storage::promise_log::open(operations, place().path);
  TROUPE_INVARIANT(again.has_value(), "what was opened and written to does not open again");
  for (const auto& [segment, at] : before) {
    const auto known = again->promises().find(segment);
    TROUPE_INVARIANT(known != again->promises().end() && known->second >= at, "a promise was forgotten");
  }
  TROUPE_INVARIANT(again->promises().at(segment_id{3}) >= epoch{9}, "the newest promise was forgotten");
}

}  // namespace

void one_input(bytes_view input) {
  open_file(input);
  open_file(mended(input));
}

std::vector<bytes> seeds() {
  std::vector<bytes> made;
  ::unlink(place().file().c_str());
  auto log = storage::promise_log::open(storage::file_operations::system(), place().path);
  TROUPE_INVARIANT(log.has_value(), "an empty folder takes no promises");
  made.push_back(place().read());
  for (std::uint64_t i = 1; i <= 4; ++i) {
    TROUPE_INVARIANT(log->keep(segment_id{i}, epoch{i + 2}).has_value(), "a promise can't be kept");
    if (i == 3) TROUPE_INVARIANT(log->forget(segment_id{2}).has_value(), "a promise can't be forgotten");
    made.push_back(place().read());
  }
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
