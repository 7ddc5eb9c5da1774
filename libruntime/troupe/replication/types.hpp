#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/metadata/model.hpp>

/// Words that every class of this room uses.
namespace troupe::replication {

using duration = std::chrono::nanoseconds;
using time_point = std::chrono::time_point<std::chrono::steady_clock, duration>;
using metadata::replica_ref;
using metadata::sync_policy;

/// Both clocks at an event: the steady one for every protocol, the wall clock for append times only.
struct moment {
  time_point now;
  std::int64_t unix_ms = 0;
};

/// A part of somebody's bytes that keeps them alive: a batch goes from a connection's buffer to the disk uncopied.
class shared_bytes {
 public:
  shared_bytes() = default;
  shared_bytes(bytes own) : owner_(std::make_shared<const bytes>(std::move(own))), size_(owner_->size()) {}
  shared_bytes(std::shared_ptr<const bytes> owner, std::size_t from, std::size_t size)
      : owner_(std::move(owner)), from_(from), size_(size) {}
  [[nodiscard]] bytes_view view() const noexcept {
    return owner_ ? bytes_view(*owner_).substr(from_, size_) : bytes_view();
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] shared_bytes part(std::size_t from, std::size_t size) const { return {owner_, from_ + from, size}; }

 private:
  std::shared_ptr<const bytes> owner_;
  std::size_t from_ = 0, size_ = 0;
};

/// A place in a segment, in records and in bytes of its batches region. Both grow together.
struct extent {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  friend auto operator<=>(const extent&, const extent&) = default;
};
BOOST_DESCRIBE_STRUCT(extent, (), (records, bytes))

/// Which partition of the cluster.
struct partition_key {
  dataset_id dataset;
  partition_index partition;
  friend auto operator<=>(const partition_key&, const partition_key&) = default;
};
BOOST_DESCRIBE_STRUCT(partition_key, (), (dataset, partition))

}  // namespace troupe::replication
