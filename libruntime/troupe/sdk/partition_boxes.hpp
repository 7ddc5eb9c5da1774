#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <troupe/sdk/chunk_writer.hpp>
#include <troupe/sdk/memory.hpp>
#include <vector>

namespace troupe::sdk {

/// Entries on their way to many partitions: each is written once into the box that is open for its partition, and boxes
/// are copied whole into chunks when there are enough of them, and at the end. One chunk for each partition would be
/// less work, but of memory that others share. When that is follows from the entries and the plan alone.
///
///     partition 0   [box][box][bo..]     a box holds whole entries; an entry that is larger has one of its own
///     partition 1   [box][b....]
class partition_boxes {
 public:
  /// May be written behind an entry, so that short keys are copied without asking how short.
  static constexpr std::size_t slack_bytes = 16;

  partition_boxes(host_port& port, std::uint32_t partitions, std::uint64_t memory_bytes)
      : port_(port),
        parts_(std::max(partitions, 1U)),
        collected_bytes_max_(std::clamp<std::uint64_t>(memory_bytes / 4, 1 << 16, 64 << 20)),
        box_bytes_(std::clamp<std::uint64_t>(collected_bytes_max_ / parts_.size() / 4, 256, 32 << 10)) {}

  /// Room for an entry of at most so many bytes; give it back with `commit`.
  [[gnu::always_inline]] char* reserve(std::uint32_t partition, std::size_t bytes) {
    part& mine = parts_[partition];
    if (bytes + slack_bytes > static_cast<std::size_t>(mine.end - mine.at)) [[unlikely]]
      renew(partition, bytes);
    return mine.at;
  }
  [[gnu::always_inline]] void commit(std::uint32_t partition, char* end) noexcept {
    part& mine = parts_[partition];
    mine.at = end;
    ++mine.records;
  }
  [[nodiscard]] std::uint32_t partitions() const noexcept { return static_cast<std::uint32_t>(parts_.size()); }

  void write_out() {
    for (std::uint32_t p = 0; p < parts_.size(); ++p) {
      close(parts_[p]);
      std::uint64_t total = 0;
      for (const auto& b : parts_[p].boxes) total += b.size;
      chunk_writer out(port_, p, limits::chunk_bytes_max, total);
      for (const auto& b : parts_[p].boxes) {
        char* const at = out.reserve(b.size);
        std::memcpy(at, b.data, b.size);
        out.commit(at + b.size, b.records);
      }
      out.flush();
      parts_[p].boxes.clear();
    }
    bytes_.clear();
  }

 private:
  struct box {
    const char* data;
    std::uint64_t size;
    std::uint64_t records;
  };
  struct part {
    char* at = nullptr;
    char* end = nullptr;
    char* begin = nullptr;
    std::uint64_t records = 0;
    std::vector<box> boxes;
  };
  static void close(part& of) {
    if (of.records != 0) of.boxes.push_back({of.begin, static_cast<std::uint64_t>(of.at - of.begin), of.records});
    of.begin = of.at = of.end = nullptr;
    of.records = 0;
  }
  [[gnu::noinline]] void renew(std::uint32_t partition, std::size_t bytes) {
    part& mine = parts_[partition];
    close(mine);
    const auto size = std::max<std::size_t>(box_bytes_, bytes + slack_bytes);
    if (bytes_.used() != 0 && bytes_.used() + size > collected_bytes_max_) write_out();
    mine.begin = mine.at = bytes_.allocate(size);
    mine.end = mine.begin + size;
  }
  host_port& port_;
  std::vector<part> parts_;
  const std::uint64_t collected_bytes_max_;
  const std::uint64_t box_bytes_;
  byte_arena bytes_;
};

}  // namespace troupe::sdk
