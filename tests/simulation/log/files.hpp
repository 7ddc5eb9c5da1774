#pragma once
#include <map>
#include <tests/simulation/random.hpp>
#include <troupe/replication/effects.hpp>

namespace troupe::simulation::log {

/// One segment's file on a simulated disk: its bytes, written and read by the production codecs.
struct segment_file {
  bytes content;           ///< what the page cache has
  std::size_t synced = 0;  ///< bytes that a loss of power leaves
  /// Bits that were flipped in it: a writer that has its sums in memory does not notice.
  std::vector<std::pair<std::size_t, char>> flips{};
  std::uint64_t writer = 0;  ///< the start of the member that writes it; a later one has nothing in memory
  void flip(std::size_t at, char mask) {
    content[at] = static_cast<char>(content[at] ^ mask);
    flips.emplace_back(at, mask);
  }
  void cut(std::size_t size) {
    content.resize(size);
    std::erase_if(flips, [&](const auto& f) { return f.first >= size; });
  }
};

/// A member's segments and promises: what survives it. Every function is one step of the production storage.
class segment_files {
 public:
  explicit segment_files(const cluster_id& cluster) : cluster_(cluster) {}

  result<void> create(const member_id& self, const replication::effects::create_file& what);
  /// False: the batches would not follow what is there, which no correct replica orders.
  bool append(segment_id id, std::uint64_t at_bytes, bytes_view batches);
  void sync(segment_id id, std::size_t up_to);
  [[nodiscard]] std::size_t size(segment_id id) const;
  [[nodiscard]] replication::inspection inspect(segment_id id, record_offset floor) const;
  result<replication::seal_outcome> seal(segment_id id, const replication::extent& length, bool verify);
  [[nodiscard]] result<replication::seal_outcome> footer(segment_id id) const;
  [[nodiscard]] result<bytes> read(segment_id id, record_offset from, record_offset below, std::size_t bytes_max) const;
  /// A repaired copy: checked bytes of a whole sealed file, under an own header, synced.
  void put(segment_id id, bytes whole);
  void remove(segment_id id) { files_.erase(id); }
  [[nodiscard]] segment_file* find(segment_id id);
  [[nodiscard]] const segment_file* find(segment_id id) const;
  [[nodiscard]] const std::map<segment_id, segment_file>& all() const noexcept { return files_; }

  /// The power goes: of what was not synced a part is there, perhaps torn, perhaps with a hole.
  void lose_power(random_source& random);
  void wipe() {
    files_.clear();
    promises.clear();
    incarnation = 0;
  }

  std::map<segment_id, epoch> promises;
  std::uint64_t incarnation = 0;

 private:
  [[nodiscard]] static bytes_view region_of(const segment_file& f, segment_id id, bool& is_sealed);
  cluster_id cluster_;
  std::map<segment_id, segment_file> files_;
};

/// The batches region of a whole file if it is sealed and everything in it is right.
result<bytes_view> whole_batches(bytes_view file, segment_id id);

}  // namespace troupe::simulation::log
